import { vi } from "vitest";
import * as customResources from "../../src/api/resources.ts";
import { systemClock } from "../../src/core/clock.ts";
import { createKubeClient } from "../../src/kube/client.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import { startFakeApiServer } from "../fakes/api-server.ts";
import type { FakeApiServer } from "../fakes/api-server.ts";

export const TRUST_DOMAIN = parseTrustDomain("example.org");
export const NAMESPACE = "signet-system";

/** An API server with our custom resources, a client of it, and the loops that a test runs against it. */
export interface TestCluster {
  readonly server: FakeApiServer;
  readonly client: KubeClient;
  /** Another client, as another replica has; `token` names it in the server's requests. */
  readonly connect: (token: string) => KubeClient;
  /** Runs a loop until the result is called, or the cluster is closed. */
  readonly run: (loop: (signal: AbortSignal) => Promise<void>) => () => Promise<void>;
  /** Something to stop before the clients are closed. */
  onClose(stop: () => Promise<void>): void;
  close(): Promise<void>;
}

export async function openCluster(): Promise<TestCluster> {
  const server = await startFakeApiServer();
  for (const resource of Object.values(customResources)) {
    if (typeof resource === "object") server.define(resource);
  }
  const clients: KubeClient[] = [];
  const stops: (() => Promise<void>)[] = [];
  const connect = (token: string): KubeClient => {
    const client = createKubeClient({ config: server.config(token), clock: systemClock() });
    clients.push(client);
    return client;
  };
  return {
    server,
    client: connect("replica-a"),
    connect,
    run(loop) {
      const stopping = new AbortController();
      const running = loop(stopping.signal);
      const stop = async (): Promise<void> => {
        stopping.abort();
        await running;
      };
      stops.push(stop);
      return stop;
    },
    onClose: (stop) => void stops.push(stop),
    async close() {
      for (const stop of stops.toReversed()) await stop();
      for (const client of clients) await client.close();
      await server.close();
    },
  };
}

/** Waits until `check` no longer throws; fails with its last error. */
export async function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return await vi.waitFor(check, { timeout: 20_000, interval: 10 });
}
