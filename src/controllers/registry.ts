import type { Clock } from "../core/clock.ts";
import { errorMessage } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { InspectedRegistry } from "../inspect/ports.ts";
import type { EntryRegistry, RegistryListener } from "../issuer/ports.ts";
import type { KubeClient } from "../kube/client.ts";
import { startReflector } from "../kube/reflector.ts";
import type { Reflector, ReflectorHandler } from "../kube/reflector.ts";
import { ENDPOINT_SLICES, NAMESPACES, NODES } from "../kube/resources.ts";
import type { Resource } from "../kube/resources.ts";
import type { EndpointSlice, KubeObject, Namespace, Node } from "../kube/types.ts";
import { RegistrationIndex } from "../registration/index.ts";
import type {
  Change,
  FederationStatus,
  DraftResource,
  Preview,
  RegistrationOptions,
  RuleStatus,
  SourceKind,
} from "../registration/index.ts";
import type { Previewer } from "../webhook/ports.ts";
import { fetchPod } from "./fetch-pod.ts";
import { PodWatch } from "./pod-watch.ts";
import { previewLive } from "./preview.ts";
import {
  projectEndpointSlice,
  projectNamespace,
  projectNode,
  projectResource,
} from "./projection.ts";
import type { Project } from "./projection.ts";
import { CUSTOM_RESOURCES, ResourceWatch } from "./resource-watch.ts";
import type { StoredResource } from "./resource-watch.ts";

