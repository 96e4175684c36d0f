import type { Lease, LeaseSpec } from "./types.ts";

/** The rules of leader election by Lease, as client-go has them; all times in milliseconds. */

/** What an elector has seen of the lease, in terms of its own clock: clocks of others are never compared. */
export interface ObservedLease {
  readonly lease: Lease;
  /** When the lease was last read. */
  readonly seenAt: number;
  /** How long it has stayed as it is; only time between two reads counts. */
  readonly unchangedMs: number;
}

export interface ObserveOptions {
  readonly now: number;
  /** More than this between two reads counts as this: the clock was set, or the process slept. */
  readonly longestStepMs: number;
}

/** Takes note of a lease just read. */
export function observeLease(
  previous: ObservedLease | undefined,
  lease: Lease,
  { now, longestStepMs }: ObserveOptions,
): ObservedLease {
  if (previous === undefined || !sameClaim(previous.lease, lease)) {
    return { lease, seenAt: now, unchangedMs: 0 };
  }
  const step = Math.min(Math.max(0, now - previous.seenAt), longestStepMs);
  return { lease, seenAt: now, unchangedMs: previous.unchangedMs + step };
}

function sameClaim(a: Lease, b: Lease): boolean {
  return a.metadata.uid === b.metadata.uid && JSON.stringify(a.spec) === JSON.stringify(b.spec);
}

/** Whether somebody else holds the lease: named in it, and renewed within the duration that they promised. */
export function isHeldByOther(observed: ObservedLease, identity: string, leaseMs: number): boolean {
  const { holderIdentity, leaseDurationSeconds } = observed.lease.spec ?? {};
  if (!holderIdentity || holderIdentity === identity) return false;
  const promisedMs = leaseDurationSeconds === undefined ? leaseMs : leaseDurationSeconds * 1000;
  return observed.unchangedMs < promisedMs;
}

export interface ClaimOptions {
  readonly identity: string;
  readonly leaseMs: number;
  /** Only for people to read: nobody decides by it. */
  readonly now: number;
}

/** The spec with which `identity` takes or renews the lease. */
export function claimSpec(current: LeaseSpec | undefined, options: ClaimOptions): LeaseSpec {
  const { identity, leaseMs, now } = options;
  const keeps = current?.holderIdentity === identity;
  const transitions = current?.leaseTransitions ?? 0;
  return {
    holderIdentity: identity,
    leaseDurationSeconds: Math.max(1, Math.ceil(leaseMs / 1000)),
    acquireTime: (keeps ? current.acquireTime : undefined) ?? microTime(now),
    renewTime: microTime(now),
    leaseTransitions: keeps || current === undefined ? transitions : transitions + 1,
  };
}

/** The spec that lets anybody take the lease at once. */
export function releaseSpec(current: LeaseSpec | undefined, now: number): LeaseSpec {
  return {
    holderIdentity: "",
    leaseDurationSeconds: 1,
    acquireTime: microTime(now),
    renewTime: microTime(now),
    leaseTransitions: current?.leaseTransitions ?? 0,
  };
}

/** `metav1.MicroTime`: RFC 3339 in UTC with exactly six digits of fraction. */
export function microTime(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "000Z");
}
