import type { KubeObject, Namespace, Node, ObjectMeta, Pod } from "../kube/types.ts";
import type { EndpointSlice } from "../kube/types.ts";
import type { PodReads } from "../registration/index.ts";
import { DATA_TYPE } from "../template/types.ts";
import type { GoType } from "../template/types.ts";

/** Annotations that kubectl and controllers write for themselves; no template has a use for them. */
const NOISE = new Set(["kubectl.kubernetes.io/last-applied-configuration"]);

/** What every pod keeps, whatever templates name: identity, labels, owners, and what attestation looks at. */
const KEPT_META = ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "labels"];
const KEPT_SPEC = ["nodeName", "serviceAccountName"];

type Fields = Readonly<Record<string, unknown>>;
/** Names of JSON fields; undefined for all of them. */
type Names = ReadonlySet<string> | undefined;

/** Cuts objects of one kind down to what is kept. */
export type Project<T> = (object: T) => T;

/** What is kept of pods for rules that read `reads` of them: nothing else of metadata and spec, phase and address. */
export function podProjection({ paths, images }: PodReads): Project<Pod> {
  const meta = namesOf(paths, "PodMeta", KEPT_META);
  const spec = namesOf(paths, "PodSpec", KEPT_SPEC);
  return (pod) => ({
    metadata: projectPodMeta(pod.metadata, meta),
    spec: projectSpec(pod.spec, spec, images) as Pod["spec"],
    ...statusOf(pod, images),
  });
}

/** What is kept of a node: its addresses, and not the rest of its status, which changes every few seconds. */
export function projectNode({ metadata, spec, status }: Node): Node {
  const addresses = status?.addresses;
  return {
    metadata: projectStable(metadata),
    spec,
    ...(addresses === undefined ? {} : { status: { addresses } }),
  };
}

/** What is kept of a namespace: its metadata. */
export function projectNamespace(namespace: Namespace): Namespace {
  return { metadata: projectStable(namespace.metadata) };
}

/** What is kept of an EndpointSlice: its Service and which pods it lists. */
export function projectEndpointSlice({ metadata, endpoints }: EndpointSlice): EndpointSlice {
  const { name, namespace = "", uid, labels, creationTimestamp } = metadata;
  const listed = (endpoints ?? []).flatMap(({ targetRef }) => (targetRef ? [{ targetRef }] : []));
  return {
    metadata: {
      ...{ name, namespace, uid, creationTimestamp, resourceVersion: "" },
      ...(labels === undefined ? {} : { labels }),
    },
    endpoints: listed,
  };
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
  const { managedFields: _, ...kept } = meta;
  return withoutNoise(kept);
}

function withoutNoise(meta: ObjectMeta): ObjectMeta {
  const { annotations } = meta;
  if (annotations === undefined) return meta;
  const useful = Object.entries(annotations).filter(([key]) => !NOISE.has(key));
  return { ...meta, annotations: Object.fromEntries(useful) };
}

function projectPodMeta(meta: ObjectMeta, names: Names): ObjectMeta {
  if (names === undefined) return meta;
  const kept = pick(meta as unknown as Fields, names) as unknown as ObjectMeta;
  const resourceVersion = names.has("resourceVersion") ? meta.resourceVersion : "";
  const owners = names.has("ownerReferences") ? {} : ownersOf(meta);
  return { ...kept, ...owners, resourceVersion };
}

/** Owners as selectors see them. */
function ownersOf({ ownerReferences }: ObjectMeta): Pick<ObjectMeta, "ownerReferences"> {
  if (ownerReferences === undefined) return {};
  return {
    ownerReferences: ownerReferences.map(({ apiVersion, kind, name, uid, controller }) => ({
      ...{ apiVersion, kind, name, uid },
      ...(controller === undefined ? {} : { controller }),
    })),
  };
}

function projectSpec(spec: Pod["spec"], names: Names, images: boolean): unknown {
  if (names === undefined) return spec;
  const kept = pick(spec as Fields, names);
  if (!images) return kept;
  for (const list of ["containers", "initContainers"] as const) {
    const containers = spec[list];
    if (containers && !names.has(list)) kept[list] = containers.map(({ image }) => ({ image }));
  }
  return kept;
}

function statusOf({ status }: Pod, images: boolean): Pick<Pod, "status"> {
  if (status === undefined) return {};
  const kept: NonNullable<Pod["status"]> = {};
  if (status.phase !== undefined) kept.phase = status.phase;
  if (status.podIP !== undefined) kept.podIP = status.podIP;
  if (images) {
    for (const list of ["containerStatuses", "initContainerStatuses"] as const) {
      const statuses = status[list];
      if (statuses) kept[list] = statuses.map(imagesOf);
    }
  }
  return { status: kept };
}

type ContainerStatus = NonNullable<NonNullable<Pod["status"]>["containerStatuses"]>[number];

function imagesOf({ name, image, imageID }: ContainerStatus): ContainerStatus {
  return {
    name,
    ...(image === undefined ? {} : { image }),
    ...(imageID === undefined ? {} : { imageID }),
  };
}

/** The JSON names of the fields that templates name below `root`, and of those kept always. */
function namesOf(paths: ReadonlySet<string>, root: string, always: readonly string[]): Names {
  const type = structBelow(root);
  const names = new Set(always);
  for (const path of paths) {
    const [first = "", second] = path.split(".");
    if (first !== root) continue;
    const json = second === undefined ? undefined : type.findField(second)?.at(-1)?.json;
    // All of it, or a name that is no field: a method may read anything.
    if (json === undefined || json === "-") return undefined;
    names.add(json);
  }
  return names;
}

function structBelow(name: string): GoType {
  const type = DATA_TYPE.findField(name)?.at(-1)?.type ?? DATA_TYPE;
  return type.kind === "pointer" ? type.elem : type;
}

function pick(object: Fields, names: ReadonlySet<string>): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  for (const name of names) if (object[name] !== undefined) kept[name] = object[name];
  return kept;
}
