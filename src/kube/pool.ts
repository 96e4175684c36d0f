import { Agent } from "undici";
import type { ClientCertificate, KubeConfig } from "./config.ts";

/** Below the API server's own 90 s, so that it is never the one to close a connection being picked up. */
const KEEP_ALIVE_MS = 30_000;
const CONNECT_MS = 10_000;
const MAX_CONNECTIONS = 256;

/** The connections to one API server. */
export interface ConnectionPool {
  /** The pool that trusts the current CA. */
  current(): Agent;
  /** Breaks off every connection. */
  close(): Promise<void>;
}

/** One pool per CA and client certificate: when one changes, new requests use a new pool and the old one drains. */
export function createPool(config: KubeConfig): ConnectionPool {
  const all = new Set<Agent>();
  let current: PoolOf | undefined;
  return {
    current() {
      const ca = config.ca();
      const clientCertificate = config.clientCertificate?.();
      if (current && current.ca === ca && current.clientCertificate === clientCertificate) {
        return current.agent;
      }
      const retired = current?.agent;
      current = { ca, clientCertificate, agent: createAgent(config, ca) };
      all.add(current.agent);
      if (retired) void retired.close().finally(() => all.delete(retired));
      return current.agent;
    },
    async close() {
      await Promise.all([...all].map((agent) => agent.destroy()));
    },
  };
}

interface PoolOf {
  readonly ca: string | undefined;
  readonly clientCertificate: ClientCertificate | undefined;
  readonly agent: Agent;
}

function createAgent(config: KubeConfig, ca: string | undefined): Agent {
  return new Agent({
    allowH2: false,
    pipelining: 1,
    connections: MAX_CONNECTIONS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    // Every request carries its own deadline, and every watch its own guard.
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: {
      timeout: CONNECT_MS,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
      ...(ca === undefined ? {} : { ca }),
      ...config.clientCertificate?.(),
      ...(config.serverName === undefined ? {} : { servername: config.serverName }),
    },
  });
}
