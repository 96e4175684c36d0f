import type { WorkloadIdentity } from "../csi/ports.ts";
import type { EntitledState, WorkloadState } from "../workload-api/ports.ts";
import type { Workload } from "./workload.ts";

/** What the Workload API tells of a workload, and how long that holds. */
export interface View {
  readonly state: WorkloadState;
  /** What `state` was made of; undefined when it tells no identity. */
  readonly held: WorkloadIdentity | undefined;
  /** When the first SVID that it tells expires, in milliseconds since the epoch. */
  readonly until: number;
}

const NONE: View = { state: { status: "none" }, held: undefined, until: Infinity };
const UNKNOWN: View = { state: { status: "unknown" }, held: undefined, until: Infinity };

/**
 * The view of a workload; `before` again as long as nothing in it changed. A pod is without identity only when
 * the operator said so; what has expired is not served, since a new one may be on its way.
 */
export function viewOf(
  workload: Workload | undefined,
  before: View | undefined,
  now: number,
): View {
  if (workload === undefined) return UNKNOWN;
  if (workload.gone) return NONE;
  const { held } = workload;
  if (held === undefined) return UNKNOWN;
  if (before?.held && isSameView(before.held, held) && now < before.until) return before;
  const svids = held.svids.filter(({ notAfter }) => notAfter > now);
  if (svids.length === 0) return UNKNOWN;
  const until = svids.reduce((first, { notAfter }) => Math.min(first, notAfter), Infinity);
  return { state: entitledState({ ...held, svids }), held, until };
}

function entitledState({
  svids,
  privateKey,
  bundle,
  federatedBundles,
}: WorkloadIdentity): EntitledState {
  return {
    status: "entitled",
    trustDomain: bundle.trustDomain,
    svids: svids.map(({ spiffeId, chain, hint }) => ({ spiffeId, chain, privateKey, hint })),
    bundle,
    federatedBundles: new Map(federatedBundles.map((foreign) => [foreign.trustDomain, foreign])),
  };
}

/** Tokens come and go without a change of what streams tell. */
function isSameView(a: WorkloadIdentity, b: WorkloadIdentity): boolean {
  return (
    a.svids === b.svids &&
    a.privateKey === b.privateKey &&
    a.bundle === b.bundle &&
    a.federatedBundles === b.federatedBundles
  );
}
