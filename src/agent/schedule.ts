import { backoffDelay } from "../core/backoff.ts";

/** Random numbers from 0 up to but without 1. */
export type Random = () => number;

/**
 * The scheduler looks at the clock at least this often, in milliseconds: timers do not notice
 * that the clock was set or that the machine slept.
 */
export const LONGEST_SLEEP_MS = 10_000;

/** A CA dates certificates back against clocks that lag; up to this much of it is not counted as lifetime. */
const BACKDATING_MS = 60_000;
/** Share of half a lifetime that renewals are spread over, to each side. */
const SPREAD = 0.1;
/** The share of a lifetime after which an SVID that gets a moment of its own may be renewed. */
const EARLIEST_SHARE = 0.1;
/** The shares of a lifetime between which a renewal counts as one by schedule. */
const ON_SCHEDULE = { from: 0.445, to: 0.6 };
/** A few tries that fail may take this long and are no outage, however short the lifetime is. */
const FEW_TRIES_MS = 15_000;
const MIN_RENEWAL_GAP_MS = 1000;
const RETRY = { initialMs: 1000, maxMs: 60_000 };
const MIN_RETRY_MS = 250;
const SHORTEST_RENEWAL_MS = 5000;
const LONGEST_RENEWAL_MS = 10_000;
const DENIED_MIN_MS = 1000;
const DENIED_MAX_MS = 300_000;

/** Validity of an SVID; milliseconds since the epoch. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

/**
 * When an SVID that is taken over should be renewed: half of its lifetime ± 10 %; a fresh one earlier, at a moment
 * of its own, so that pods that started together part at once. An SVID that is already past that is due now.
 * Milliseconds since the epoch.
 */
export function renewalTime(validity: Validity, now: number, random: Random): number {
  const start = latestStart(validity);
  if (now <= start) return now + gap(lifetime(validity, now) * anyShare(random));
  return Math.round(start + (validity.notAfter - start) * halfShare(random));
}

/**
 * When an SVID that came just now should be renewed: half of its lifetime ± 10 %. Never at once, so that a node
 * whose clock runs ahead does not renew without pause, and never later for a clock that runs behind, so that
 * others do not see it expired. Milliseconds since the epoch.
 */
export function nextRenewalTime(validity: Validity, now: number, random: Random): number {
  return now + gap(lifetime(validity, now) * halfShare(random));
}

/**
 * When an SVID that came just now in the place of `replaced` should be renewed: as `nextRenewalTime` when that
 * one was renewed on its schedule. Any other cause (the first of its pod, a changed entry, a new authority, the
 * end of an outage) came to many at once: then each gets a moment of its own, earlier, as in `renewalTime`.
 */
export function renewalTimeAfter(
  replaced: Validity | undefined,
  validity: Validity,
  { now, random }: { readonly now: number; readonly random: Random },
): number {
  if (replaced && isOnSchedule(replaced, now)) return nextRenewalTime(validity, now, random);
  return now + gap(lifetime(validity, now) * anyShare(random));
}

function isOnSchedule(validity: Validity, now: number): boolean {
  const { notBefore, notAfter } = validity;
  // A clock that runs behind says nothing about it.
  if (now < notBefore) return true;
  const start = latestStart(validity);
  const earliest = notBefore + (notAfter - notBefore) * ON_SCHEDULE.from;
  const life = notAfter - start;
  const latest = start + Math.max(life * ON_SCHEDULE.to, life / 2 + FEW_TRIES_MS);
  return now >= earliest && now <= latest;
}

/** The latest moment at which the SVID may have been issued: how far it was dated back is not known. */
function latestStart({ notBefore, notAfter }: Validity): number {
  return notBefore + Math.min(BACKDATING_MS, (notAfter - notBefore) / 2);
}

/** What is left of a fresh SVID; by a clock that cannot be right, the least that it was issued for. */
function lifetime(validity: Validity, now: number): number {
  const { notBefore, notAfter } = validity;
  const isPossible = now >= notBefore && now < notAfter;
  return notAfter - (isPossible ? now : latestStart(validity));
}

function halfShare(random: Random): number {
  return (1 + SPREAD * (2 * random() - 1)) / 2;
}

/** As wide as one half-life, so that what was at one moment is everywhere. */
function anyShare(random: Random): number {
  const latest = (1 + SPREAD) / 2;
  return EARLIEST_SHARE + (latest - EARLIEST_SHARE) * random();
}

function gap(ms: number): number {
  return Math.max(MIN_RENEWAL_GAP_MS, Math.round(ms));
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

/**
 * Milliseconds that one renewal may take: 10 s, but no more than half of what is left of the SVID, so that it
 * lives to see another try. `remaining` is as in `retryDelay`.
 */
export function renewalTimeout(remaining: number): number {
  if (remaining <= 0) return LONGEST_RENEWAL_MS;
  return Math.min(LONGEST_RENEWAL_MS, Math.max(SHORTEST_RENEWAL_MS, remaining / 2));
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
