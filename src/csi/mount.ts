import { readFileSync } from "node:fs";
import { SignetError } from "../core/errors.ts";
import { parseMountTable } from "./mount-table.ts";
import type { MountEntry } from "./mount-table.ts";

export interface TmpfsOptions {
  /** Shown as the source in the mount table: what we know our own mounts by. */
  readonly source: string;
  readonly sizeBytes: number;
  /** Permission bits of the root folder. */
  readonly mode: number;
}

/** The mounts of this process's mount namespace. */
export interface Mounter {
  /** Mounts an empty tmpfs over an existing folder. Throws SYSTEM. */
  mountTmpfs(target: string, options: TmpfsOptions): void;
  /** Takes the topmost mount off `target`; a path without a mount is fine. Throws SYSTEM. */
  unmount(target: string): Promise<void>;
  mounts(): Promise<MountEntry[]>;
}

/** mount(2). */
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
/** umount2(2). */
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/**
 * Makes the mounter of the real system. libc is reached through koffi, which is loaded only here, so that
 * the operator never loads it. Throws SYSTEM when the platform has no mount(2).
 */
export async function createMounter(): Promise<Mounter> {
  const libc = await loadLibc();
  let noswap = true;
  return {
    mountTmpfs(target, { source, sizeBytes, mode }) {
      const options = `size=${sizeBytes},mode=${mode.toString(8).padStart(4, "0")}`;
      // Keys must not be swapped to a disk; tmpfs knows the option since Linux 6.3, not in user namespaces.
      if (noswap && libc.mount(source, target, `${options},noswap`) === 0) return;
      if (noswap && libc.errno() !== "EINVAL") throw systemError("mount", target, libc.errno());
      if (libc.mount(source, target, options) !== 0) {
        throw systemError("mount", target, libc.errno());
      }
      noswap = false;
    },
    async unmount(target) {
      if ((await libc.umount(target, UMOUNT_NOFOLLOW)) === 0) return;
      // errno is lost on koffi's worker threads; asking again on this one tells it.
      if (libc.umountSync(target, UMOUNT_NOFOLLOW) === 0) return;
      const errno = libc.errno();
      if (errno === "EINVAL" || errno === "ENOENT") return;
      // Someone holds a file open: a pod must not hang in Terminating for that, and a tmpfs has nothing to lose.
      if (errno === "EBUSY" && libc.umountSync(target, UMOUNT_NOFOLLOW | MNT_DETACH) === 0) return;
      throw systemError("umount2", target, libc.errno());
    },
    // Synchronous: the kernel answers from memory, sooner than a worker thread would wake.
    mounts: () =>
      Promise.resolve().then(() => parseMountTable(readFileSync("/proc/self/mountinfo", "utf8"))),
  };
}

interface Libc {
  mount(source: string, target: string, options: string): number;
  umount(target: string, flags: number): Promise<number>;
  umountSync(target: string, flags: number): number;
  /** The name of the last synchronous call's error. */
  errno(): string;
}

async function loadLibc(): Promise<Libc> {
  try {
    const { default: koffi } = await import("koffi");
    const self = koffi.load(null);
    const mount = self.func(
      "int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)",
    );
    const umount2 = self.func("int umount2(const char *target, int flags)");
    const names = new Map(Object.entries(koffi.os.errno).map(([name, code]) => [code, name]));
    return {
      mount: (source, target, options) =>
        mount(source, target, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options) as number,
      umount: (target, flags) =>
        new Promise((resolve, reject) => {
          umount2.async(target, flags, (error: Error | null, result: number) => {
            if (error) reject(error);
            else resolve(result);
          });
        }),
      umountSync: (target, flags) => umount2(target, flags) as number,
      errno: () => names.get(koffi.errno()) ?? `errno ${koffi.errno()}`,
    };
  } catch (error) {
    throw new SignetError("SYSTEM", "cannot reach mount(2) of this system's C library", {
      cause: error,
    });
  }
}

function systemError(call: string, path: string, errno: string): SignetError {
  const hint = errno === "EPERM" ? "; the agent must run privileged" : "";
  return new SignetError("SYSTEM", `${call} ${path}: ${errno}${hint}`, {
    details: { call, path, errno },
  });
}
