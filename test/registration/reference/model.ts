import type {
  CustomResource,
  EndpointSliceObject,
  NamespaceObject,
  NodeObject,
  PodObject,
} from "../../../src/registration/index.ts";
import {
  SERVER,
  alias,
  federated,
  namespace,
  node,
  pod,
  rule,
  slice,
  staticEntry,
} from "../universe.ts";
import type { Labels } from "../universe.ts";

/**
 * A small universe in plain records, and the objects that they stand for. Everything is chosen so that objects
 * often meet: equal IDs, equal names of different kinds, few pods, nodes and namespaces.
 */

export const IGNORED = "kube-system";
export const TRUST_DOMAINS = ["x.example", "y.example"] as const;

export interface ModelPod {
  readonly id: number;
  readonly namespace: string;
  readonly scheduled: boolean;
  readonly phase: "Running" | "Succeeded";
  readonly labels: Labels;
}

interface ModelObject {
  readonly id: number;
  readonly generation: number;
  readonly created: number;
  readonly deleted: number | undefined;
  readonly foreign: boolean;
}

/** A ClusterSPIFFEID. */
export interface ModelRule extends ModelObject {
  readonly fallback: boolean;
  readonly hint: string;
  readonly team: string | undefined;
  readonly podSelector: keyof typeof POD_SELECTORS;
  readonly template: keyof typeof TEMPLATES;
  readonly workloadSelectors: keyof typeof WORKLOAD_SELECTORS;
  readonly dnsNames: boolean;
  readonly autoPopulate: boolean;
  readonly federatesWith: readonly string[];
}

/** A ClusterStaticEntry; with the parent `server` one that gives nodes an alias. */
export interface ModelStatic extends ModelObject {
  readonly invalid: boolean;
  readonly hint: string;
  readonly spiffeId: "fixed" | "own" | "alias-x" | "alias-y";
  readonly parent: "n1" | "n2" | "alias-x" | "alias-y" | "nowhere" | "server";
  /** Which of STATIC_SELECTORS or ALIAS_SELECTORS. */
  readonly selectors: number;
  readonly federatesWith: readonly string[];
}

/** A ClusterFederatedTrustDomain. */
export interface ModelFederated extends ModelObject {
  readonly invalid: boolean;
  readonly trustDomain: (typeof TRUST_DOMAINS)[number];
  readonly bundle: boolean;
}

export interface ModelEndpoint {
  readonly pod: number;
  readonly by: "uid" | "name";
  /** Of its targetRef, which then names a pod that is not the slice's to name. */
  readonly elsewhere: boolean;
}

export interface ModelSlice {
  readonly id: number;
  readonly namespace: string;
  readonly service: "s1" | "s2" | "" | "not.a-service";
  readonly endpoints: readonly ModelEndpoint[];
}

export interface ModelNode {
  readonly name: string;
  readonly uid: string;
  readonly zone: string;
}

export interface ModelNamespace {
  readonly name: string;
  readonly team: string;
  /** An annotation. */
  readonly note: string;
}

export interface Model {
  readonly pods: Map<number, ModelPod>;
  readonly rules: Map<number, ModelRule>;
  readonly statics: Map<number, ModelStatic>;
  readonly federated: Map<number, ModelFederated>;
  /** By namespace and ID. */
  readonly slices: Map<string, ModelSlice>;
  readonly nodes: Map<string, ModelNode>;
  readonly namespaces: Map<string, ModelNamespace>;
}

export function emptyModel(): Model {
  return {
    pods: new Map(),
    rules: new Map(),
    statics: new Map(),
    federated: new Map(),
    slices: new Map(),
    nodes: new Map(),
    namespaces: new Map(),
  };
}

export const TEMPLATES = {
  fixed: "spiffe://example.org/fixed",
  label: 'spiffe://example.org/{{ index .PodMeta.Labels "id" }}',
  node: "spiffe://example.org/on/{{ .NodeMeta.Name }}",
  note: 'spiffe://example.org/note/{{ index .NamespaceMeta.Annotations "note" }}',
  outside: "spiffe://elsewhere.org/x",
  broken: "spiffe://example.org/{{ .PodMeta",
};

export const POD_SELECTORS = {
  all: {},
  "app=a": { matchLabels: { app: "a" } },
  "app in a,b": { matchExpressions: [{ key: "app", operator: "In", values: ["a", "b"] }] },
  "app not in a": { matchExpressions: [{ key: "app", operator: "NotIn", values: ["a"] }] },
  "id exists": { matchExpressions: [{ key: "id", operator: "Exists" }] },
};

export const WORKLOAD_SELECTORS: Record<"none" | "red team" | "app" | "refused", string[]> = {
  none: [],
  "red team": ["k8s:ns-label:team:red"],
  app: ['k8s:pod-label:app:{{ index .PodMeta.Labels "app" }}', "k8s:pod-label:app:a"],
  refused: ["k8s:container-name:x"],
};

