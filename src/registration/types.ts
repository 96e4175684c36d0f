import type { ClusterSpiffeIdStats } from "../api/cluster-spiffe-id.ts";
import type { RegistrationEntry } from "./entry.ts";
import type { PodObject } from "./objects.ts";

/** What the cluster and the operator's configuration say about all rules. */
export interface RegistrationOptions {
  readonly trustDomain: string;
  readonly clusterName: string;
  /** DNS suffix of services; empty when unknown. */
  readonly clusterDomain: string;
  /** Only custom resources of this class are ours; empty when left out. */
  readonly className?: string;
  /** Also take custom resources that name no class. */
  readonly watchClassless?: boolean;
  /** Regular expressions, matched anywhere in the name; kube-system and kube-public when left out. */
  readonly ignoreNamespaces?: readonly string[];
  /** Go template over TrustDomain, ClusterName, ClusterDomain, NodeMeta and NodeSpec. */
  readonly parentIdTemplate?: string;
}

/** What one event, or one batch of events, changed. */
export interface Change {
  /** UID → node name of every pod whose list of effective entries differs. */
  readonly pods: ReadonlyMap<string, string>;
  /** UIDs of the ClusterSPIFFEIDs whose status differs; removed ones are among them. */
  readonly rules: ReadonlySet<string>;
}

export interface PodFailure {
  /** `namespace/name` */
  readonly pod: string;
  readonly message: string;
}

/** What the status of a ClusterSPIFFEID should say; times are the writer's. */
export interface RuleStatus {
  readonly name: string;
  readonly observedGeneration: number;
  readonly stats: ClusterSpiffeIdStats;
  readonly ready: boolean;
  /** Of the Ready condition, in CamelCase. */
  readonly reason: string;
  readonly message: string;
  /** The first ten in the order of pod names; `stats.podEntryRenderFailures` is the total. */
  readonly failures: readonly PodFailure[];
}

/** Why one ClusterSPIFFEID does or does not give a pod an entry. */
export interface Explanation {
  readonly rule: string;
  readonly ruleUid: string;
  /** Whether an entry of this rule is in effect for the pod. */
  readonly matched: boolean;
  /** How far the selectors agree: with the pod, with its namespace alone, with neither; or they are not ours to try. */
  readonly selects: "pod" | "namespace" | "neither" | "untried";
  /** Which clause decided, in words. */
  readonly clause: string;
  readonly spiffeId?: string;
}

export interface PodEntries {
  readonly pod: PodObject;
  readonly entries: readonly RegistrationEntry[];
}
