import { sameAuthorities } from "../spiffe/bundle.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import type { Volume, WorkloadIdentity } from "../csi/ports.ts";
import { isVerifiable } from "./chain.ts";
import { deniedDelay, renewalTime, renewalTimeAfter, retryDelay } from "./schedule.ts";
import type { Random, Scheduled, Validity } from "./schedule.ts";
import { isSignedWithin, nextTokensDue, tokensDue } from "./token-schedule.ts";

/** Why a workload's identity is not kept fresh as it should be. */
export type Trouble = "failing" | "denied" | "no-identity";

/** A volume that is looked after; times in milliseconds since the epoch, Infinity for never. */
export interface Workload {
  readonly volume: Volume;
  /** The newest that is known, which the Workload API serves; the files follow it. */
  readonly held: WorkloadIdentity | undefined;
  /** The operator, who knew the whole node, said that the pod has no identity any more. */
  readonly gone: boolean;
  /** Taken over with an identity that the operator, who knew the whole node, had not named. */
  readonly unnamed: boolean;
  /** When `held` was taken over or came last. */
  readonly refreshedAt: number;
  readonly renewAt: number;
  /** When the volume is to be made to show `held`, or to be cleared without. */
  readonly writeAt: number;
  /** Writes that failed in a row. */
  readonly failedWrites: number;
  /** Failed or fruitless renewals in a row. */
  readonly attempt: number;
  readonly trouble: Trouble | undefined;
  /** When the tokens in the volume are to be renewed. */
  readonly tokensAt: number;
  /** Failed renewals of tokens in a row. */
  readonly tokenAttempt: number;
}

/** Entries that apply to a pod, comparable by text; undefined when none is known. */
export type Wanted = string | undefined;

export interface Moment {
  readonly now: number;
  readonly random: Random;
}

/** An entry with the fingerprint of its content. */
export interface EntryRef {
  readonly entryId: string;
  readonly revision: string;
}

/** Bundle changes are written within this time, so that a node does not rewrite all volumes in one instant. */
const REWRITE_SPREAD_MS = 1000;
/** An identity that was not named may be on its way, or was taken away meanwhile: then it is asked for again. */
const UNNAMED_MS = 5000;
/** Renewals that are overdue when the operator is back are spread over this time. */
const RECOVERY_SPREAD_MS = 1000;

/** Text that is equal for equal sets of (entry, revision), whatever their order; empty for none. */
export function fingerprint(entries: readonly EntryRef[]): string {
  const refs = entries.map(({ entryId, revision }) => JSON.stringify([entryId, revision]));
  return [...new Set(refs)].toSorted().join();
}

/** Tells whether an entry is among those that are wanted. */
export function isWanted(wanted: string, { entryId, revision }: EntryRef): boolean {
  // Quotes within names are escaped, so that a text in brackets is found only as a whole.
  return wanted.includes(JSON.stringify([entryId, revision]));
}

/** A volume as it is taken over. Without an identity it is fetched as soon as an entry is known. */
export function adopted(
  volume: Volume,
  held: WorkloadIdentity | undefined,
  {
    wanted,
    isSynced,
    now,
    random,
  }: Moment & { readonly wanted: Wanted; readonly isSynced?: boolean },
): Workload {
  const unnamed = isSynced === true && !wanted;
  const latest = unnamed ? now + UNNAMED_MS : Infinity;
  const renewAt = held ? Math.min(latest, renewalTime(validity(held), now, random)) : Infinity;
  const tokensAt = held ? tokensDue(held, { volume, now, random }) : Infinity;
  const fresh = { attempt: 0, trouble: undefined, refreshedAt: now };
  const written = { writeAt: Infinity, failedWrites: 0, gone: false, unnamed };
  const workload = { volume, held, renewAt, tokensAt, tokenAttempt: 0, ...fresh, ...written };
  return wanted ? withEntries(workload, wanted, { now, random }) : workload;
}

