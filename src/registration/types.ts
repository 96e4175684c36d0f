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
  /** Go template over TrustDomain, ClusterName, ClusterDomain, NodeMeta and NodeSpec; SPIRE's form when empty. */
  readonly parentIdTemplate?: string;
  /** For node selectors agent_ns and agent_sa. */
  readonly agentNamespace?: string;
  readonly agentServiceAccount?: string;
}

/** What one event, or one batch of events, changed. */
export interface Change {
  /** UID → node name of every pod whose list of effective entries differs, or whose address does while it has any. */
  readonly pods: ReadonlyMap<string, string>;
  /** Foreign trust domains whose bundle came, differs or is gone. */
  readonly bundles: ReadonlySet<string>;
  /** UIDs of the custom resources whose status differs; removed ones are among them. */
  readonly rules: ReadonlySet<string>;
}

export interface PodFailure {
  /** `namespace/name` */
  readonly pod: string;
  readonly message: string;
}

/** The part of a status that every kind has; times are the writer's. */
export interface ResourceStatus {
  readonly kind: CustomResourceKind;
  readonly name: string;
  readonly observedGeneration: number;
  readonly ready: boolean;
  /** Of the Ready condition, in CamelCase. */
  readonly reason: string;
  readonly message: string;
}

/** What the status of a ClusterFederatedTrustDomain should say. */
export interface FederationStatus extends ResourceStatus {
  readonly kind: "ClusterFederatedTrustDomain";
}

/** What the status of a ClusterSPIFFEID or ClusterStaticEntry should say. */
export interface RuleStatus extends ResourceStatus {
  readonly kind: SourceKind;
  readonly stats: ClusterSpiffeIdStats;
  /** Of a ClusterStaticEntry alone. */
  readonly entry?: { readonly rendered: boolean; readonly masked: boolean; readonly set: boolean };
  /** Trust domains of `federatesWith` without a bundle; undefined when it federates with none. */
  readonly missingBundles?: readonly string[];
  /** The first ten in the order of pod names; `stats.podEntryRenderFailures` is the total. */
  readonly failures: readonly PodFailure[];
}

/** A custom resource, as entries and messages refer to it. */
export interface Source<K extends CustomResourceKind = SourceKind> {
  readonly kind: K;
  readonly name: string;
  readonly uid: string;
}

export type CustomResourceKind = SourceKind | "ClusterFederatedTrustDomain";

/** The kinds of custom resources that registration entries come from. */
export type SourceKind = "ClusterSPIFFEID" | "ClusterStaticEntry";

/** What came of one custom resource for one pod. */
export type OutcomeKind =
  | "set"
  | "masked"
  | "unmet"
  | "failed"
  | "skipped"
  | "unscheduled"
  | "finished";

/** Why one custom resource does or does not give a pod an entry. */
export interface Explanation {
  readonly kind: SourceKind;
  readonly rule: string;
  readonly ruleUid: string;
  /** Whether an entry of this object is in effect for the pod. */
  readonly matched: boolean;
  /** How far the selectors agree: with the pod, with its namespace alone, with neither; or they are not ours to try. */
  readonly selects: "pod" | "namespace" | "neither" | "untried";
  /** Undefined when it does not select the pod. */
  readonly outcome?: OutcomeKind;
  /** Which clause decided, in words. */
  readonly clause: string;
  readonly spiffeId?: string;
  /** `ClusterSPIFFEID name` of the object whose equal entry is in effect instead. */
  readonly maskedBy?: string;
}

/** Something about a custom resource's spec that keeps it from working, or makes that doubtful. */
export interface SpecProblem {
  /** One CamelCase word, as the Ready condition has it. */
  readonly reason: string;
  /** Such as `spec.dnsNameTemplates[1]`. */
  readonly field: string;
  /** The whole sentence, the field included. */
  readonly message: string;
}

/** What one pod would get from a custom resource that is not applied yet. */
export interface PreviewedPod {
  /** `namespace/name` */
  readonly pod: string;
  readonly outcome: OutcomeKind;
  /** In words. */
  readonly clause: string;
  readonly entry?: RegistrationEntry;
  /** `ClusterSPIFFEID name` of an object that already gives the pod an equal entry. */
  readonly duplicateOf?: string;
}

/** What a custom resource would give if it were applied now in this form. */
export interface Preview {
  readonly kind: SourceKind;
  readonly name: string;
  /** Of another operator's class: nothing below was tried. */
  readonly foreign: boolean;
  /** Why it cannot take effect; empty when it can. */
  readonly problems: readonly SpecProblem[];
  /** What is allowed and probably not meant. */
  readonly doubts: readonly SpecProblem[];
  readonly namespacesSelected: number;
  readonly namespacesIgnored: number;
  readonly podsSelected: number;
  /** Less than `podsSelected` where only a sample was rendered. */
  readonly podsTried: number;
  /** Outcomes of the pods that were tried. */
  readonly outcomes: Readonly<Record<OutcomeKind, number>>;
  /** Pods, among those tried, to which another object already gives an equal entry. */
  readonly duplicates: number;
  /** The first of them, failures and duplicates before the rest. */
  readonly pods: readonly PreviewedPod[];
}

/** A custom resource with what it gives now. */
export interface RuleExplanation {
  readonly kind: SourceKind;
  readonly name: string;
  readonly uid: string;
  /** Undefined when it is of another operator's class. */
  readonly status: RuleStatus | undefined;
  /** In words, whether it is in effect. */
  readonly clause: string;
  /** Pods that it selects, by name; at most the number asked for. */
  readonly pods: readonly PreviewedPod[];
}

export interface PodEntries {
  readonly pod: PodObject;
  readonly entries: readonly RegistrationEntry[];
}
