import type { KubeObject, Namespace, Node, ObjectMeta, Pod } from "../kube/types.ts";

/** Annotations that kubectl and controllers write for themselves; no template has a use for them. */
const NOISE = new Set(["kubectl.kubernetes.io/last-applied-configuration"]);

/** What is kept of a pod: metadata without bookkeeping, the spec that templates may name, and the phase. */
export function projectPod(pod: Pod): Pod {
  return {
    metadata: projectStable(pod.metadata),
    spec: pod.spec,
    ...(pod.status?.phase === undefined ? {} : { status: { phase: pod.status.phase } }),
  };
}

/** What is kept of a node: its status, which changes every few seconds, is not. */
export function projectNode(node: Node): Node {
  return { metadata: projectStable(node.metadata), spec: node.spec };
}

/** What is kept of a namespace: its names and labels. */
export function projectNamespace(namespace: Namespace): Namespace {
  return { metadata: projectStable(namespace.metadata) };
}

/** What is kept of a custom resource: all but the bookkeeping. */
export function projectResource<T extends KubeObject>(object: T): T {
  return { ...object, metadata: projectMeta(object.metadata) };
}

/** Metadata without the resource version: an object that differs in nothing else is the same to us. */
function projectStable(meta: ObjectMeta): ObjectMeta {
  return { ...projectMeta(meta), resourceVersion: "" };
}

function projectMeta(meta: ObjectMeta): ObjectMeta {
  const { managedFields: _, annotations, ...kept } = meta;
  if (annotations === undefined) return kept;
  const useful = Object.entries(annotations).filter(([key]) => !NOISE.has(key));
  return { ...kept, annotations: Object.fromEntries(useful) };
}
