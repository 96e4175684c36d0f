import { CLUSTER_SPIFFE_IDS } from "../api/resources.ts";
import type { ClusterSpiffeId } from "../api/cluster-spiffe-id.ts";
import type { Clock } from "../core/clock.ts";
import { isSignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { EntryRegistry, RegistryListener } from "../issuer/ports.ts";
import { Cache } from "../kube/cache.ts";
import type { KubeClient } from "../kube/client.ts";
import { startReflector } from "../kube/reflector.ts";
import type { Reflector, ReflectorHandler } from "../kube/reflector.ts";
import { NAMESPACES, NODES, PODS } from "../kube/resources.ts";
import type { Resource } from "../kube/resources.ts";
import type { KubeObject, Namespace, Node, Pod } from "../kube/types.ts";
import { RegistrationIndex } from "../registration/index.ts";
import type { Change, PodObject, RegistrationOptions, RuleStatus } from "../registration/index.ts";
import { projectNamespace, projectNode, projectPod, projectResource } from "./projection.ts";

/** A ClusterSPIFFEID as the API server holds it. */
export type StoredClusterSpiffeId = ClusterSpiffeId & KubeObject;

export interface RegistryDeps {
  readonly client: KubeClient;
  readonly options: RegistrationOptions;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

/** The cluster's registration entries, kept up to date from watches. */
export interface Registry extends EntryRegistry {
  /** Resolves once every kind has been listed; from then on the entries are true. */
  readonly synced: Promise<void>;
  /** Calls `listener` with the UIDs of ClusterSPIFFEIDs whose status may differ now. */
  onStatus(listener: (uids: Iterable<string>) => void): () => void;
  clusterSpiffeId(uid: string): StoredClusterSpiffeId | undefined;
  clusterSpiffeIdUids(): string[];
  statusOf(uid: string): RuleStatus | undefined;
  stop(): Promise<void>;
}

/** Starts to watch pods, nodes, namespaces and ClusterSPIFFEIDs, and computes the entries of all replicas alike. */
export function startRegistry(deps: RegistryDeps): Registry {
  const listeners = new Set<RegistryListener>();
  const statusListeners = new Set<(uids: Iterable<string>) => void>();
  const resources = new Cache<StoredClusterSpiffeId>({ log: deps.log });
  const index = new RegistrationIndex(deps.options, (change: Change) => {
    for (const [podUid, nodeName] of change.pods) {
      for (const listener of listeners) listener.entriesChanged(podUid, nodeName);
    }
    for (const listener of statusListeners) listener(change.rules);
  });
  const tellEnding = (podUid: string): void => {
    for (const listener of listeners) listener.podEnding(podUid);
  };
  const tellStatus = (uids: Iterable<string>): void => {
    for (const listener of statusListeners) listener(uids);
  };
  const reflectors = startReflectors(deps, {
    pods: podHandler(index, tellEnding),
    nodes: {
      replace: (nodes) => index.replaceNodes(nodes),
      apply: (node) => index.applyNode(node),
      remove: (node) => index.removeNode(node),
    },
    namespaces: {
      replace: (namespaces) => index.replaceNamespaces(namespaces),
      apply: (namespace) => index.applyNamespace(namespace),
      remove: (namespace) => index.removeNamespace(namespace),
    },
    clusterSpiffeIds: clusterSpiffeIdHandler(index, resources, tellStatus),
  });
  const synced = Promise.all(reflectors.map((reflector) => reflector.synced)).then(() => undefined);
  // Rejects when stopped before the first lists; whoever awaits it hears that, and nobody has to.
  synced.catch(() => undefined);
  return {
    synced,
    pod: (uid) => index.pod(uid),
    entriesOfPod: (uid) => index.entriesOfPod(uid),
    podsOfNode: (nodeName) => index.podsOfNode(nodeName),
    explainPod: (uid) => index.explainPod(uid),
    statusOf: (uid) => index.statusOf(uid),
    clusterSpiffeId: (uid) => resources.byUid(uid),
    clusterSpiffeIdUids: () => resources.list().map(({ metadata }) => metadata.uid),
    fetchPod: (namespace, name) => fetchPod(deps.client, namespace, name),
    subscribe: (listener) => subscribe(listeners, listener),
    onStatus: (listener) => subscribe(statusListeners, listener),
    async stop() {
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    },
  };
}

interface Handlers {
  readonly pods: ReflectorHandler<Pod>;
  readonly nodes: ReflectorHandler<Node>;
  readonly namespaces: ReflectorHandler<Namespace>;
  readonly clusterSpiffeIds: ReflectorHandler<StoredClusterSpiffeId>;
}

function startReflectors(
  { client, clock, log, random }: RegistryDeps,
  handlers: Handlers,
): Reflector[] {
  const reflect = <T extends KubeObject>(
    resource: Resource,
    project: (object: T) => T,
    handler: ReflectorHandler<T>,
  ): Reflector => startReflector<T>({ client, resource, project, handler, clock, log, random });
  return [
    reflect(NAMESPACES, projectNamespace, handlers.namespaces),
    reflect(NODES, projectNode, handlers.nodes),
    reflect(PODS, projectPod, handlers.pods),
    reflect(CLUSTER_SPIFFE_IDS, projectResource, handlers.clusterSpiffeIds),
  ];
}

/** Feeds pods to the index, and tells of those that go: whoever waits for them must stop. */
function podHandler(
  index: RegistrationIndex,
  tellEnding: (podUid: string) => void,
): ReflectorHandler<Pod> {
  /** UIDs of the pods that stay: a new list does not name those that went while nobody watched. */
  let staying = new Set<string>();
  const end = (uid: string): void => {
    staying.delete(uid);
    tellEnding(uid);
  };
  return {
    replace(pods) {
      index.replacePods(pods);
      const before = staying;
      staying = new Set(pods.filter((pod) => !isEnding(pod)).map((pod) => pod.metadata.uid));
      for (const uid of before) if (!staying.has(uid)) tellEnding(uid);
    },
    apply(pod) {
      index.applyPod(pod);
      if (isEnding(pod)) end(pod.metadata.uid);
      else staying.add(pod.metadata.uid);
    },
    remove(pod) {
      index.removePod(pod);
      end(pod.metadata.uid);
    },
  };
}

function isEnding(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}

function clusterSpiffeIdHandler(
  index: RegistrationIndex,
  resources: Cache<StoredClusterSpiffeId>,
  tellStatus: (uids: Iterable<string>) => void,
): ReflectorHandler<StoredClusterSpiffeId> {
  return {
    replace(objects) {
      resources.replace(objects);
      index.replaceClusterSpiffeIds(objects);
      tellStatus(objects.map(({ metadata }) => metadata.uid));
    },
    apply(object) {
      resources.apply(object);
      index.applyClusterSpiffeId(object);
      tellStatus([object.metadata.uid]);
    },
    remove(object) {
      resources.remove(object);
      index.removeClusterSpiffeId(object);
    },
  };
}

async function fetchPod(
  client: KubeClient,
  namespace: string,
  name: string,
): Promise<PodObject | undefined> {
  try {
    return await client.get<Pod>(PODS, { namespace, name });
  } catch (error) {
    if (isSignetError(error, "NOT_FOUND")) return undefined;
    throw error;
  }
}

function subscribe<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
