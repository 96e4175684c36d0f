import { sameAuthorities } from "../spiffe/bundle.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import type { Volume, WorkloadIdentity } from "../csi/ports.ts";
import { isVerifiable } from "./chain.ts";
import { deniedDelay, nextRenewalTime, renewalTime, retryDelay } from "./schedule.ts";
import type { Random, Scheduled, Validity } from "./schedule.ts";

/** Why a workload's identity is not kept fresh as it should be. */
export type Trouble = "failing" | "denied" | "no-identity";

/** A volume that is looked after; times in milliseconds since the epoch, Infinity for never. */
export interface Workload {
  readonly volume: Volume;
  readonly held: WorkloadIdentity | undefined;
  /** When `held` was taken over or came last. */
  readonly refreshedAt: number;
  readonly renewAt: number;
  /** When the files are to be written again because the bundle changed. */
  readonly rewriteAt: number;
  /** Failed or fruitless renewals in a row. */
  readonly attempt: number;
  readonly trouble: Trouble | undefined;
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
/** Renewals that are overdue when the operator is back are spread over this time. */
const RECOVERY_SPREAD_MS = 1000;

/** Text that is equal for equal sets of (entry, revision), whatever their order; empty for none. */
export function fingerprint(entries: readonly EntryRef[]): string {
  const refs = entries.map(({ entryId, revision }) => JSON.stringify([entryId, revision]));
  return [...new Set(refs)].toSorted().join();
}

/** A volume as it is taken over. Without an identity it is fetched as soon as an entry is known. */
export function adopted(
  volume: Volume,
  held: WorkloadIdentity | undefined,
  { wanted, now, random }: Moment & { readonly wanted: Wanted },
): Workload {
  const renewAt = held ? renewalTime(validity(held), now, random) : Infinity;
  const fresh = { attempt: 0, trouble: undefined, rewriteAt: Infinity, refreshedAt: now };
  const workload: Workload = { volume, held, renewAt, ...fresh };
  return wanted ? withEntries(workload, wanted, { now, random }) : workload;
}

/**
 * Reacts to the entries that the operator names: other ones than held are fetched now, the same ones
 * put a workload back to its schedule (also after failures: the operator is back), none end its renewals and leave what it holds.
 */
export function withEntries(workload: Workload, wanted: string, { now, random }: Moment): Workload {
  const { held } = workload;
  if (wanted === "") return { ...workload, renewAt: Infinity, trouble: "no-identity", attempt: 0 };
  if (!held || fingerprint(held.svids) !== wanted) {
    return { ...workload, renewAt: now, trouble: undefined, attempt: 0 };
  }
  if (workload.trouble === undefined) return workload;
  const soon = now + Math.round(random() * RECOVERY_SPREAD_MS);
  const renewAt = Math.max(soon, renewalTime(validity(held), now, random));
  return { ...workload, renewAt, trouble: undefined, attempt: 0 };
}

/**
 * Reacts to a bundle: other authorities than held are written soon; an SVID that they do not verify is
 * renewed now, unless the workload has no identity any more.
 */
export function withBundle(workload: Workload, bundle: Bundle, { now, random }: Moment): Workload {
  const { held } = workload;
  if (!held) return workload;
  if (sameAuthorities(held.bundle, bundle)) return { ...workload, rewriteAt: Infinity };
  const rewriteAt = Math.min(workload.rewriteAt, now + Math.round(random() * REWRITE_SPREAD_MS));
  const authorities = bundle.x509Authorities;
  const verifies = held.svids.every(({ chain }) => isVerifiable({ chain, authorities, now }));
  const renewAt = verifies || workload.trouble === "no-identity" ? workload.renewAt : now;
  return { ...workload, rewriteAt, renewAt };
}

/**
 * A renewal came and was written. What it holds may differ from what is wanted: then it is tried again,
 * at once when the wish changed on the way, and more and more slowly when the operator disagrees with itself.
 */
export function renewed(
  workload: Workload,
  held: WorkloadIdentity,
  { wanted, asked, now, random }: Moment & { readonly wanted: Wanted; readonly asked: Wanted },
): Workload {
  const base = { ...workload, held, refreshedAt: now };
  // Its entries went while the renewal ran.
  if (workload.trouble === "no-identity") return base;
  const due = nextRenewalTime(validity(held), now, random);
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

/** A workload as the scheduler sees it. */
export function scheduled(workload: Workload): Scheduled {
  const dueAt = Math.min(workload.renewAt, workload.rewriteAt);
  return { dueAt, expiresAt: expiry(workload) };
}

/** The validity of the SVID that expires first. */
function validity({ svids }: WorkloadIdentity): Validity {
  return svids.reduce((first, svid) => (svid.notAfter < first.notAfter ? svid : first));
}
