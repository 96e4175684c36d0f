import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../core/clock.ts";
import { TokenBucket } from "../kube/token-bucket.ts";
import { acceptHttp2 } from "../rpc/http2/accept.ts";

/** What the clients of one socket may do together. */
export interface ConnectionLimits {
  readonly connections: number;
  /** New connections a second, on average. */
  readonly connectionsPerSecond: number;
  /** New connections at once, after a quiet time. */
  readonly connectionBurst: number;
}

/** The connections of one socket. */
export interface Connections {
  readonly size: number;
  /** Takes a new one, or closes it when there are too many; clients try again by themselves. */
  add(socket: Socket): void;
  /** Closes those that no call runs on yet; the others get until `graceMs` to end by themselves. */
  close(graceMs: number): Promise<void>;
}

/** Makes an empty set; `handOver` gets each connection once it is known to be HTTP/2. */
export function connections(
  limits: ConnectionLimits,
  handOver: (connection: Duplex) => void,
  clock: Clock,
): Connections {
  const refillMs = 1000 / limits.connectionsPerSecond;
  const bucket = new TokenBucket({ burst: limits.connectionBurst, refillMs }, clock.now());
  const open = new Set<Socket>();
  const waiting = new Set<Socket>();
  const empty = Promise.withResolvers<void>();
  let closed = false;
  return {
    get size() {
      return open.size;
    },
    add(socket) {
      socket.on("error", () => undefined);
      if (closed || open.size >= limits.connections || bucket.take(clock.now()) > 0) {
        socket.destroy();
        return;
      }
      open.add(socket);
      waiting.add(socket);
      socket.once("close", () => {
        open.delete(socket);
        waiting.delete(socket);
        if (closed && open.size === 0) empty.resolve();
      });
      acceptHttp2(socket, (connection) => {
        waiting.delete(socket);
        handOver(connection);
      });
    },
    async close(graceMs) {
      closed = true;
      for (const socket of waiting) socket.destroy();
      if (open.size === 0) return;
      // A connection that breaks is told to callers as UNAVAILABLE, unlike a stream that is reset.
      const timer = setTimeout(() => {
        for (const socket of open) socket.destroy();
      }, graceMs);
      await empty.promise;
      clearTimeout(timer);
    },
  };
}
