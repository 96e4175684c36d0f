import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { RegistrationIndex } from "../../src/registration/index.ts";
import type {
  CustomResource,
  CustomResourceKind,
  EndpointSliceObject,
  NamespaceObject,
  NodeObject,
  PodObject,
  RegistrationEntry,
  FederationStatus,
  RuleStatus,
  SpecProblem,
} from "../../src/registration/index.ts";

/** What the operator of the examples is told; the documents name it. */
export const SETTINGS = {
  trustDomain: "example.org",
  clusterName: "demo",
  clusterDomain: "cluster.local",
} as const;

export const EXAMPLE_CLUSTER = readFileSync(
  join(import.meta.dirname, "example-cluster.yaml"),
  "utf8",
);

/** A custom resource as somebody writes it. */
export interface Manifest {
  readonly kind: CustomResourceKind;
  readonly metadata: { readonly name: string };
  readonly spec: unknown;
}

/** What came of some manifests: the example pod's entries, and each object's status by its name. */
export interface Outcome {
  readonly entries: readonly RegistrationEntry[];
  readonly statuses: ReadonlyMap<string, RuleStatus | FederationStatus>;
}

/** Applies manifests, the first as the oldest, to the example cluster. */
export function tryOut(manifests: readonly Manifest[]): Outcome {
  const index = new RegistrationIndex(SETTINGS);
  const [pod] = fillCluster(index);
  if (!pod) throw new Error("example-cluster.yaml has no pod");
  const statuses = new Map<string, RuleStatus | FederationStatus>();
  for (const [at, { kind, metadata, spec }] of manifests.entries()) {
    const created = new Date(Date.UTC(2026, 0, 1 + at)).toISOString();
    const uid = `uid-${at}`;
    const object: CustomResource = {
      metadata: { name: metadata.name, uid, generation: 1, creationTimestamp: created },
      spec,
    };
    index.applyResource(kind, object);
  }
  for (const [at, { metadata }] of manifests.entries()) {
    const status = index.statusOf(`uid-${at}`);
    if (status) statuses.set(metadata.name, status);
  }
  return { entries: index.entriesOfPod(pod.metadata.uid), statuses };
}

/** Why a manifest is refused when it is applied; empty when it is not. */
export function refusalsOf({ kind, metadata, spec }: Manifest): readonly SpecProblem[] {
  const object: CustomResource = { metadata: { name: metadata.name, uid: "uid" }, spec };
  return new RegistrationIndex(SETTINGS).check(kind, object);
}

/** The manifests of our kinds in a YAML text. */
export function readManifests(yaml: string): Manifest[] {
  return parseAllDocuments(yaml).map((document) => document.toJS() as Manifest);
}

type ClusterObject =
  | (NamespaceObject & { readonly kind: "Namespace" })
  | (NodeObject & { readonly kind: "Node" })
  | (PodObject & { readonly kind: "Pod" })
  | (EndpointSliceObject & { readonly kind: "EndpointSlice" });

function fillCluster(index: RegistrationIndex): PodObject[] {
  const pods: PodObject[] = [];
  for (const document of parseAllDocuments(EXAMPLE_CLUSTER)) {
    const object = document.toJS() as ClusterObject;
    if (object.kind === "Namespace") index.applyNamespace(object);
    if (object.kind === "Node") index.applyNode(object);
    if (object.kind === "EndpointSlice") index.applyEndpointSlice(object);
    if (object.kind !== "Pod") continue;
    pods.push(object);
    index.applyPod(object);
  }
  return pods;
}
