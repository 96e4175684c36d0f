import type {
  CustomResource,
  EndpointSliceObject,
  NamespaceObject,
  NodeObject,
  PodObject,
  RegistrationOptions,
} from "../../src/registration/index.ts";

/** Objects as the API server would send them, for the tests of registration. */

export const OPTIONS: RegistrationOptions = {
  trustDomain: "example.org",
  clusterName: "demo",
  clusterDomain: "cluster.local",
};

export const ID_TEMPLATE =
  "spiffe://example.org/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}";

/** Of every node: what its pods' entries have as parent. */
export const NODE_PARENT = "spiffe://example.org/spire/agent/k8s_psat/demo/uid-of-node-1";
/** The parent of entries that give nodes an alias. */
export const SERVER = "spiffe://example.org/spire/server";

/** A SPIFFE ID of the trust domain. */
export const fixed = (path: string): string => `spiffe://example.org/${path}`;

export type Labels = Record<string, string>;

export interface OwnerInput {
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
}

export interface PodInput {
  readonly name?: string;
  readonly uid?: string;
  readonly namespace?: string;
  readonly node?: string | undefined;
  readonly labels?: Labels;
  readonly annotations?: Labels;
  readonly phase?: string;
  readonly serviceAccount?: string;
  readonly deleting?: boolean;
  readonly owners?: readonly OwnerInput[];
  /** Further fields of the spec. */
  readonly spec?: object;
  /** Further fields of the status. */
  readonly status?: object;
}

export function pod(input: PodInput = {}): PodObject {
  const { name = "web", namespace = "shop", node = "node-1" } = input;
  return {
    metadata: {
      name,
      namespace,
      uid: input.uid ?? `uid-${name}`,
      creationTimestamp: "2026-01-01T00:00:00Z",
      ...(input.labels ? { labels: input.labels } : {}),
      ...(input.annotations ? { annotations: input.annotations } : {}),
      ...(input.deleting ? { deletionTimestamp: "2026-01-02T00:00:00Z" } : {}),
      ...(input.owners ? { ownerReferences: input.owners } : {}),
    },
    spec: {
      serviceAccountName: input.serviceAccount ?? "till",
      ...("node" in input && input.node === undefined ? {} : { nodeName: node }),
      ...input.spec,
    },
    status: { phase: input.phase ?? "Running", ...input.status },
  };
}

export function node(name = "node-1", uid = `uid-of-${name}`, labels: Labels = {}): NodeObject {
  return { metadata: { name, uid, labels }, spec: {} };
}

export function namespace(name = "shop", labels: Labels = {}): NamespaceObject {
  return { metadata: { name, uid: `uid-of-${name}`, labels } };
}

export interface ResourceInput {
  readonly name?: string;
  readonly uid?: string;
  readonly created?: string;
  readonly deleted?: string;
  readonly generation?: number;
  readonly [specField: string]: unknown;
}

/** A ClusterSPIFFEID; everything but the named inputs goes to its spec. */
export function rule(input: ResourceInput = {}): CustomResource {
  return resource({ name: "all", spiffeIDTemplate: ID_TEMPLATE, ...input });
}

/** A ClusterStaticEntry for the pods of the namespace shop on node-1; the rest as for `rule`. */
export function staticEntry(input: ResourceInput = {}): CustomResource {
  return resource({
    name: "static",
    spiffeID: fixed("static"),
    parentID: NODE_PARENT,
    selectors: ["k8s:ns:shop"],
    ...input,
  });
}

/** A ClusterStaticEntry that gives nodes an alias; the rest as for `rule`. */
export function alias(input: ResourceInput = {}): CustomResource {
  return resource({
    name: "alias",
    spiffeID: fixed("nodes/east"),
    parentID: SERVER,
    selectors: ["k8s_psat:agent_node_label:zone:east"],
    ...input,
  });
}

/** A ClusterFederatedTrustDomain; the rest as for `rule`. */
export function federated(input: ResourceInput = {}): CustomResource {
  return resource({
    name: "partner",
    trustDomain: "partner.example",
    bundleEndpointURL: "https://partner.example/bundle",
    bundleEndpointProfile: { type: "https_web" },
    ...input,
  });
}

function resource(input: ResourceInput): CustomResource {
  const { name = "", uid, created, deleted, generation = 1, ...spec } = input;
  return {
    metadata: {
      name,
      uid: uid ?? `uid-${name}`,
      generation,
      creationTimestamp: created ?? "2026-01-01T00:00:00Z",
      ...(deleted === undefined ? {} : { deletionTimestamp: deleted }),
    },
    spec,
  };
}

export interface EndpointInput {
  readonly name?: string;
  /** Undefined leaves it out. */
  readonly uid?: string | undefined;
  readonly namespace?: string;
  readonly kind?: string;
  readonly ready?: boolean;
  readonly terminating?: boolean;
}

export interface SliceInput {
  readonly name?: string;
  readonly namespace?: string;
  /** Undefined leaves the label out. */
  readonly service?: string | undefined;
  readonly endpoints?: readonly EndpointInput[] | null;
}

/** An EndpointSlice of the Service `web`; an endpoint by name alone has the UID that `pod` gives. */
export function slice(input: SliceInput = {}): EndpointSliceObject {
  const { name = "web-1", namespace = "shop", endpoints = [{ name: "web" }] } = input;
  const service = "service" in input ? input.service : "web";
  const labels = service === undefined ? {} : { "kubernetes.io/service-name": service };
  return {
    metadata: { name, namespace, uid: `uid-of-${name}`, labels },
    endpoints: endpoints?.map(endpointOf) ?? null,
  };
}

function endpointOf({ ready = true, terminating = false, ...ref }: EndpointInput) {
  const { name, kind = "Pod" } = ref;
  const uid = "uid" in ref ? ref.uid : name && `uid-${name}`;
  return {
    addresses: ["10.0.0.1"],
    conditions: { ready, serving: ready, terminating },
    targetRef: {
      kind,
      ...(name === undefined ? {} : { name }),
      ...(uid === undefined ? {} : { uid }),
      ...(ref.namespace === undefined ? {} : { namespace: ref.namespace }),
    },
  };
}
