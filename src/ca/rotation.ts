import { SignetError } from "../core/errors.ts";
import { activeAuthority, authoritiesOf } from "./journal.ts";
import type { AuthorityRecord, Journal } from "./journal.ts";
import type {
  AuthorityKind,
  AuthorityRecords,
  AuthorityStanding,
  JwtAuthorityMaterial,
  KnownAuthorityRecord,
  X509AuthorityMaterial,
} from "./record.ts";

export interface RotationPolicy<K extends AuthorityKind = AuthorityKind> {
  /** The authorities of each kind follow each other by themselves. */
  readonly kind: K;
  /**
   * How long an authority stays in the bundle after it expired, in milliseconds; left out, as long as it lived, and
   * 24 h at most, so that even the shortest lifetimes leave few authorities behind.
   */
  readonly pruneAfterMs?: number;
  /**
   * The newest bundle sequence that every consumer is known to have. A prepared authority is activated once
   * it was in that bundle; left out, once it has been published for a twelfth of the active one's lifetime.
   */
  readonly acknowledgedSequence?: number;
  /** Whether an authority is no longer what it should be, so that another succeeds it early; none when left out. */
  readonly isOutdated?: (record: AuthorityRecords[K]) => boolean;
}

/** What to do next with a journal. `at` is when it became due; of "none", when to look again. */
export type RotationDecision =
  | { readonly action: "none"; readonly at: number; readonly reason: string }
  | {
      readonly action: "prepare";
      readonly kind: AuthorityKind;
      readonly at: number;
      readonly reason: string;
    }
  | {
      readonly action: "activate";
      readonly kind: AuthorityKind;
      readonly at: number;
      readonly reason: string;
      readonly id: string;
    }
  | {
      readonly action: "prune";
      readonly kind: AuthorityKind;
      readonly at: number;
      readonly reason: string;
      readonly ids: readonly string[];
    };

/** A new authority with its kind. */
export type NewAuthority =
  | ({ readonly kind: "x509" } & X509AuthorityMaterial)
  | ({ readonly kind: "jwt" } & JwtAuthorityMaterial);

type PlannedStep = Exclude<RotationDecision, { action: "none" }>;

/** Parts of the active authority's lifetime. */
const PREPARE_AT = 1 / 2;
const ACTIVATE_AT = 5 / 6;
/** From here on the next authority takes over though not everyone is known to trust it: the end is near. */
const ACTIVATE_ANYWAY_AT = 11 / 12;
const PROPAGATION = 1 / 12;
const DAY_MS = 24 * 60 * 60 * 1000;
/** An authority whose certificate begins later than this is of no use now: the clock of its maker was wrong. */
const MAX_SKEW_MS = 60_000;
/** Longest wait until an authority that succeeds an outdated one is held to be known everywhere. */
const MAX_PROPAGATION_MS = DAY_MS;

/**
 * Decides the next step of a journal's authorities of one kind: prepare at half of the active one's lifetime,
 * activate at five sixths once the bundle has spread, prune what has been expired for a while. Without an
 * active authority that is usable (not expired, nor of a clock that ran ahead) the next one is made and activated at once;
 * an outdated one is succeeded as soon as the bundle has spread. Steps come one at a time: apply it and ask again until the
 * answer is "none".
 */
export function decideRotation<K extends AuthorityKind>(
  journal: Journal,
  now: number,
  policy: RotationPolicy<K>,
): RotationDecision {
  const steps = [succession(journal, now, policy), ...pruning(journal, policy)];
  const due = steps.find((step) => step.at <= now);
  if (due !== undefined) return due;
  const next = steps.reduce((earliest, step) => (step.at < earliest.at ? step : earliest));
  const reason = `next is ${next.action} (${policy.kind}): ${next.reason}`;
  return { action: "none", at: next.at, reason };
}

/** Adds a new authority, which is thereby published; one that was prepared before it will not be activated. */
export function prepareAuthority(journal: Journal, authority: NewAuthority, now: number): Journal {
  const { kind, id } = authority;
  if (authoritiesOf(journal, kind).some((record) => record.id === id)) {
    throw new SignetError("ALREADY_EXISTS", `${NAMES[kind]} ${id} is in the journal already`);
  }
  const sequence = journal.sequence + 1;
  const standing = { status: "prepared", sequence, preparedAt: now } as const;
  const retired = mapKind(journal, kind, (other) =>
    other.status === "prepared" ? { status: "old" } : {},
  );
  return { ...journal, sequence, authorities: [...retired, { ...authority, ...standing }] };
}

/** Lets the prepared authority `id` sign, and the active one no longer. Throws FAILED_PRECONDITION for any other. */
export function activateAuthority(
  journal: Journal,
  { kind, id }: { readonly kind: AuthorityKind; readonly id: string },
  now: number,
): Journal {
  if (!authoritiesOf(journal, kind, "prepared").some((record) => record.id === id)) {
    throw new SignetError("FAILED_PRECONDITION", `${NAMES[kind]} ${id} is not prepared`);
  }
  const authorities = mapKind(journal, kind, (record) => {
    if (record.id === id) return { status: "active", activatedAt: now };
    return record.status === "active" ? { status: "old" } : {};
  });
  return { ...journal, authorities };
}

/**
 * Takes authorities out of the journal and the bundle. Throws FAILED_PRECONDITION for one that is active
 * or has not expired: SVIDs that it signed may still be valid.
 */