/** The first three can be what a ClusterSPIFFEID gives to one pod. */
export const STATIC_SELECTORS = [
  ["k8s:pod-uid:uid-pod-1"],
  ["k8s:pod-uid:uid-pod-2"],
  ["k8s:ns-label:team:red", "k8s:pod-uid:uid-pod-1"],
  ["k8s:ns:a"],
  ["k8s:ns:kube-system", "k8s:sa:till"],
  ["k8s:pod-label:app:a"],
  ["k8s:ns-label:team:red"],
  ["k8s:node-name:node-0", "k8s:pod-label:id:1"],
  ["k8s:sa:till", "k8s:ns:a"],
] as const;

export const ALIAS_SELECTORS = [
  ["k8s_psat:agent_node_label:zone:east"],
  ["k8s_psat:agent_node_name:node-0"],
  ["k8s_psat:cluster:demo"],
  ["k8s_psat:agent_node_uid:n1", "k8s_psat:cluster:demo"],
] as const;

export const nodeOf = (podId: number): string => `node-${podId % 2}`;
export const podUid = (id: number): string => `uid-pod-${id}`;
export const ruleUid = (id: number): string => `rule-uid-${id}`;
export const staticUid = (id: number): string => `static-uid-${id}`;
export const federatedUid = (id: number): string => `federated-uid-${id}`;
/** Names do not grow with UIDs, and those of two kinds may be the same. */
export const objectName = (id: number): string => `object-${9 - id}`;
export const parentOf = (nodeUid: string): string =>
  `spiffe://example.org/spire/agent/k8s_psat/demo/${nodeUid}`;

export function idOf(name: ModelStatic["spiffeId"] | ModelStatic["parent"]): string {
  if (name === "server") return SERVER;
  return name === "n1" || name === "n2" ? parentOf(name) : `spiffe://example.org/${name}`;
}

const time = (n: number): string => `2026-01-0${n + 1}T00:00:00Z`;

function common(model: ModelObject, uid: string) {
  return {
    name: objectName(model.id),
    uid,
    created: time(model.created),
    generation: model.generation,
    ...(model.deleted === undefined ? {} : { deleted: time(model.deleted) }),
    ...(model.foreign ? { className: "foreign" } : {}),
  };
}

export function podObject(model: ModelPod): PodObject {
  return pod({
    name: `pod-${model.id}`,
    namespace: model.namespace,
    node: model.scheduled ? nodeOf(model.id) : undefined,
    labels: model.labels,
    phase: model.phase,
  });
}

export function ruleObject(model: ModelRule): CustomResource {
  return rule({
    ...common(model, ruleUid(model.id)),
    fallback: model.fallback,
    hint: model.hint,
    spiffeIDTemplate: TEMPLATES[model.template],
    podSelector: POD_SELECTORS[model.podSelector],
    workloadSelectorTemplates: WORKLOAD_SELECTORS[model.workloadSelectors],
    dnsNameTemplates: model.dnsNames ? ["{{ .PodMeta.Name }}.example"] : [],
    autoPopulateDNSNames: model.autoPopulate,
    federatesWith: model.federatesWith,
    ...(model.team === undefined
      ? {}
      : { namespaceSelector: { matchLabels: { team: model.team } } }),
  });
}

/** The selectors of a static entry, which depend on what its parent makes of it. */
export function selectorsOf({ parent, selectors }: ModelStatic): readonly string[] {
  const choices = parent === "server" ? ALIAS_SELECTORS : STATIC_SELECTORS;
  return choices[selectors % choices.length] ?? [];
}

export function staticObject(model: ModelStatic): CustomResource {
  const input = {
    ...common(model, staticUid(model.id)),
    spiffeID: idOf(model.spiffeId),
    parentID: idOf(model.parent),
    selectors: selectorsOf(model),
    hint: model.hint,
    federatesWith: model.federatesWith,
    ...(model.invalid ? { x509SVIDTTL: "soon" } : {}),
  };
  return model.parent === "server" ? alias(input) : staticEntry(input);
}

export function federatedObject(model: ModelFederated): CustomResource {
  return federated({
    ...common(model, federatedUid(model.id)),
    trustDomain: model.trustDomain,
    ...(model.bundle ? { trustDomainBundle: '{"keys":[]}' } : {}),
    ...(model.invalid ? { bundleEndpointURL: "http://x" } : {}),
  });
}

export function sliceObject(model: ModelSlice): EndpointSliceObject {
  return slice({
    name: `slice-${model.id}`,
    namespace: model.namespace,
    service: model.service === "" ? undefined : model.service,
    endpoints: model.endpoints.map(({ pod, by, elsewhere }) => ({
      name: `pod-${pod}`,
      uid: by === "uid" ? podUid(pod) : undefined,
      ...(elsewhere ? { namespace: "elsewhere" } : {}),
    })),
  });
}

export function nodeObject({ name, uid, zone }: ModelNode): NodeObject {
  return node(name, uid, zone === "" ? {} : { zone });
}

export function namespaceObject({ name, team, note }: ModelNamespace): NamespaceObject {
  const { metadata } = namespace(name, team === "" ? {} : { team });
  return { metadata: { ...metadata, ...(note === "" ? {} : { annotations: { note } }) } };
}