/**
 * Reacts to the entries that the operator names: other ones than held are fetched now, the same ones
 * put a workload back to its schedule, also after failures, since the operator is back.
 */
export function withEntries(workload: Workload, wanted: string, { now, random }: Moment): Workload {
  const { held, volume } = workload;
  const base = { ...workload, gone: false, unnamed: false, trouble: undefined, attempt: 0 };
  if (!held) return { ...base, renewAt: now, writeAt: Infinity };
  if (fingerprint(held.svids) !== wanted) {
    // What was refused for other entries may be had for these.
    const tokens = workload.tokenAttempt > 0 ? { tokensAt: now, tokenAttempt: 0 } : {};
    return { ...base, ...tokens, renewAt: now };
  }
  if (workload.trouble === undefined && !workload.unnamed) return workload;
  const soon = now + Math.round(random() * RECOVERY_SPREAD_MS);
  const renewAt = Math.max(soon, renewalTime(validity(held), now, random));
  const tokensAt = Math.max(soon, tokensDue(held, { volume, now, random }));
  // The bundle may have changed while nothing was renewed.
  const verified = { renewAt, tokensAt, ...dueUnverified(held, { at: soon, now }) };
  return { ...base, ...verified, tokenAttempt: 0 };
}

/**
 * Reacts to a pod without entries: its renewals end. Once that is sure (`gone`) the volume is cleared where its
 * policy is `remove`, else what it holds stays in its files.
 */
export function withoutEntries(
  workload: Workload,
  { now, gone }: { readonly now: number; readonly gone: boolean },
): Workload {
  const ended = { renewAt: Infinity, tokensAt: Infinity, attempt: 0, tokenAttempt: 0 };
  const next = { ...workload, ...ended, trouble: "no-identity" as const };
  if (!gone || workload.gone) return next;
  if (workload.volume.removal === "keep") return { ...next, gone };
  return { ...next, gone, held: undefined, writeAt: now };
}

/**
 * Reacts to a bundle: other authorities than held are written soon; an SVID or a token that they do not verify
 * is renewed now, unless the workload has no identity any more.
 */
export function withBundle(workload: Workload, bundle: Bundle, { now, random }: Moment): Workload {
  const { held } = workload;
  if (!held || sameAuthorities(held.bundle, bundle)) return workload;
  const next = {
    ...workload,
    held: { ...held, bundle },
    writeAt: writtenSoon(workload, now, random),
  };
  if (workload.trouble === "no-identity") return next;
  return { ...next, ...dueUnverified(next.held, { at: now, now }) };
}

/** What is due because the bundle that goes with it does not verify it. */
function dueUnverified(
  { svids, tokens, bundle }: WorkloadIdentity,
  { at, now }: { readonly at: number; readonly now: number },
): Partial<Pick<Workload, "renewAt" | "tokensAt">> {
  const authorities = bundle.x509Authorities;
  const verifies = svids.every(({ chain }) => isVerifiable({ chain, authorities, now }));
  const isSigned = tokens.every((token) => isSignedWithin(token, bundle));
  return { ...(verifies ? {} : { renewAt: at }), ...(isSigned ? {} : { tokensAt: at }) };
}

/** Foreign bundles by trust domain; those of an answer count as long as not all were said. */
export interface Foreign {
  readonly bundles: ReadonlyMap<string, Bundle>;
  readonly isComplete: boolean;
}

/** Reacts to foreign bundles: the workload gets those that its SVIDs federate with, in the order of their names. */
export function withForeign(
  workload: Workload,
  { bundles, isComplete }: Foreign,
  { now, random }: Moment,
): Workload {
  const { held } = workload;
  if (!held) return workload;
  const before = new Map<string, Bundle>(
    held.federatedBundles.map((bundle) => [bundle.trustDomain, bundle]),
  );
  const names = new Set(held.svids.flatMap(({ federatesWith }) => federatesWith));
  const federatedBundles = [...names].toSorted().flatMap((name) => {
    const known = before.get(name);
    const pushed = bundles.get(name) ?? (isComplete ? undefined : known);
    if (pushed === undefined) return [];
    return known !== undefined && sameAuthorities(known, pushed) ? [known] : [pushed];
  });
  const isSame =
    federatedBundles.length === held.federatedBundles.length &&
    federatedBundles.every((bundle, i) => bundle === held.federatedBundles[i]);
  if (isSame) return workload;
  const writeAt = writtenSoon(workload, now, random);
  return { ...workload, held: { ...held, federatedBundles }, writeAt };
}