export function pruneAuthorities(
  journal: Journal,
  { kind, ids }: { readonly kind: AuthorityKind; readonly ids: readonly string[] },
  now: number,
): Journal {
  const pruned: AuthorityRecord[] = [];
  for (const record of authoritiesOf(journal, kind)) {
    if (!ids.includes(record.id)) continue;
    if (record.status === "active" || now <= record.notAfter) {
      throw new SignetError("FAILED_PRECONDITION", `${NAMES[kind]} ${record.id} is still needed`);
    }
    pruned.push(record);
  }
  if (pruned.length === 0) return journal;
  const authorities = journal.authorities.filter((record) => !pruned.includes(record));
  return { ...journal, sequence: journal.sequence + 1, authorities };
}

const NAMES: Readonly<Record<AuthorityKind, string>> = {
  x509: "X.509 authority",
  jwt: "JWT authority",
};

function succession<K extends AuthorityKind>(
  journal: Journal,
  now: number,
  policy: RotationPolicy<K>,
): PlannedStep {
  const { kind, isOutdated = () => false } = policy;
  const active = activeAuthority(journal, kind);
  const next = authoritiesOf(journal, kind, "prepared").find(
    (record) => now < record.notAfter && !isEarly(record, now) && !isOutdated(record),
  );
  const atOnce = (reason: string, at = now): PlannedStep =>
    next === undefined
      ? { action: "prepare", kind, at, reason }
      : { action: "activate", kind, at, reason, id: next.id };
  if (active === undefined) return atOnce("no authority is active");
  if (now >= active.notAfter) return atOnce("the active authority has expired", active.notAfter);
  if (isEarly(active, now)) return atOnce("the active authority's certificate is not valid yet");
  const outdated = isOutdated(active);
  const prepare = planPreparation(active, kind, outdated);
  if (next === undefined) return prepare;
  const activation = planActivation(active, next, { ...policy, outdated });
  const replacementAt = Math.max(next.notAfter, prepare.at);
  const reason = "the prepared authority expires before it is needed";
  return replacementAt < activation.at ? { ...prepare, at: replacementAt, reason } : activation;
}

/** Only certificates have a beginning. */
function isEarly(record: KnownAuthorityRecord, now: number): boolean {
  return record.kind === "x509" && record.notBefore > now + MAX_SKEW_MS;
}

function planPreparation(
  active: KnownAuthorityRecord,
  kind: AuthorityKind,
  outdated: boolean,
): PlannedStep {
  const action = "prepare";
  if (outdated) {
    const reason = "the active authority is not what is configured";
    return { action, kind, at: active.preparedAt, reason };
  }
  const reason = "half of the active authority's lifetime";
  return { action, kind, at: pointOfLife(active, PREPARE_AT), reason };
}

interface SpreadPolicy extends Pick<RotationPolicy, "kind" | "acknowledgedSequence"> {
  readonly outdated: boolean;
}

function planActivation(
  active: KnownAuthorityRecord,
  next: KnownAuthorityRecord,
  policy: SpreadPolicy,
): PlannedStep {
  const step = { action: "activate", kind: policy.kind, id: next.id } as const;
  const due = policy.outdated ? next.preparedAt : pointOfLife(active, ACTIVATE_AT);
  const anyway = pointOfLife(active, ACTIVATE_ANYWAY_AT);
  const spreadAt = spreadTime(active, next, policy);
  if (spreadAt > anyway) {
    const reason =
      "the active authority ends soon, though not all consumers are known to trust the next";
    return { ...step, at: anyway, reason };
  }
  const reason = policy.outdated
    ? "the active authority is not what is configured, and the next one is known"
    : "five sixths of the active authority's lifetime, and the next one is known";
  return { ...step, at: Math.max(due, spreadAt), reason };
}

function spreadTime(
  active: KnownAuthorityRecord,
  next: KnownAuthorityRecord,
  { acknowledgedSequence, outdated }: SpreadPolicy,
): number {
  if (acknowledgedSequence === undefined) {
    const spread = Math.floor((active.notAfter - active.preparedAt) * PROPAGATION);
    return next.preparedAt + (outdated ? Math.min(spread, MAX_PROPAGATION_MS) : spread);
  }
  return next.sequence <= acknowledgedSequence ? next.preparedAt : Infinity;
}

function pruning<K extends AuthorityKind>(
  journal: Journal,
  { kind, pruneAfterMs }: RotationPolicy<K>,
): PlannedStep[] {
  return authoritiesOf(journal, kind)
    .filter(({ status }) => status !== "active")
    .map(({ id, notAfter, preparedAt }) => ({
      action: "prune" as const,
      kind,
      // One millisecond on: a certificate is valid through its notAfter.
      at: notAfter + Math.max(0, pruneAfterMs ?? Math.min(DAY_MS, notAfter - preparedAt)) + 1,
      reason: "the authority has expired",
      ids: [id],
    }));
}

/** Lifetimes count from when an authority was prepared: the backdated seconds are none of it. */
function pointOfLife({ preparedAt, notAfter }: KnownAuthorityRecord, part: number): number {
  return Math.floor(preparedAt + (notAfter - preparedAt) * part);
}

/** Changes the standing of each authority of a kind. */
function mapKind<K extends AuthorityKind>(
  journal: Journal,
  kind: K,
  change: (record: AuthorityRecords[K]) => Partial<AuthorityStanding>,
): AuthorityRecord[] {
  return journal.authorities.map((record) =>
    record.kind === kind ? { ...record, ...change(record as AuthorityRecords[K]) } : record,
  );
}
