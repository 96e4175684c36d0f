import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { firstRequest } from "./first-request.ts";
import { RewrittenConnection } from "./rewritten-connection.ts";

/** How long a client may take to say that it speaks HTTP/2. It may be idle after that. */
const PREFACE_MS = 10_000;

/**
 * Hands a connection of a unix socket to an HTTP/2 server of Node.js, which refuses requests whose `:authority`
 * is a path, a URI or missing, as some gRPC clients send them over unix sockets. Looks at the first request: a
 * connection whose first authority is acceptable is handed over as it is, for good and at no further cost; any
 * other goes through a rewriter. A client that sends something else than HTTP/2 is cut off.
 */
export function acceptHttp2(socket: Socket, handOver: (connection: Duplex) => void): void {
  const first = firstRequest();
  const cutOff = (): void => void socket.destroy();
  const timer = setTimeout(cutOff, PREFACE_MS);
  const look = (bytes: Buffer): void => {
    try {
      for (const reply of first.push(bytes)) socket.write(reply);
    } catch {
      cutOff();
      return;
    }
    if (first.begun) clearTimeout(timer);
    if (first.verdict() !== undefined) finish();
  };
  const release = (): void => {
    clearTimeout(timer);
    socket.removeListener("data", look);
    socket.removeListener("error", cutOff);
    socket.removeListener("end", cutOff);
    socket.removeListener("close", release);
  };
  const finish = (): void => {
    release();
    socket.pause();
    const held = first.held();
    if (first.verdict() === "to-rewrite") {
      handOver(new RewrittenConnection(socket, held));
      return;
    }
    socket.unshift(held);
    handOver(socket);
  };
  socket.on("data", look);
  socket.on("error", cutOff);
  socket.on("end", cutOff);
  socket.on("close", release);
}
