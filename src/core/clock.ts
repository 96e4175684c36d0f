import { setTimeout as delay } from "node:timers/promises";

/** Time as a port: whatever waits or compares times takes one, so that tests can own it. */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Resolves after `ms`; rejects with the signal's reason when it aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** setTimeout counts in 32 bits: a longer sleep is cut into pieces of this length, and a longer timer fires at once. */
export const LONGEST_TIMER_MS = 0x7fffffff;

/** The machine's own clock. */
export function systemClock(): Clock {
  return {
    now: () => Date.now(),
    async sleep(ms, signal) {
      for (let left = ms; left > 0; left -= LONGEST_TIMER_MS) {
        await delay(Math.min(left, LONGEST_TIMER_MS), undefined, signal ? { signal } : {});
      }
      signal?.throwIfAborted();
    },
  };
}

interface Sleeper {
  readonly at: number;
  wake(): void;
}

/** A clock that moves only when told to; `advance` wakes sleepers in the order of their times. */
export interface ManualClock extends Clock {
  /** Moves time on by `ms`, waking every sleeper whose time has come. */
  advance(ms: number): Promise<void>;
  /** How many sleepers wait. */
  readonly sleeping: number;
}

/** Makes a manual clock that shows `start` (milliseconds since the epoch). */
export function manualClock(start = 0): ManualClock {
  let now = start;
  const sleepers = new Set<Sleeper>();
  const nextDue = (until: number): Sleeper | undefined =>
    [...sleepers].filter((s) => s.at <= until).toSorted((a, b) => a.at - b.at)[0];
  return {
    now: () => now,
    get sleeping() {
      return sleepers.size;
    },
    sleep(ms, signal) {
      return new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        const abort = (): void => {
          sleepers.delete(sleeper);
          reject(signal?.reason as Error);
        };
        const sleeper: Sleeper = {
          at: now + ms,
          wake() {
            signal?.removeEventListener("abort", abort);
            resolve();
          },
        };
        signal?.addEventListener("abort", abort, { once: true });
        sleepers.add(sleeper);
      });
    },
    async advance(ms) {
      const end = now + ms;
      for (let due = nextDue(end); due; due = nextDue(end)) {
        now = Math.max(now, due.at);
        sleepers.delete(due);
        due.wake();
        await new Promise((resolve) => setImmediate(resolve));
      }
      now = end;
    },
  };
}
