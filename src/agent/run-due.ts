import type { Clock } from "../core/clock.ts";
import { LONGEST_SLEEP_MS, MAX_RUNNING, pickDue, sleepTime } from "./schedule.ts";
import type { Scheduled } from "./schedule.ts";

/** A loop that starts what is due. */
export interface DueLoop {
  /** Looks again now: something changed. */
  wake(): void;
  /** Runs until the signal aborts and the last work is over. */
  run(signal: AbortSignal): Promise<void>;
}

export interface DueLoopOptions<T> {
  /** What waits: nothing that is worked on already. */
  readonly waiting: () => readonly (Scheduled & { readonly item: T })[];
  /** Must not throw. Takes the item out of what waits before it first yields, and puts it back. */
  readonly work: (item: T, signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
}

/** Makes the loop: at most MAX_RUNNING works at once, what expires first in front. */
export function dueLoop<T>({ waiting, work, clock }: DueLoopOptions<T>): DueLoop {
  let sleep = new AbortController();
  const wake = (): void => sleep.abort();
  return {
    wake,
    async run(signal) {
      const running = new Set<Promise<void>>();
      signal.addEventListener("abort", wake, { once: true });
      while (!signal.aborted) {
        sleep = new AbortController();
        const now = clock.now();
        for (const { item } of pickDue(waiting(), now, MAX_RUNNING - running.size)) {
          const task = work(item, signal).finally(() => {
            running.delete(task);
            wake();
          });
          running.add(task);
        }
        const isFull = running.size >= MAX_RUNNING;
        const ms = isFull ? LONGEST_SLEEP_MS : sleepTime(waiting(), now);
        await clock.sleep(ms, sleep.signal).catch(() => undefined);
      }
      await Promise.all(running);
    },
  };
}
