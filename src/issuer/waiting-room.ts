import type { Clock } from "../core/clock.ts";
import { SignetError } from "../core/errors.ts";
import type { RegistrationEntry } from "../registration/entry.ts";
import type { EntryRegistry } from "./ports.ts";

export interface WaitOptions {
  readonly podUid: string;
  /** Milliseconds to wait at the longest. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Where the first issue of a pod waits until something selects the pod. */
export interface WaitingRoom {
  /**
   * Resolves with the pod's entries as soon as there are any, and with none after the time-out.
   * Throws POD_GONE when the pod ends meanwhile, UNAVAILABLE when the operator stops, CANCELLED when the
   * caller went away.
   */
  waitForEntries(options: WaitOptions): Promise<readonly RegistrationEntry[]>;
  /** Sends everyone away: the operator stops. */
  close(): void;
}

interface Waiter {
  check(): void;
  fail(error: SignetError): void;
}

/** Opens a waiting room that follows the registry's changes. */
export function createWaitingRoom(registry: EntryRegistry, clock: Clock): WaitingRoom {
  const waiters = new Map<string, Set<Waiter>>();
  const each = (podUid: string, act: (waiter: Waiter) => void): void => {
    for (const waiter of waiters.get(podUid)?.values().toArray() ?? []) act(waiter);
  };
  const ended = endedPods();
  const unsubscribe = registry.subscribe({
    entriesChanged: (podUid) => each(podUid, (waiter) => waiter.check()),
    podEnding(podUid) {
      ended.add(podUid);
      each(podUid, (waiter) => waiter.fail(podGone()));
    },
  });
  const seat = (podUid: string, waiter: Waiter): (() => void) => {
    const seats = waiters.get(podUid) ?? new Set();
    waiters.set(podUid, seats.add(waiter));
    return () => {
      seats.delete(waiter);
      if (seats.size === 0 && waiters.get(podUid) === seats) waiters.delete(podUid);
    };
  };
  return {
    async waitForEntries({ podUid, timeoutMs, signal }) {
      const { promise, resolve, reject } = Promise.withResolvers<readonly RegistrationEntry[]>();
      const leave = seat(podUid, {
        check() {
          const entries = registry.entriesOfPod(podUid);
          if (entries.length > 0) resolve(entries);
        },
        fail: reject,
      });
      const cancelled = (): void => reject(new SignetError("CANCELLED", "the caller went away"));
      const over = new AbortController();
      clock.sleep(timeoutMs, over.signal).then(
        () => resolve([]),
        () => undefined,
      );
      signal.addEventListener("abort", cancelled, { once: true });
      try {
        if (ended.has(podUid)) throw podGone();
        const already = registry.entriesOfPod(podUid);
        return already.length > 0 ? already : await promise;
      } finally {
        over.abort();
        signal.removeEventListener("abort", cancelled);
        leave();
      }
    },
    close() {
      unsubscribe();
      const stopping = new SignetError("UNAVAILABLE", "the operator is stopping");
      for (const podUid of waiters.keys().toArray())
        each(podUid, (waiter) => waiter.fail(stopping));
    },
  };
}

/** More than can end between a look at a pod and the wait for it. */
const REMEMBERED_PODS = 10_000;

/** The pods that ended last: one may end after its caller saw it alive and before it sat down to wait. */
function endedPods(): { add(podUid: string): void; has(podUid: string): boolean } {
  const uids = new Set<string>();
  return {
    has: (podUid) => uids.has(podUid),
    add(podUid) {
      uids.add(podUid);
      const oldest = uids.values().next();
      if (uids.size > REMEMBERED_PODS && !oldest.done) uids.delete(oldest.value);
    },
  };
}

function podGone(): SignetError {
  return new SignetError(
    "POD_GONE",
    "the pod is being deleted; nobody waits for its identity any more",
  );
}
