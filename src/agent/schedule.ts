import { backoffDelay } from "../core/backoff.ts";

/** Random numbers from 0 up to but without 1. */
export type Random = () => number;

/** Renewals that run at the same time. */
export const MAX_RUNNING = 16;

/**
 * The scheduler looks at the clock at least this often, in milliseconds: timers do not notice
 * that the clock was set or that the machine slept.
 */
export const LONGEST_SLEEP_MS = 10_000;

/** A CA dates certificates back against clocks that lag; up to this much of it is not counted as lifetime. */
const BACKDATING_MS = 60_000;
/** Share of half a lifetime that renewals are spread over, to each side. */
const SPREAD = 0.1;
const MIN_RENEWAL_GAP_MS = 1000;
const RETRY = { initialMs: 1000, maxMs: 60_000 };
const MIN_RETRY_MS = 250;
const DENIED_MIN_MS = 1000;
const DENIED_MAX_MS = 300_000;

/** Validity of an SVID, and now; milliseconds since the epoch. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

/**
 * When an SVID should be renewed: half of its lifetime ± 10 %. An SVID that is already past that is due
 * now. Milliseconds since the epoch.
 */
export function renewalTime(
  { notBefore, notAfter }: Validity,
  now: number,
  random: Random,
): number {
  const backdating = Math.min(BACKDATING_MS, (notAfter - notBefore) / 2);
  const start = Math.min(Math.max(now, notBefore), notBefore + backdating);
  return Math.round(start + ((notAfter - start) / 2) * (1 + SPREAD * (2 * random() - 1)));
}

/**
 * When an SVID that came just now should be renewed: as `renewalTime`, but never at once, so that a node
 * whose clock runs ahead does not renew without pause.
 */
export function nextRenewalTime(validity: Validity, now: number, random: Random): number {
  const gap = Math.max(MIN_RENEWAL_GAP_MS, Math.ceil((validity.notAfter - now) / 4));
  return Math.max(renewalTime(validity, now, random), now + gap);
}

/**
 * Milliseconds until the next try after `attempt` + 1 failures in a row: 1 s, doubling to 60 s, but never
 * more than a quarter of what is left of the SVID, so that at least three more tries fit.
 * `remaining` is in milliseconds; without a living SVID it is zero or less and bounds nothing.
 */
export function retryDelay(attempt: number, remaining: number, random: Random): number {
  const delay = backoffDelay(attempt, RETRY, random);
  return remaining > 0 ? Math.max(MIN_RETRY_MS, Math.min(delay, Math.floor(remaining / 4))) : delay;
}

/**
 * Milliseconds until a pod is asked for again that the operator refused: five minutes, or a quarter of
 * what is left of the SVID, since a replica that lags may have refused it. At least a second.
 */
export function deniedDelay(remaining: number, random: Random): number {
  const bounded = remaining > 0 ? Math.min(DENIED_MAX_MS, remaining / 4) : DENIED_MAX_MS;
  return Math.round(Math.max(DENIED_MIN_MS, bounded) * (1 + SPREAD * random()));
}

/** Milliseconds until a bundle that could not be written is written again. */
export const REWRITE_RETRY_MS = 5000;

/** Milliseconds that one renewal may take: 10 s, less when the SVID would not live to see another try. */
export function renewalTimeout(remaining: number): number {
  return remaining > 0 ? Math.min(10_000, Math.max(2000, remaining / 4)) : 10_000;
}

/** Something that is due at a time and matters more the sooner it expires. */
export interface Scheduled {
  /** Milliseconds since the epoch; Infinity for never. */
  readonly dueAt: number;
  readonly expiresAt: number;
}

/** Up to `free` of the items that are due, what expires first in front. */
export function pickDue<T extends Scheduled>(items: Iterable<T>, now: number, free: number): T[] {
  return [...items]
    .filter((item) => item.dueAt <= now)
    .toSorted((a, b) => a.expiresAt - b.expiresAt)
    .slice(0, Math.max(0, free));
}

/** Milliseconds to sleep until the first item is due, never longer than LONGEST_SLEEP_MS. */
export function sleepTime(items: Iterable<Scheduled>, now: number): number {
  let first = now + LONGEST_SLEEP_MS;
  for (const { dueAt } of items) first = Math.min(first, dueAt);
  return Math.max(0, first - now);
}
