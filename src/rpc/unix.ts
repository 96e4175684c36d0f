import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmod, lstat, rename, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { Server as NetServer } from "node:net";
import { dirname, join } from "node:path";
import { ServerCredentials } from "@grpc/grpc-js";
import type { Server } from "@grpc/grpc-js";
import { SignetError } from "../core/errors.ts";

/** sun_path of unix(7) holds 108 bytes with its final NUL. */
export const MAX_SOCKET_PATH_BYTES = 107;

/** How long open calls may go on after a listener was told to close. */
const CLOSE_GRACE_MS = 1000;

/** A gRPC server's ear on a unix socket. */
export interface UnixListener {
  readonly path: string;
  /** Whether someone removed the socket's file. */
  isGone(): Promise<boolean>;
  /** Ends all connections, and removes the socket's file unless another process has replaced it. */
  close(): Promise<void>;
}

export interface UnixOptions {
  /** Permission bits of the socket. */
  readonly mode: number;
  /** Told when a client could not be taken in, such as for want of file descriptors; the others are served on. */
  readonly onError?: (error: Error) => void;
}

/**
 * Lets `server` listen on a unix socket with exactly the permission bits `mode`. The socket is bound under a
 * hidden name beside `path` and renamed over it, so that there is no moment without a socket, a stale file is
 * no obstacle, and two processes that follow each other do not remove each other's.
 * Throws INVALID_ARGUMENT for a path that is too long, SYSTEM when the system refuses.
 */
export async function serveUnix(
  server: Server,
  path: string,
  { mode, onError = () => undefined }: UnixOptions,
): Promise<UnixListener> {
  const hidden = join(dirname(path), `.${randomBytes(3).toString("hex")}`);
  for (const name of [path, hidden]) checkSocketPath(name);
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const listener = createServer((socket) => injector.injectConnection(socket));
  const file = await bind(listener, { hidden, path, mode });
  // Without a listener one failed accept(2) would end the process.
  listener.on("error", onError);
  return {
    path,
    isGone: async () => (await identify(path)) === undefined,
    async close() {
      if ((await identify(path)) === file) await rm(path, { force: true });
      const closed = once(listener, "close");
      listener.close();
      injector.drain(CLOSE_GRACE_MS);
      await closed;
      injector.destroy();
    },
  };
}

/** Throws INVALID_ARGUMENT for a path that no unix socket can have. */
export function checkSocketPath(path: string): void {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return;
  throw new SignetError(
    "INVALID_ARGUMENT",
    `socket path ${path} is longer than ${MAX_SOCKET_PATH_BYTES} bytes`,
  );
}

interface Binding {
  readonly hidden: string;
  readonly path: string;
  readonly mode: number;
}

async function bind(listener: NetServer, { hidden, path, mode }: Binding): Promise<string> {
  try {
    listener.listen(hidden);
    await once(listener, "listening");
    await chmod(hidden, mode);
    await rename(hidden, path);
    const file = await identify(path);
    if (file === undefined) throw new Error("it vanished at once");
    return file;
  } catch (error) {
    listener.close();
    throw new SignetError("SYSTEM", `cannot listen on ${path}`, { cause: error });
  }
}

/** Names the file behind a path, so that a replaced one shows: a new file may get the number of a removed one. */
async function identify(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, birthtimeNs } = await lstat(path, { bigint: true });
    return `${dev}:${ino}:${birthtimeNs}`;
  } catch {
    return undefined;
  }
}
