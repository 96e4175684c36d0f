import { SignetError } from "../core/errors.ts";
import { activeX509Authority, x509Authorities } from "./journal.ts";
import type { AuthorityRecord, Journal } from "./journal.ts";
import type { X509AuthorityMaterial, X509AuthorityRecord } from "./record.ts";

export interface RotationPolicy {
  /** How long an authority stays in the bundle after it expired, in milliseconds; 24 h when left out. */
  readonly pruneAfterMs?: number;
  /**
   * The newest bundle sequence that every consumer is known to have. A prepared authority is activated once
   * it was in that bundle; left out, once it has been published for a twelfth of the active one's lifetime.
   */
  readonly acknowledgedSequence?: number;
}

/** What to do next with a journal. `at` is when it became due; of "none", when to look again. */
export type RotationDecision =
  | { readonly action: "none"; readonly at: number; readonly reason: string }
  | { readonly action: "prepare"; readonly at: number; readonly reason: string }
  | {
      readonly action: "activate";
      readonly at: number;
      readonly reason: string;
      readonly id: string;
    }
  | {
      readonly action: "prune";
      readonly at: number;
      readonly reason: string;
      readonly ids: readonly string[];
    };

type PlannedStep = Exclude<RotationDecision, { action: "none" }>;

/** Parts of the active authority's lifetime. */
const PREPARE_AT = 1 / 2;
const ACTIVATE_AT = 5 / 6;
/** From here on the next authority takes over though not everyone is known to trust it: the end is near. */
const ACTIVATE_ANYWAY_AT = 11 / 12;
const PROPAGATION = 1 / 12;
const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Decides the next step of a journal's X.509 authorities: prepare at half of the active one's lifetime,
 * activate at five sixths once the bundle has spread, prune what has been expired for a while. Without a
 * usable active authority the next one is made and activated at once. Steps come one at a time: apply it
 * and ask again until the answer is "none".
 */
export function decideRotation(
  journal: Journal,
  now: number,
  policy: RotationPolicy = {},
): RotationDecision {
  const steps = [succession(journal, now, policy), ...pruning(journal, policy)];
  const due = steps.find((step) => step.at <= now);
  if (due !== undefined) return due;
  const next = steps.reduce((earliest, step) => (step.at < earliest.at ? step : earliest));
  return { action: "none", at: next.at, reason: `next is ${next.action}: ${next.reason}` };
}

/** When to ask `decideRotation` again: `now` when something is due already. */
export function nextRotationAt(journal: Journal, now: number, policy: RotationPolicy = {}): number {
  return Math.max(now, decideRotation(journal, now, policy).at);
}

/** Adds a new authority, which is thereby published; one that was prepared before it will not be activated. */
export function prepareAuthority(
  journal: Journal,
  material: X509AuthorityMaterial,
  now: number,
): Journal {
  if (x509Authorities(journal).some(({ id }) => id === material.id)) {
    throw new SignetError(
      "ALREADY_EXISTS",
      `X.509 authority ${material.id} is in the journal already`,
    );
  }
  const sequence = journal.sequence + 1;
  const record: X509AuthorityRecord = {
    ...material,
    kind: "x509",
    status: "prepared",
    sequence,
    preparedAt: now,
  };
  const retired = mapX509(journal, (other) =>
    other.status === "prepared" ? { ...other, status: "old" } : other,
  );
  return { ...journal, sequence, authorities: [...retired, record] };
}

/** Lets the prepared authority `id` sign, and the active one no longer. Throws FAILED_PRECONDITION for any other. */
export function activateAuthority(journal: Journal, id: string, now: number): Journal {
  if (!x509Authorities(journal, "prepared").some((record) => record.id === id)) {
    throw new SignetError("FAILED_PRECONDITION", `X.509 authority ${id} is not prepared`);
  }
  const authorities = mapX509(journal, (record) => {
    if (record.id === id) return { ...record, status: "active", activatedAt: now };
    return record.status === "active" ? { ...record, status: "old" } : record;
  });
  return { ...journal, authorities };
}

