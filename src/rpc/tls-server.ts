import { createServer } from "node:tls";
import type { Server as TlsServer, TLSSocket } from "node:tls";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { ServerOptions } from "@grpc/grpc-js";
import { SignetError } from "../core/errors.ts";
import type { Live, TlsMaterial } from "../core/live.ts";

/** How long running calls may take to end once the server stops. */
const DRAIN_MS = 2000;

/** One connection a node, and room for those that are being replaced. */
const MAX_CONNECTIONS = 10_000;
const HANDSHAKE_MS = 5000;

const LIMITS: ServerOptions = {
  // A token and a public key, the largest request, are 17 KiB together.
  "grpc.max_receive_message_length": 32 * 1024,
  "grpc.max_concurrent_streams": 256,
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 10_000,
};

/** A gRPC server behind TLS whose certificate can change while connections stay open. */
export interface TlsRpcServer {
  readonly grpc: Server;
  /** Starts to listen; resolves with the port. Throws SYSTEM when the address is taken. */
  listen(port: number, host?: string): Promise<number>;
  /** Ends running calls with UNAVAILABLE and closes every connection. */
  close(): Promise<void>;
}

/**
 * Makes a gRPC server that new connections reach with the certificate `material` holds at that moment.
 * TLS is ours rather than grpc-js's, whose credentials are fixed for the life of the server.
 */
export function tlsRpcServer(material: Live<TlsMaterial>): TlsRpcServer {
  const grpc = new Server(LIMITS);
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const sockets = new Set<TLSSocket>();
  const { key, cert } = material.get();
  const tls = createServer(
    { key, cert, minVersion: "TLSv1.2", ALPNProtocols: ["h2"], handshakeTimeout: HANDSHAKE_MS },
    (socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      injector.injectConnection(socket);
    },
  );
  tls.maxConnections = MAX_CONNECTIONS;
  tls.on("tlsClientError", (_error, socket) => socket.destroy());
  // Such as no more file descriptors: one failed accept(2) must not end the process, and the next may work.
  tls.on("error", () => undefined);
  const unsubscribe = material.subscribe((next) =>
    tls.setSecureContext({ key: next.key, cert: next.cert }),
  );
  return {
    grpc,
    listen: (port, host) => listen(tls, port, host),
    async close() {
      unsubscribe();
      const closed = new Promise<void>((resolve) => {
        tls.close(() => resolve());
      });
      injector.drain(DRAIN_MS);
      grpc.forceShutdown();
      for (const socket of sockets) socket.destroySoon();
      await closed;
    },
  };
}

function listen(tls: TlsServer, port: number, host?: string): Promise<number> {
  return new Promise((resolve, reject) => {
    tls.once("error", (cause) =>
      reject(
        new SignetError("SYSTEM", `cannot listen on port ${port}: ${cause.message}`, { cause }),
      ),
    );
    tls.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      const address = tls.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}
