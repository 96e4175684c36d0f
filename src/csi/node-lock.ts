import { closeSync, openSync } from "node:fs";
import type { Clock } from "../core/clock.ts";
import { errorMessage, SignetError } from "../core/errors.ts";

/** How often a waiting process looks: what a hand-over adds to the time without sockets. */
const LOOK_EVERY_MS = 25;

/** flock(2). */
const LOCK_EX = 2;
const LOCK_NB = 4;

/** Held by the one process of a node that looks after its volumes. */
export interface NodeLock {
  /** Lets the next process begin. The kernel does it for one that dies. */
  release(): void;
}

export interface NodeLockOptions {
  readonly clock: Clock;
  /** Ends the wait. */
  readonly signal: AbortSignal;
  /** Called once, when another process holds the lock. */
  readonly onWait: () => void;
}

/**
 * Takes the lock that the file `path` stands for, made where it is missing, and waits while another process holds
 * it, in whatever container of the node. Throws the signal's reason, or SYSTEM when the file cannot be locked.
 */
export async function acquireNodeLock(
  path: string,
  { clock, signal, onWait }: NodeLockOptions,
): Promise<NodeLock> {
  const flock = await loadFlock();
  let waiting = false;
  for (;;) {
    signal.throwIfAborted();
    const fd = tryLock(path, flock);
    if (fd !== undefined) return { release: () => closeSync(fd) };
    if (!waiting) onWait();
    waiting = true;
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
}

/** An error's name; undefined when the lock was taken. */
type Flock = (fd: number) => string | undefined;

function tryLock(path: string, flock: Flock): number | undefined {
  const fd = openLockFile(path);
  try {
    const errno = flock(fd);
    if (errno === undefined) return fd;
    if (errno !== "EAGAIN" && errno !== "EWOULDBLOCK") {
      throw new SignetError("SYSTEM", `flock ${path}: ${errno}`, {
        details: { call: "flock", path, errno },
      });
    }
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  closeSync(fd);
  return undefined;
}

/** Closed on exec, so that no child keeps the lock; closing it gives the lock back. */
function openLockFile(path: string): number {
  try {
    return openSync(path, "a", 0o600);
  } catch (cause) {
    throw new SignetError("SYSTEM", `cannot open ${path}: ${errorMessage(cause)}`, { cause });
  }
}

async function loadFlock(): Promise<Flock> {
  try {
    const { default: koffi } = await import("koffi");
    const flock = koffi.load(null).func("int flock(int fd, int operation)");
    const names = new Map(Object.entries(koffi.os.errno).map(([name, code]) => [code, name]));
    return (fd) => {
      if ((flock(fd, LOCK_EX | LOCK_NB) as number) === 0) return undefined;
      return names.get(koffi.errno()) ?? `errno ${koffi.errno()}`;
    };
  } catch (error) {
    throw new SignetError("SYSTEM", "cannot reach flock(2) of this system's C library", {
      cause: error,
    });
  }
}
