import type { Clock } from "../core/clock.ts";
import { FULL_PACE, look, paceAfter } from "./pace.ts";
import type { Scheduled } from "./schedule.ts";

/** A loop that starts what is due. */
export interface DueLoop {
  /** Looks again now: something changed. */
  wake(): void;
  /** Runs until the signal aborts and the last work is over. */
  run(signal: AbortSignal): Promise<void>;
}

/** A thing that waits for its time. */
export interface Waiting<T> extends Scheduled {
  readonly item: T;
}

export interface DueLoopOptions<T> {
  /** What waits: nothing that is worked on already. */
  readonly waiting: () => readonly Waiting<T>[];
  /** What is worked on: times that are chosen for it meanwhile count when it waits again. */
  readonly busy?: () => readonly Waiting<T>[];
  /** Must not throw. Takes the item out of what waits before it first yields, and puts it back. */
  readonly work: (item: T, signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
}

/** A clock that shows less than expected by more than this, in milliseconds, was set back. */
const SET_BACK_MS = 1000;

/**
 * Makes the loop: what expires first goes in front, no more at once than the pace allows, and what waits is
 * not kept waiting by a clock that was set back.
 */
export function dueLoop<T>({ waiting, busy, work, clock }: DueLoopOptions<T>): DueLoop {
  let sleep = new AbortController();
  const wake = (): void => sleep.abort();
  return {
    wake,
    async run(signal) {
      const running = new Set<Promise<void>>();
      let pace = FULL_PACE;
      let setBacks: SetBacks<T> = new Map();
      let expected = -Infinity;
      const begin = ({ item, expiresAt }: Waiting<T>, startedAt: number): void => {
        const task = work(item, signal).finally(() => {
          running.delete(task);
          const after = waiting().find((other) => other.item === item);
          const isDone = !after || after.dueAt === Infinity || after.expiresAt > expiresAt;
          pace = paceAfter(pace, { startedAt, endedAt: clock.now(), isDone });
          wake();
        });
        running.add(task);
      };
      signal.addEventListener("abort", wake, { once: true });
      while (!signal.aborted) {
        sleep = new AbortController();
        const now = clock.now();
        const items = waiting();
        if (now < expected - SET_BACK_MS) {
          setBacks = setBack(setBacks, [...items, ...(busy?.() ?? [])], expected - now);
        }
        const known = { now, running: running.size, pace };
        const { start, sleepMs } = look(corrected(items, setBacks), known);
        for (const due of start) begin(due, now);
        expected = now + ((await slept(clock, sleepMs, sleep.signal)) ? sleepMs : 0);
      }
      await Promise.all(running);
    },
  };
}

/** Tells whether the sleep came to its end. */
function slept(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  return clock.sleep(ms, signal).then(
    () => true,
    () => false,
  );
}

/** By how many milliseconds the clock was set back since a time was chosen, while the item keeps that time. */
type SetBacks<T> = ReadonlyMap<T, { readonly dueAt: number; readonly by: number }>;

function setBack<T>(before: SetBacks<T>, items: readonly Waiting<T>[], by: number): SetBacks<T> {
  return new Map(
    items.map(({ item, dueAt }) => {
      const earlier = before.get(item);
      const sum = by + (earlier?.dueAt === dueAt ? earlier.by : 0);
      return [item, { dueAt, by: sum }] as const;
    }),
  );
}

/** Brings times that were chosen before the clock was set back to what it shows now. */
function corrected<T>(items: readonly Waiting<T>[], setBacks: SetBacks<T>): readonly Waiting<T>[] {
  if (setBacks.size === 0) return items;
  return items.map((waiting) => {
    const change = setBacks.get(waiting.item);
    if (change?.dueAt !== waiting.dueAt) return waiting;
    return { ...waiting, dueAt: waiting.dueAt - change.by };
  });
}
