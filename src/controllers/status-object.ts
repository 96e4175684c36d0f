import { isDeepStrictEqual } from "node:util";
import type { ClusterSpiffeIdStats, ClusterSpiffeIdStatus } from "../api/cluster-spiffe-id.ts";
import type { ClusterStaticEntryStatus } from "../api/cluster-static-entry.ts";
import { SPIRE_API_VERSION } from "../api/resources.ts";
import type { NewObject } from "../kube/types.ts";
import type { FederationStatus, RuleStatus } from "../registration/index.ts";
import type { StoredResource, StoredStatus } from "./resource-watch.ts";

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

type Conditions = NonNullable<StoredStatus["conditions"]>;
type Condition = Conditions[number];

/**
 * The status that a custom resource should have, or undefined when it has it already. A condition's transition
 * time moves only when its status does.
 */
export function nextStatus(
  wanted: RuleStatus | FederationStatus,
  object: StoredResource,
  now: number,
): StoredStatus | undefined {
  const { observedGeneration } = wanted;
  const before = object.status?.conditions ?? [];
  const conditions = conditionsOf(wanted).map((next) => {
    const known = before.find(({ type }) => type === next.type);
    const unmoved = known?.status === next.status ? known.lastTransitionTime : undefined;
    const lastTransitionTime = unmoved ?? new Date(now).toISOString().replace(/\.\d+Z$/, "Z");
    return { ...next, observedGeneration, lastTransitionTime };
  });
  return changed(object.status, { observedGeneration, ...countsOf(wanted), conditions });
}

/** Like {@link nextStatus}, for a cluster whose CRD is SPIRE's own: nothing but what that declares. */
export function nextUpstreamStatus(
  wanted: RuleStatus | FederationStatus,
  object: StoredResource,
): StoredStatus | undefined {
  return changed(object.status, upstreamOf(wanted));
}

/** What is applied to write a status; the UID makes it fail rather than touch a successor of the same name. */
export function statusObject(object: StoredResource, status: StoredStatus): NewObject {
  const { name, uid } = object.metadata;
  return {
    apiVersion: SPIRE_API_VERSION,
    kind: object.kind,
    metadata: { name, uid },
    status,
  } as NewObject;
}

type NextCondition = Pick<Condition, "type" | "status" | "reason" | "message">;

function conditionsOf(wanted: RuleStatus | FederationStatus): NextCondition[] {
  const { ready, reason, message } = wanted;
  const conditions: NextCondition[] = [
    { type: "Ready", status: ready ? "True" : "False", reason, message },
  ];
  if (wanted.kind === "ClusterFederatedTrustDomain" || wanted.missingBundles === undefined) {
    return conditions;
  }
  return [...conditions, bundlesCondition(wanted.missingBundles)];
}

/** Names enough to act on; the list of a hostile spec could be long. */
const MOST_NAMES = 10;

function bundlesCondition(missing: readonly string[]): NextCondition {
  const type = "BundlesAvailable";
  if (missing.length === 0) {
    const message = "There is a bundle of every trust domain in spec.federatesWith.";
    return { type, status: "True", reason: "AllFound", message };
  }
  const named = missing.slice(0, MOST_NAMES).map((name) => JSON.stringify(name));
  const more = missing.length - named.length;
  const message =
    `spec.federatesWith: there is no bundle of ${named.join(", ")}${more > 0 ? ` and ${more} more` : ""}; ` +
    "SVIDs are issued without it until a ClusterFederatedTrustDomain brings one";
  return { type, status: "False", reason: "BundleMissing", message };
}

function countsOf(wanted: RuleStatus | FederationStatus): Partial<StoredStatus> {
  if (wanted.kind === "ClusterFederatedTrustDomain") return {};
  const { entry, stats, failures } = wanted;
  if (entry) return { ...entry, podsSelected: stats.entriesToSet };
  return { stats, ...(failures.length === 0 ? {} : { failures: [...failures] }) };
}

function upstreamOf(wanted: RuleStatus | FederationStatus): StoredStatus {
  if (wanted.kind === "ClusterFederatedTrustDomain") return {};
  const { entry, stats } = wanted;
  if (entry) return { ...entry } satisfies ClusterStaticEntryStatus;
  return {
    stats: Object.fromEntries(UPSTREAM_COUNTERS.map((name) => [name, stats[name]])),
  } satisfies ClusterSpiffeIdStatus;
}

function changed(status: StoredStatus | undefined, next: StoredStatus): StoredStatus | undefined {
  return isDeepStrictEqual(plain(status ?? {}), plain(next)) ? undefined : next;
}

function plain(status: StoredStatus): unknown {
  return JSON.parse(JSON.stringify(status));
}
