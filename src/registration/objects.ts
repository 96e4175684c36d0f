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
  readonly ownerReferences?:
    | readonly { readonly kind: string; readonly name: string; readonly uid: string }[]
    | undefined;
}

export interface PodObject {
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly nodeName?: string | undefined;
    readonly serviceAccountName?: string | undefined;
  };
  readonly status?: { readonly phase?: string | undefined } | undefined;
}

export interface NodeObject {
  readonly metadata: ObjectMeta;
  readonly spec?: object | undefined;
}

export interface NamespaceObject {
  readonly metadata: ObjectMeta;
}

/** A ClusterSPIFFEID as watched: its spec is checked when it is compiled. */
export interface ClusterSpiffeIdObject {
  readonly metadata: ObjectMeta;
  readonly spec: unknown;
}

/** `namespace/name`, as people write it. */
export function podName(pod: PodObject): string {
  return `${pod.metadata.namespace ?? ""}/${pod.metadata.name}`;
}
