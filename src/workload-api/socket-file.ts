import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { constants } from "node:fs";
import { lstat, open, readdir, readlink, rename, rm, symlink } from "node:fs/promises";
import type { Server as NetServer } from "node:net";
import { join } from "node:path";
import { errorMessage, SignetError } from "../core/errors.ts";

/** The socket's own name in the volume. */
export const SOCKET_NAME = "api.sock";
/** Links to it, under the names that SPIRE's and older clients look for. */
export const SOCKET_ALIASES = ["spire-agent.sock", "socket"] as const;

const HIDDEN = /^\.[0-9a-f]{8}\.sock$/;

/** The socket's names in a volume. */
export interface SocketFile {
  /** Whether the volume still shows this very socket. */
  isShown(): Promise<boolean>;
  /** Takes all names away, unless another process has put its own socket there. */
  remove(): Promise<void>;
}

/**
 * Lets `listener` listen in a folder whose path may be of any length: sun_path holds 107 bytes, so the socket is
 * bound through the open folder. Any user may connect: the volume is the pod's alone. The socket appears by a
 * rename, so that there is no moment without one, and whatever an earlier process left is replaced. The mode
 * comes from bind(2) itself, since a chmod(2) by name could be led elsewhere by whoever can write to the folder.
 * Throws SYSTEM.
 */
export async function showSocket(listener: NetServer, directory: string): Promise<SocketFile> {
  const { O_RDONLY, O_DIRECTORY } = constants;
  const folder = await open(directory, O_RDONLY | O_DIRECTORY).catch((error: unknown) => {
    throw cannotListen(directory, error);
  });
  const base = `/proc/self/fd/${folder.fd}`;
  try {
    const hidden = `.${randomBytes(4).toString("hex")}.sock`;
    await removeLeftovers(base);
    bindOpenToAll(listener, join(base, hidden));
    await once(listener, "listening");
    await rename(join(base, hidden), join(base, SOCKET_NAME));
    for (const alias of SOCKET_ALIASES) await link(base, alias);
    const file = await identify(join(base, SOCKET_NAME));
    return socketFile(directory, file);
  } catch (error) {
    listener.close();
    throw cannotListen(directory, error);
  } finally {
    await folder.close();
  }
}

function socketFile(directory: string, file: string | undefined): SocketFile {
  const path = join(directory, SOCKET_NAME);
  const isShown = async (): Promise<boolean> =>
    file !== undefined && (await identify(path)) === file;
  return {
    isShown,
    async remove() {
      if (!(await isShown())) return;
      for (const alias of SOCKET_ALIASES) {
        const name = join(directory, alias);
        if ((await linkTarget(name)) === SOCKET_NAME) await rm(name, { force: true });
      }
      await rm(path, { force: true });
    },
  };
}

/** listen(2) with mode 0777: Node.js binds within the call, so the mask is the process's again after it. */
function bindOpenToAll(listener: NetServer, path: string): void {
  const mask = process.umask(0);
  try {
    listener.listen(path);
  } finally {
    process.umask(mask);
  }
}

async function link(base: string, alias: string): Promise<void> {
  const name = join(base, alias);
  if ((await linkTarget(name)) === SOCKET_NAME) return;
  const hidden = join(base, `.${randomBytes(4).toString("hex")}.sock`);
  await symlink(SOCKET_NAME, hidden);
  await rename(hidden, name);
}

/** What a process left that ended between two steps. */
async function removeLeftovers(base: string): Promise<void> {
  const names = await readdir(base);
  await Promise.all(
    names.filter((name) => HIDDEN.test(name)).map((name) => rm(join(base, name), { force: true })),
  );
}

async function linkTarget(path: string): Promise<string | undefined> {
  return readlink(path).catch(() => undefined);
}

/** Names the file behind a path, so that a replaced one shows. */
async function identify(path: string): Promise<string | undefined> {
  try {
    const { dev, ino } = await lstat(path);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

function cannotListen(directory: string, error: unknown): SignetError {
  return new SignetError(
    "SYSTEM",
    `cannot listen on ${join(directory, SOCKET_NAME)}: ${errorMessage(error)}`,
    { cause: error },
  );
}
