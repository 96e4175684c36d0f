/**
 * The least that registration needs to know of Kubernetes objects: JSON as it is on the wire, so that
 * objects of any client fit. Fields beyond these reach templates as they are.
 */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly uid: string;
  readonly generation?: number | undefined;
  /** RFC 3339. */
  readonly creationTimestamp?: string | undefined;
  /** RFC 3339; set while the object waits to be deleted. */
  readonly deletionTimestamp?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly ownerReferences?: readonly OwnerReference[] | undefined;
}

export interface OwnerReference {
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean | undefined;
}

interface ContainerImage {
  readonly image?: string | undefined;
}

interface ContainerStatus extends ContainerImage {
  readonly imageID?: string | undefined;
}

export interface PodObject {
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly nodeName?: string | undefined;
    readonly serviceAccountName?: string | undefined;
    readonly containers?: readonly ContainerImage[] | undefined;
    readonly initContainers?: readonly ContainerImage[] | undefined;
  };
  readonly status?:
    | {
        readonly phase?: string | undefined;
        readonly podIP?: string | undefined;
        readonly containerStatuses?: readonly ContainerStatus[] | undefined;
        readonly initContainerStatuses?: readonly ContainerStatus[] | undefined;
      }
    | undefined;
}

export interface NodeObject {
  readonly metadata: ObjectMeta;
  readonly spec?: object | undefined;
  readonly status?:
    | {
        readonly addresses?:
          | readonly { readonly type: string; readonly address: string }[]
          | undefined;
      }
    | undefined;
}

export interface NamespaceObject {
  readonly metadata: ObjectMeta;
}

/** discovery.k8s.io/v1 EndpointSlice: which pods back a Service. */
export interface EndpointSliceObject {
  readonly metadata: ObjectMeta;
  readonly endpoints?:
    | readonly {
        readonly targetRef?:
          | {
              readonly kind?: string | undefined;
              readonly name?: string | undefined;
              readonly namespace?: string | undefined;
              readonly uid?: string | undefined;
            }
          | undefined;
      }[]
    | null
    | undefined;
}

/** A custom resource as watched: its spec is checked when it is compiled. */
export interface CustomResource {
  readonly metadata: ObjectMeta;
  readonly spec: unknown;
}

/** A custom resource that may not be there yet. */
export interface DraftResource {
  readonly metadata: Pick<ObjectMeta, "name"> & Partial<ObjectMeta>;
  readonly spec: unknown;
}

/** A draft as if it were there, without a UID. */
export function asResource({ metadata, spec }: DraftResource): CustomResource {
  return { metadata: { uid: "", ...metadata }, spec };
}

/** The pod's address; empty before it has one. */
export function podIp(pod: PodObject): string {
  return pod.status?.podIP ?? "";
}

/** `namespace/name`, as people write it. */
export function podName(pod: PodObject): string {
  return `${pod.metadata.namespace ?? ""}/${pod.metadata.name}`;
}
