import type { EndpointSliceObject } from "./objects.ts";

/** Label by which an EndpointSlice names its Service. */
const SERVICE_LABEL = "kubernetes.io/service-name";
/** Names that a Service can have. A label may hold more, such as the whole DNS name of something else. */
const SERVICE_NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

interface Slice {
  readonly service: string;
  /** Keys of the pods it lists. */
  readonly pods: ReadonlySet<string>;
}

const NO_SLICE: Slice = { service: "", pods: new Set() };

/**
 * Which Services each pod backs, out of EndpointSlices: endpoints that are ready, not ready or terminating all
 * count, as in SPIRE's controller. A pod is found by its UID or, in slices made by hand without it, by name.
 */
export class ServiceBook {
  readonly #slices = new Map<string, Slice>();
  /** pod key → Service → number of slices that list the pod */
  readonly #byPod = new Map<string, Map<string, number>>();

  /** Takes a slice in; returns the keys of the pods whose Services changed. */
  apply(slice: EndpointSliceObject): readonly string[] {
    return this.#set(sliceKey(slice), readSlice(slice));
  }

  /** Takes a slice out; returns the keys of the pods whose Services changed. */
  remove(slice: EndpointSliceObject): readonly string[] {
    return this.#set(sliceKey(slice), undefined);
  }

  /** Those that are held and not among `slices`. */
  othersThan(slices: readonly EndpointSliceObject[]): EndpointSliceObject[] {
    const kept = new Set(slices.map(sliceKey));
    return [...this.#slices.keys()]
      .filter((key) => !kept.has(key))
      .map((key) => {
        const [namespace = "", name = ""] = key.split("/");
        return { metadata: { namespace, name, uid: "" } };
      });
  }

  /** Names of the Services in the pod's namespace that it backs, unsorted. */
  of(pod: {
    readonly uid: string;
    readonly namespace?: string | undefined;
    readonly name: string;
  }): string[] {
    if (this.#byPod.size === 0) return [];
    const byUid = this.#byPod.get(podKey(pod.namespace, "uid", pod.uid));
    const byName = this.#byPod.get(podKey(pod.namespace, "name", pod.name));
    return [...new Set([...(byUid?.keys() ?? []), ...(byName?.keys() ?? [])])];
  }

  #set(key: string, after: Slice = NO_SLICE): readonly string[] {
    const before = this.#slices.get(key) ?? NO_SLICE;
    if (after === NO_SLICE) this.#slices.delete(key);
    else this.#slices.set(key, after);
    return [...this.#countAll(before, after, -1), ...this.#countAll(after, before, 1)];
  }

  /** Counts the pods of one slice that the other lacks; returns those whose Services changed. */
  #countAll({ service, pods }: Slice, other: Slice, by: 1 | -1): string[] {
    const known = service === other.service ? other.pods : NO_SLICE.pods;
    return [...pods].filter((pod) => !known.has(pod) && this.#count(pod, service, by));
  }

  /** Tells whether the pod began or ceased to back the Service. */
  #count(pod: string, service: string, by: 1 | -1): boolean {
    const services = this.#byPod.get(pod) ?? new Map<string, number>();
    const count = (services.get(service) ?? 0) + by;
    if (count > 0) services.set(service, count);
    else services.delete(service);
    if (services.size > 0) this.#byPod.set(pod, services);
    else this.#byPod.delete(pod);
    return by === 1 ? count === 1 : count === 0;
  }
}

/** A pod that a slice lists; its namespace is the slice's, so that no namespace can name the pods of another. */
export interface ListedPod {
  readonly namespace: string;
  readonly by: "uid" | "name";
  readonly value: string;
}

/** Reads the keys that changes are told with. */
export function readPodKey(key: string): ListedPod {
  const [, namespace = "", by, value = ""] = /^([^/]*)\/(uid|name)=(.*)$/s.exec(key) ?? [];
  return { namespace, by: by === "uid" ? "uid" : "name", value };
}

/**
 * The DNS names of Services in a namespace, sorted as one list: `name`, `name.ns`, `name.ns.svc` and, where the
 * cluster's domain is known, `name.ns.svc.<cluster domain>`.
 */
export function serviceNames(
  services: readonly string[],
  namespace: string,
  clusterDomain: string,
): string[] {
  return services
    .flatMap((name) => {
      const forms = [name, `${name}.${namespace}`, `${name}.${namespace}.svc`];
      return clusterDomain === "" ? forms : [...forms, `${name}.${namespace}.svc.${clusterDomain}`];
    })
    .toSorted();
}

function readSlice({ metadata, endpoints }: EndpointSliceObject): Slice | undefined {
  const service = metadata.labels?.[SERVICE_LABEL] ?? "";
  if (!SERVICE_NAME.test(service)) return undefined;
  const namespace = metadata.namespace ?? "";
  const pods = new Set<string>();
  for (const { targetRef } of endpoints ?? []) {
    if (targetRef?.kind !== "Pod") continue;
    // A pod of another namespace is not this Service's to name.
    if ((targetRef.namespace ?? namespace) !== namespace) continue;
    if (targetRef.uid) pods.add(podKey(namespace, "uid", targetRef.uid));
    else if (targetRef.name) pods.add(podKey(namespace, "name", targetRef.name));
  }
  return { service, pods };
}

function sliceKey({ metadata }: EndpointSliceObject): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}

function podKey(namespace: string | undefined, by: ListedPod["by"], value: string): string {
  return `${namespace ?? ""}/${by}=${value}`;
}