/**
 * A renewal came. What it holds may differ from what is wanted: then it is tried again, at once when the
 * wish changed on the way, and more and more slowly when the operator disagrees with itself. Its tokens, if any,
 * replace those that are held.
 */
export function renewed(
  workload: Workload,
  answer: WorkloadIdentity,
  { wanted, asked, now, random }: Moment & { readonly wanted: Wanted; readonly asked: Wanted },
): Workload {
  // Its entries went while the renewal ran.
  if (workload.trouble === "no-identity") return workload;
  const tokens = answer.tokens.length > 0 ? answer.tokens : (workload.held?.tokens ?? []);
  const held = { ...answer, tokens };
  // Renewals that ended with entries that are back now begin anew.
  const keepsTokens =
    tokens !== answer.tokens &&
    workload.tokensAt < Infinity &&
    isSameDefault(workload.held, answer) &&
    tokens.every((token) => isSignedWithin(token, answer.bundle));
  const tokensAt = keepsTokens
    ? workload.tokensAt
    : nextTokensDue(held, { volume: workload.volume, now, random });
  const base = { ...workload, held, refreshedAt: now, writeAt: now, tokensAt };
  const replaced = workload.held && validity(workload.held);
  const due = renewalTimeAfter(replaced, validity(held), { now, random });
  if (wanted === undefined || fingerprint(held.svids) === wanted) {
    return { ...base, renewAt: due, attempt: 0, trouble: undefined };
  }
  if (wanted !== asked) return { ...base, renewAt: now, attempt: 0, trouble: undefined };
  const again = now + retryDelay(workload.attempt, expiry(base) - now, random);
  const attempt = workload.attempt + 1;
  return { ...base, renewAt: Math.min(due, again), attempt, trouble: undefined };
}

/** A renewal failed: what is held stays, and it is tried again, later when the operator refused the pod. */
export function failed(
  workload: Workload,
  trouble: "failing" | "denied",
  { now, random }: Moment,
): Workload {
  // Its entries went while the renewal ran.
  if (workload.trouble === "no-identity") return workload;
  const remaining = expiry(workload) - now;
  const delay =
    trouble === "denied"
      ? deniedDelay(remaining, random)
      : retryDelay(workload.attempt, remaining, random);
  return { ...workload, trouble, renewAt: now + delay, attempt: workload.attempt + 1 };
}

/** When the first SVID of a workload expires; in the past for one that holds none. */
export function expiry({ held }: Pick<Workload, "held">): number {
  return held ? validity(held).notAfter : -Infinity;
}

/** A workload as the scheduler of renewals sees it. */
export function scheduled(workload: Workload): Scheduled {
  return { dueAt: workload.renewAt, expiresAt: expiry(workload) };
}

function writtenSoon({ writeAt }: Workload, now: number, random: Random): number {
  return Math.min(writeAt, now + Math.round(random() * REWRITE_SPREAD_MS));
}

/** Whether the default SVIDs of both were issued for the same entry as it was then. */
function isSameDefault(before: WorkloadIdentity | undefined, after: WorkloadIdentity): boolean {
  const [a, b] = [before?.svids[0], after.svids[0]];
  return a?.entryId === b?.entryId && a?.revision === b?.revision && a?.spiffeId === b?.spiffeId;
}

/** The validity of the SVID that expires first. */
function validity({ svids }: WorkloadIdentity): Validity {
  return svids.reduce((first, svid) => (svid.notAfter < first.notAfter ? svid : first));
}
