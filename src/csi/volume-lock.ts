import { SignetError } from "../core/errors.ts";

export type Operation = "publish" | "unpublish" | "write";

/** Held while one operation runs on a volume. */
export interface VolumeLease {
  /** Aborts when an unpublish wants the volume from a publish that waits, or all are told to stop. */
  readonly signal: AbortSignal;
  release(): void;
}

/** One operation at a time per volume. */
export interface VolumeLock {
  /**
   * Takes the volume. A write in progress is waited for, and a write waits for whatever runs; an unpublish
   * aborts a running publish and waits for its end. Any other meeting of two throws ABORTED, and a closed
   * lock throws the reason that it was closed for.
   */
  acquire(id: string, operation: Operation): Promise<VolumeLease>;
  /** Whether an operation runs on the volume. */
  isBusy(id: string): boolean;
  /** Aborts every operation in progress, refuses new ones, and resolves when all have ended. */
  close(reason: SignetError): Promise<void>;
}

interface Running {
  readonly operation: Operation;
  readonly abort: AbortController;
  readonly ended: Promise<void>;
}

/** Makes a lock for any number of volumes. */
export function createVolumeLock(): VolumeLock {
  const running = new Map<string, Running>();
  let closed: SignetError | undefined;
  const start = (id: string, operation: Operation): VolumeLease => {
    const abort = new AbortController();
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    running.set(id, { operation, abort, ended });
    return {
      signal: abort.signal,
      release() {
        running.delete(id);
        resolve();
      },
    };
  };
  return {
    async acquire(id, operation) {
      for (let other = running.get(id); other; other = running.get(id)) {
        if (operation === "unpublish" && other.operation === "publish") {
          other.abort.abort(new SignetError("ABORTED", "the pod's volume is being taken down"));
        } else if (operation !== "write" && other.operation !== "write") {
          throw new SignetError(
            "ABORTED",
            `volume ${id}: ${other.operation} is in progress; try again`,
          );
        }
        await other.ended;
      }
      if (closed !== undefined) throw closed;
      return start(id, operation);
    },
    isBusy: (id) => running.has(id),
    async close(reason) {
      closed = reason;
      const all = [...running.values()];
      for (const { abort } of all) abort.abort(reason);
      await Promise.all(all.map(({ ended }) => ended));
    },
  };
}
