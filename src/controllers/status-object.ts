import { isDeepStrictEqual } from "node:util";
import type { ClusterSpiffeIdStats, ClusterSpiffeIdStatus } from "../api/cluster-spiffe-id.ts";
import { CLUSTER_SPIFFE_IDS, SPIRE_API_VERSION } from "../api/resources.ts";
import type { NewObject } from "../kube/types.ts";
import type { RuleStatus } from "../registration/index.ts";
import type { StoredClusterSpiffeId } from "./registry.ts";

/** All that the status of SPIRE's own CRD declares, in `stats`. */
const UPSTREAM_COUNTERS = [
  "namespacesSelected",
  "namespacesIgnored",
  "podsSelected",
  "podEntryRenderFailures",
  "entriesMasked",
  "entriesToSet",
  "entryFailures",
] as const satisfies readonly (keyof ClusterSpiffeIdStats)[];

/**
 * The status that a ClusterSPIFFEID should have, or undefined when it has it already. The condition's
 * transition time moves only when its status does.
 */
export function nextStatus(
  rule: RuleStatus,
  object: StoredClusterSpiffeId,
  now: number,
): ClusterSpiffeIdStatus | undefined {
  const before = object.status?.conditions?.find(({ type }) => type === "Ready");
  const status = rule.ready ? "True" : "False";
  const unmoved = before?.status === status ? before.lastTransitionTime : undefined;
  const next: ClusterSpiffeIdStatus = {
    observedGeneration: rule.observedGeneration,
    stats: rule.stats,
    conditions: [
      {
        type: "Ready",
        status,
        observedGeneration: rule.observedGeneration,
        lastTransitionTime: unmoved ?? new Date(now).toISOString().replace(/\.\d+Z$/, "Z"),
        reason: rule.reason,
        message: rule.message,
      },
    ],
    ...(rule.failures.length === 0 ? {} : { failures: [...rule.failures] }),
  };
  return changed(object.status, next);
}

/** Like {@link nextStatus}, for a cluster whose CRD is SPIRE's own: nothing but its seven counters. */
export function nextUpstreamStatus(
  rule: RuleStatus,
  object: StoredClusterSpiffeId,
): ClusterSpiffeIdStatus | undefined {
  const stats = Object.fromEntries(UPSTREAM_COUNTERS.map((name) => [name, rule.stats[name]]));
  return changed(object.status, { stats });
}

/** What is applied to write a status; the UID makes it fail rather than touch a successor of the same name. */
export function statusObject(
  object: StoredClusterSpiffeId,
  status: ClusterSpiffeIdStatus,
): NewObject {
  const { name, uid } = object.metadata;
  return {
    apiVersion: SPIRE_API_VERSION,
    kind: CLUSTER_SPIFFE_IDS.kind,
    metadata: { name, uid },
    status,
  } as NewObject;
}

function changed(
  status: ClusterSpiffeIdStatus | undefined,
  next: ClusterSpiffeIdStatus,
): ClusterSpiffeIdStatus | undefined {
  return isDeepStrictEqual(plain(status), plain(next)) ? undefined : next;
}

function plain(status: ClusterSpiffeIdStatus | undefined): unknown {
  return status === undefined ? undefined : JSON.parse(JSON.stringify(status));
}
