import { expiry } from "./workload.ts";
import type { Workload } from "./workload.ts";

/** What the workloads of a node look like from outside; times in milliseconds since the epoch. */
export interface WorkloadsSummary {
  readonly volumes: number;
  /** Volumes that show no SVID yet. */
  readonly waiting: number;
  /** Volumes whose pod has no identity any more. */
  readonly withoutIdentity: number;
  /** Volumes whose last renewal or write failed, or was refused. */
  readonly failing: number;
  /** When the volume that waits longest was last renewed or taken over. */
  readonly oldestRenewal: number | undefined;
  /** When the first SVID of all expires. */
  readonly earliestExpiry: number | undefined;
}

/** Sums the workloads of a node up. */
export function summarize(all: readonly Workload[]): WorkloadsSummary {
  const count = (matches: (workload: Workload) => boolean): number => all.filter(matches).length;
  const held = all.filter((workload) => workload.held);
  return {
    volumes: all.length,
    waiting: all.length - held.length,
    withoutIdentity: count(({ trouble }) => trouble === "no-identity"),
    failing: count(
      ({ trouble, failedWrites }) =>
        trouble === "failing" || trouble === "denied" || failedWrites > 0,
    ),
    oldestRenewal: least(held.map(({ refreshedAt }) => refreshedAt)),
    earliestExpiry: least(held.map((workload) => expiry(workload))),
  };
}

function least(times: readonly number[]): number | undefined {
  return times.length === 0 ? undefined : times.reduce((a, b) => Math.min(a, b));
}
