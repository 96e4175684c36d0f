import type {
  ClusterSpiffeIdObject,
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

export type Labels = Record<string, string>;

export interface PodInput {
  readonly name?: string;
  readonly uid?: string;
  readonly namespace?: string;
  readonly node?: string | undefined;
  readonly labels?: Labels;
  readonly phase?: string;
  readonly serviceAccount?: string;
  readonly deleting?: boolean;
  readonly owner?: { readonly kind: string; readonly name: string; readonly uid: string };
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
      ...(input.deleting ? { deletionTimestamp: "2026-01-02T00:00:00Z" } : {}),
      ...(input.owner ? { ownerReferences: [input.owner] } : {}),
    },
    spec: {
      serviceAccountName: input.serviceAccount ?? "till",
      ...("node" in input && input.node === undefined ? {} : { nodeName: node }),
    },
    status: { phase: input.phase ?? "Running" },
  };
}

export function node(name = "node-1", uid = `uid-of-${name}`, labels: Labels = {}): NodeObject {
  return { metadata: { name, uid, labels }, spec: {} };
}

export function namespace(name = "shop", labels: Labels = {}): NamespaceObject {
  return { metadata: { name, uid: `uid-of-${name}`, labels } };
}

export interface RuleInput {
  readonly name?: string;
  readonly uid?: string;
  readonly created?: string;
  readonly deleted?: string;
  readonly generation?: number;
  readonly [specField: string]: unknown;
}

/** A ClusterSPIFFEID; everything but the named inputs goes to its spec. */
export function rule(input: RuleInput = {}): ClusterSpiffeIdObject {
  const { name = "all", uid, created, deleted, generation = 1, ...spec } = input;
  return {
    metadata: {
      name,
      uid: uid ?? `uid-${name}`,
      generation,
      creationTimestamp: created ?? "2026-01-01T00:00:00Z",
      ...(deleted === undefined ? {} : { deletionTimestamp: deleted }),
    },
    spec: { spiffeIDTemplate: ID_TEMPLATE, ...spec },
  };
}