/**
 * Takes authorities out of the journal and the bundle. Throws FAILED_PRECONDITION for one that is active
 * or has not expired: SVIDs that it signed may still be valid.
 */
export function pruneAuthorities(journal: Journal, ids: readonly string[], now: number): Journal {
  const pruned = x509Authorities(journal).filter(({ id }) => ids.includes(id));
  const needed = pruned.find(({ status, notAfter }) => status === "active" || now <= notAfter);
  if (needed !== undefined) {
    throw new SignetError("FAILED_PRECONDITION", `X.509 authority ${needed.id} is still needed`);
  }
  if (pruned.length === 0) return journal;
  const authorities = journal.authorities.filter((record) => !pruned.some((one) => one === record));
  return { ...journal, sequence: journal.sequence + 1, authorities };
}

function succession(journal: Journal, now: number, policy: RotationPolicy): PlannedStep {
  const active = activeX509Authority(journal);
  const next = x509Authorities(journal, "prepared").find(({ notAfter }) => now < notAfter);
  if (active === undefined || now >= active.notAfter) {
    const reason =
      active === undefined ? "no authority is active" : "the active authority has expired";
    const at = active === undefined ? now : active.notAfter;
    return next === undefined
      ? { action: "prepare", at, reason }
      : { action: "activate", at, reason, id: next.id };
  }
  if (next === undefined) {
    return {
      action: "prepare",
      at: pointOfLife(active, PREPARE_AT),
      reason: "half of the active authority's lifetime",
    };
  }
  const activation = planActivation(active, next, policy);
  const replacementAt = Math.max(next.notAfter, pointOfLife(active, PREPARE_AT));
  return replacementAt < activation.at
    ? {
        action: "prepare",
        at: replacementAt,
        reason: "the prepared authority expires before it is needed",
      }
    : activation;
}

function planActivation(
  active: X509AuthorityRecord,
  next: X509AuthorityRecord,
  policy: RotationPolicy,
): PlannedStep {
  const due = pointOfLife(active, ACTIVATE_AT);
  const anyway = pointOfLife(active, ACTIVATE_ANYWAY_AT);
  const spreadAt = spreadTime(active, next, policy);
  if (spreadAt > anyway) {
    const reason =
      "the active authority ends soon, though not all consumers are known to trust the next";
    return { action: "activate", at: anyway, reason, id: next.id };
  }
  const reason = "five sixths of the active authority's lifetime, and the next one is known";
  return { action: "activate", at: Math.max(due, spreadAt), reason, id: next.id };
}

function spreadTime(
  active: X509AuthorityRecord,
  next: X509AuthorityRecord,
  { acknowledgedSequence }: RotationPolicy,
): number {
  if (acknowledgedSequence === undefined) {
    return next.preparedAt + Math.floor((active.notAfter - active.preparedAt) * PROPAGATION);
  }
  return next.sequence <= acknowledgedSequence ? next.preparedAt : Infinity;
}

function pruning(journal: Journal, { pruneAfterMs = DAY_MS }: RotationPolicy): PlannedStep[] {
  return x509Authorities(journal)
    .filter(({ status }) => status !== "active")
    .map(({ id, notAfter }) => ({
      action: "prune" as const,
      // One millisecond on: a certificate is valid through its notAfter.
      at: notAfter + Math.max(0, pruneAfterMs) + 1,
      reason: "the authority has expired",
      ids: [id],
    }));
}

/** Lifetimes count from when an authority was prepared: the backdated seconds are none of it. */
function pointOfLife({ preparedAt, notAfter }: X509AuthorityRecord, part: number): number {
  return Math.floor(preparedAt + (notAfter - preparedAt) * part);
}

function mapX509(
  journal: Journal,
  change: (record: X509AuthorityRecord) => X509AuthorityRecord,
): AuthorityRecord[] {
  const known = new Set<AuthorityRecord>(x509Authorities(journal));
  return journal.authorities.map((record) =>
    known.has(record) ? change(record as X509AuthorityRecord) : record,
  );
}