export interface RegistryDeps {
  readonly client: KubeClient;
  readonly options: RegistrationOptions;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

type StatusListener = (uids: Iterable<string>) => void;

/** The cluster's registration entries, kept up to date from watches. */
export interface Registry
  extends EntryRegistry, Omit<InspectedRegistry, "preview">, Omit<Previewer, "preview"> {
  /** What a custom resource would give if it were applied now. */
  preview(kind: SourceKind, object: DraftResource, signal?: AbortSignal): Promise<Preview>;
  /** Resolves once every kind has been listed; from then on the entries are true. */
  readonly synced: Promise<void>;
  /** Calls `listener` with the UIDs of custom resources whose status may differ now. */
  onStatus(listener: StatusListener): () => void;
  resource(uid: string): StoredResource | undefined;
  resourceUids(): string[];
  statusOf(uid: string): RuleStatus | FederationStatus | undefined;
  stop(): Promise<void>;
}

/** Starts to watch what entries are made of, and computes the entries of all replicas alike. */
export function startRegistry(deps: RegistryDeps): Registry {
  const listeners = new Set<Partial<RegistryListener>>();
  const statusListeners = new Set<StatusListener>();
  const tellStatus: StatusListener = (uids) => {
    for (const listener of statusListeners) listener(uids);
  };
  const index = new RegistrationIndex(
    deps.options,
    (change: Change) => {
      for (const [podUid, nodeName] of change.pods) {
        for (const listener of listeners) listener.entriesChanged?.(podUid, nodeName);
      }
      for (const trustDomain of change.bundles) {
        for (const listener of listeners) listener.foreignBundleChanged?.(trustDomain);
      }
      tellStatus(change.rules);
    },
    () => turns.begin(),
  );
  const turns = resumeInTurns(index, deps);
  const tellEnding = (podUid: string): void => {
    for (const listener of listeners) listener.podEnding?.(podUid);
  };
  const pods = new PodWatch({ ...deps, index, tellEnding });
  const resources = new ResourceWatch({ index, pods, tellSeen: tellStatus });
  const watches = startWatches(deps, { index, pods, resources });
  return {
    synced: watches.synced,
    pod: (uid) => index.pod(uid),
    podNamed: (namespace, name) => index.podNamed(namespace, name),
    entriesOfPod: (uid) => index.entriesOfPod(uid),
    entries: () => index.entries(),
    podsOfNode: (nodeName) => index.podsOfNode(nodeName),
    foreignBundles: () => index.foreignBundles(),
    explainPod: (uid) => index.explainPod(uid),
    explainRule: (kind, name, maxPods) => index.explainRule(kind, name, maxPods),
    ownsClass: (className) => index.ownsClass(className),
    check: (kind, object) => index.check(kind, object),
    checkFederatedTrustDomain: (spec) =>
      index.check("ClusterFederatedTrustDomain", { metadata: { name: "" }, spec }),
    preview: (kind, object, signal) =>
      previewLive(kind, object, { client: deps.client, index, pods, signal }),
    statusOf: (uid) => index.statusOf(uid),
    resource: (uid) => resources.get(uid),
    resourceUids: () => resources.uids(),
    fetchPod: (namespace, name) => fetchPod(deps.client, { namespace, name }),
    subscribe: (listener) => subscribe(listeners, listener),
    onStatus: (listener) => subscribe(statusListeners, listener),
    async stop() {
      turns.stop();
      await watches.stop();
    },
  };
}

/** Between two turns of costly rules all else has its own. */
const TURN_PAUSE_MS = 100;

/** Lets the index decide what it put off, a little at a time, until nothing is left or it is stopped. */
function resumeInTurns(
  index: RegistrationIndex,
  { clock, log }: RegistryDeps,
): { begin(): void; stop(): void } {
  const stopping = new AbortController();
  let running = false;
  const run = async (): Promise<void> => {
    do await clock.sleep(TURN_PAUSE_MS, stopping.signal);
    while (index.resume());
  };
  return {
    begin() {
      if (running || stopping.signal.aborted) return;
      running = true;
      run()
        .catch((error: unknown) => {
          if (stopping.signal.aborted) return;
          log.error({ error: errorMessage(error) }, "pods that were put off stay undecided");
        })
        .finally(() => (running = false));
    },
    stop: () => stopping.abort(),
  };
}

interface Parts {
  readonly index: RegistrationIndex;
  readonly pods: PodWatch;
  readonly resources: ResourceWatch;
}

interface Watches {
  readonly synced: Promise<void>;
  stop(): Promise<void>;
}

/** Pods come last: what is kept of them depends on the custom resources. */
function startWatches(deps: RegistryDeps, { index, pods, resources }: Parts): Watches {
  const custom = (
    ["ClusterSPIFFEID", "ClusterStaticEntry", "ClusterFederatedTrustDomain"] as const
  ).map((kind) =>
    reflect<StoredResource>(deps, {
      resource: CUSTOM_RESOURCES[kind],
      project: projectResource,
      handler: resources.handlerOf(kind),
      // The CRDs may be SPIRE's own, of a version that lacks the other two.
      optional: kind !== "ClusterSPIFFEID",
    }),
  );
  const others = [
    reflect<Namespace>(deps, {
      resource: NAMESPACES,
      project: projectNamespace,
      handler: {
        replace: (namespaces) => index.replaceNamespaces(namespaces),
        apply: (namespace) => index.applyNamespace(namespace),
        remove: (namespace) => index.removeNamespace(namespace),
      },
    }),
    reflect<Node>(deps, {
      resource: NODES,
      project: projectNode,
      handler: {
        replace: (nodes) => index.replaceNodes(nodes),
        apply: (node) => index.applyNode(node),
        remove: (node) => index.removeNode(node),
      },
    }),
    reflect<EndpointSlice>(deps, {
      resource: ENDPOINT_SLICES,
      project: projectEndpointSlice,
      handler: {
        replace: (slices) => index.replaceEndpointSlices(slices),
        apply: (slice) => index.applyEndpointSlice(slice),
        remove: (slice) => index.removeEndpointSlice(slice),
      },
    }),
  ];
  const reflectors = [...custom, ...others];
  const synced = syncInOrder(custom, others, pods);
  // Rejects when stopped before the first lists; whoever awaits it hears that, and nobody has to.
  synced.catch(() => undefined);
  return {
    synced,
    async stop() {
      await Promise.all([pods.stop(), ...reflectors.map((reflector) => reflector.stop())]);
    },
  };
}

async function syncInOrder(
  custom: readonly Reflector[],
  others: readonly Reflector[],
  pods: PodWatch,
): Promise<void> {
  await Promise.all(custom.map(({ synced }) => synced));
  pods.start();
  await Promise.all([pods.synced, ...others.map(({ synced }) => synced)]);
}

interface Watched<T> {
  readonly resource: Resource;
  readonly project: Project<T>;
  readonly handler: ReflectorHandler<T>;
  readonly optional?: boolean;
}

function reflect<T extends KubeObject>(
  { client, clock, log, random }: RegistryDeps,
  watched: Watched<T>,
): Reflector {
  return startReflector<T>({ ...watched, client, clock, log, random });
}

function subscribe<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
