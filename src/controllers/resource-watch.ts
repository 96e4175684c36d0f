import type { ClusterFederatedTrustDomain } from "../api/cluster-federated-trust-domain.ts";
import type { ClusterSpiffeId } from "../api/cluster-spiffe-id.ts";
import type { ClusterStaticEntry } from "../api/cluster-static-entry.ts";
import {
  CLUSTER_FEDERATED_TRUST_DOMAINS,
  CLUSTER_SPIFFE_IDS,
  CLUSTER_STATIC_ENTRIES,
} from "../api/resources.ts";
import type { ReflectorHandler } from "../kube/reflector.ts";
import type { Resource } from "../kube/resources.ts";
import type { KubeObject } from "../kube/types.ts";
import { NO_READS, joinReads, sameReads } from "../registration/index.ts";
import type { CustomResourceKind, PodReads, RegistrationIndex } from "../registration/index.ts";
import type { PodWatch } from "./pod-watch.ts";

/** A custom resource as the API server holds it. */
export type StoredResource = KubeObject & {
  readonly kind: CustomResourceKind;
  readonly spec: unknown;
  readonly status?: StoredStatus;
};

export type StoredStatus = NonNullable<
  ClusterSpiffeId["status"] | ClusterStaticEntry["status"] | ClusterFederatedTrustDomain["status"]
>;

/** How the API server addresses each kind. */
export const CUSTOM_RESOURCES: Readonly<Record<CustomResourceKind, Resource>> = {
  ClusterSPIFFEID: CLUSTER_SPIFFE_IDS,
  ClusterStaticEntry: CLUSTER_STATIC_ENTRIES,
  ClusterFederatedTrustDomain: CLUSTER_FEDERATED_TRUST_DOMAINS,
};

export interface ResourceWatchDeps {
  readonly index: RegistrationIndex;
  readonly pods: PodWatch;
  /** Hears of each object that was seen, changed or not. */
  readonly tellSeen: (uids: Iterable<string>) => void;
}

/** The custom resources: hands each to the index as soon as the cached pods have what it reads. */
export class ResourceWatch {
  readonly #deps: ResourceWatchDeps;
  readonly #objects = new Map<string, { object: StoredResource; reads: PodReads }>();

  constructor(deps: ResourceWatchDeps) {
    this.#deps = deps;
  }

  get(uid: string): StoredResource | undefined {
    return this.#objects.get(uid)?.object;
  }

  uids(): string[] {
    return [...this.#objects.keys()];
  }

  handlerOf(kind: CustomResourceKind): ReflectorHandler<StoredResource> {
    return {
      replace: (objects) => {
        const kept = new Set(objects.map(({ metadata }) => metadata.uid));
        this.#deps.index.batch(() => {
          for (const [uid, { object }] of this.#objects) {
            if (object.kind === kind && !kept.has(uid)) this.#remove(kind, uid);
          }
          for (const object of objects) this.#apply(kind, object);
        });
        this.#deps.tellSeen(kept);
      },
      apply: (object) => {
        this.#apply(kind, object);
        this.#deps.tellSeen([object.metadata.uid]);
      },
      remove: ({ metadata }) => this.#remove(kind, metadata.uid),
    };
  }

  #apply(kind: CustomResourceKind, raw: StoredResource): void {
    const { index, pods } = this.#deps;
    // A list leaves the kind of its items out.
    const object: StoredResource = { ...raw, kind };
    const { uid } = object.metadata;
    const before = this.#objects.get(uid);
    const reads =
      before && sameSpec(before.object, object) ? before.reads : index.readsOf(kind, object);
    this.#objects.set(uid, { object, reads });
    pods.ensure(reads, () => {
      // Meanwhile it may have changed again, or gone.
      if (this.get(uid) === object) index.applyResource(kind, object);
    });
    if (!before || !sameReads(before.reads, reads)) this.#release();
  }

  #remove(kind: CustomResourceKind, uid: string): void {
    if (!this.#objects.delete(uid)) return;
    this.#deps.index.removeResource(kind, uid);
    this.#release();
  }

  #release(): void {
    const all = [...this.#objects.values()].map(({ reads }) => reads);
    this.#deps.pods.release(all.reduce(joinReads, NO_READS));
  }
}

/** The API server counts the generations of a spec; a write of the status is none. */
function sameSpec(a: StoredResource, b: StoredResource): boolean {
  return a.metadata.generation !== undefined && a.metadata.generation === b.metadata.generation;
}
