import { LONGEST_SLEEP_MS, pickDue, sleepTime } from "./schedule.ts";
import type { Scheduled } from "./schedule.ts";

/** Renewals that run at the same time while the operator answers fast. */
export const MAX_RUNNING = 16;
/** Renewals that run at the same time however slow the operator is. */
export const MIN_RUNNING = 1;
/** Renewals that run at the same time while they fail at once. */
const FEW_RUNNING = 4;
/** Renewals that run at the same time when SVIDs would expire otherwise. */
export const MAX_URGENT = 64;

/** An answer is slow when it takes longer than this and twice the time that answers are known to take. */
const SLOW_MS = 2000;
/** What fails within this time was hardly tried: nobody is there, or all are refused. */
const REFUSED_MS = 1000;
/** What takes longer was given up, or the clock was set meanwhile. */
const SLOWEST_MS = 10_000;
/** Growth of what answers are known to take, with each one that takes longer. */
const FORGETTING = 1.03;
const LEAST_KNOWN_MS = 100;
/** What was held back is looked at again after this time: it may have become urgent. */
const HELD_BACK_MS = 1000;

/** How fast a node may ask. */
export interface Pace {
  /** Works at the same time; the fraction counts towards the next one. */
  readonly limit: number;
  /** Milliseconds that a work takes when the operator is not busy, as far as is known. */
  readonly knownMs: number;
  /** When the limit was lowered last; milliseconds since the epoch. */
  readonly loweredAt: number;
}

/** The pace of a node that has not asked yet. */
export const FULL_PACE: Pace = { limit: MAX_RUNNING, knownMs: Infinity, loweredAt: -Infinity };

/** A work that is over; times in milliseconds since the epoch. */
export interface Outcome {
  readonly startedAt: number;
  readonly endedAt: number;
  /** It brought what expires later, or left nothing to do. */
  readonly isDone: boolean;
}

/**
 * The pace after a work. One that took long halves the limit, and one that failed at once halves it down to a few,
 * once for all that ran at that time; one that is done raises it, by one for each round. So the nodes of a cluster
 * together ask for what the operator can do, also when all come at once.
 */
export function paceAfter(pace: Pace, { startedAt, endedAt, isDone }: Outcome): Pace {
  const took = Math.min(SLOWEST_MS, Math.max(0, endedAt - startedAt));
  const knownMs = isDone ? learnt(pace.knownMs, took) : pace.knownMs;
  const next = { ...pace, knownMs };
  const least = leastLimit({ took, isDone, knownMs });
  if (least !== undefined) {
    const wasLowered = startedAt < pace.loweredAt && pace.loweredAt <= endedAt;
    if (wasLowered || pace.limit <= least) return next;
    return { ...next, limit: Math.max(least, pace.limit / 2), loweredAt: endedAt };
  }
  if (!isDone) return next;
  return { ...next, limit: Math.min(MAX_RUNNING, pace.limit + 1 / pace.limit) };
}

/** What the limit is lowered to at most by a work; undefined when it is no reason to lower it. */
function leastLimit(work: {
  readonly took: number;
  readonly isDone: boolean;
  readonly knownMs: number;
}): number | undefined {
  const { took, isDone, knownMs } = work;
  const usual = Number.isFinite(knownMs) ? knownMs : 0;
  if (took >= SLOWEST_MS || took > Math.max(SLOW_MS, 2 * usual)) return MIN_RUNNING;
  return !isDone && took < REFUSED_MS ? FEW_RUNNING : undefined;
}

/** The shortest time counts; what was faster long ago is forgotten. */
function learnt(knownMs: number, took: number): number {
  return Math.min(took, Math.max(LEAST_KNOWN_MS, knownMs * FORGETTING));
}

/** What to start now, and how long to sleep after that unless something changes. */
export interface Look<T> {
  readonly start: readonly T[];
  readonly sleepMs: number;
}

/** Looks at all that waits while `running` works run: as much is started as the pace and the expiries ask for. */
export function look<T extends Scheduled>(
  items: readonly T[],
  { now, running, pace }: { readonly now: number; readonly running: number; readonly pace: Pace },
): Look<T> {
  const due = pickDue(items, now, Infinity);
  // While it is slow, more calls would only wait for each other.
  const isBusy = pace.limit < MAX_RUNNING;
  const allowed = isBusy
    ? Math.floor(pace.limit)
    : Math.max(MAX_RUNNING, needed(due, { now, running, pace }));
  const start = due.slice(0, Math.max(0, allowed - running));
  if (start.length < due.length) return { start, sleepMs: HELD_BACK_MS };
  const later = items.filter(({ dueAt }) => !(dueAt <= now));
  return { start, sleepMs: later.length > 0 ? sleepTime(later, now) : LONGEST_SLEEP_MS };
}

/** Works that have to run at the same time so that all of `due`, the most urgent in front, end before they expire. */
function needed(
  due: readonly Scheduled[],
  { now, running, pace }: { readonly now: number; readonly running: number; readonly pace: Pace },
): number {
  let most = 0;
  for (const [i, { expiresAt }] of due.entries()) {
    const slack = expiresAt - now - pace.knownMs;
    // What cannot be saved any more is no reason to hurry.
    if (slack > 0) most = Math.max(most, ((i + 1 + running) * pace.knownMs) / slack);
  }
  return Math.min(MAX_URGENT, Math.ceil(most));
}
