import { isDeepStrictEqual } from "node:util";
import type { SelectorAnchor } from "../api/label-selector.ts";
import type { RegistrationEntry } from "./entry.ts";
import type { Evaluation } from "./evaluate.ts";
import { NodeBook } from "./node-book.ts";
import { podIp } from "./objects.ts";
import type { NamespaceObject, PodObject } from "./objects.ts";
import { PodLabels } from "./pod-labels.ts";
import { ServiceBook, readPodKey } from "./services.ts";
import type { Settings } from "./settings.ts";

/** How much of what was rendered for a pod no longer holds. */
export type Staleness =
  | "fresh"
  /** The Services that it backs changed: only rules that take their names are to be rendered anew. */
  | "services"
  /** Pod, node or namespace changed: nothing holds. */
  | "all";

/** A pod and what was last decided for it. */
export interface PodState {
  pod: PodObject;
  /** Removed, but what it had is not yet taken back. */
  gone: boolean;
  stale: Staleness;
  evaluations: readonly Evaluation[];
  entries: readonly RegistrationEntry[];
}

const NO_PODS: ReadonlySet<PodState> = new Set();

/** The cluster's objects, with pods found by UID, namespace and node. */
export class ClusterState {
  readonly pods = new Map<string, PodState>();
  readonly nodes: NodeBook;
  readonly services = new ServiceBook();
  readonly namespaces = new Map<string, NamespaceObject>();
  readonly #labels = new PodLabels();
  readonly #byNamespace = new Map<string, Set<PodState>>();
  readonly #byNode = new Map<string, Set<PodState>>();
  #moved = new Set<PodState>();

  constructor(settings: Settings) {
    this.nodes = new NodeBook(settings);
  }

  podsInNamespace(name: string): ReadonlySet<PodState> {
    return this.#byNamespace.get(name) ?? NO_PODS;
  }

  podsOnNode(name: string): ReadonlySet<PodState> {
    return this.#byNode.get(name) ?? NO_PODS;
  }

  /** The sets of pods that can match a selector with this anchor; undefined when all can. */
  podsLabelled(anchor: SelectorAnchor): readonly ReadonlySet<PodState>[] | undefined {
    return this.#labels.find(anchor, this.pods.values());
  }

  podNamed(namespace: string, name: string): PodState | undefined {
    for (const state of this.podsInNamespace(namespace)) {
      if (state.pod.metadata.name === name) return state;
    }
    return undefined;
  }

  /** The pod that a change of an EndpointSlice is about. */
  podListed(key: string): PodState | undefined {
    const { namespace, by, value } = readPodKey(key);
    if (by === "name") return this.podNamed(namespace, value);
    const state = this.pods.get(value);
    return state?.pod.metadata.namespace === namespace ? state : undefined;
  }

  /** Takes a pod in; returns its state when anything about it but its address differs, else undefined. */
  applyPod(pod: PodObject): PodState | undefined {
    const state = this.pods.get(pod.metadata.uid);
    if (!state) return this.#addPod(pod);
    if (podIp(state.pod) !== podIp(pod)) this.#moved.add(state);
    if (!state.gone && samePod(state.pod, pod)) {
      state.pod = pod;
      return undefined;
    }
    this.#unlink(state);
    state.pod = pod;
    state.gone = false;
    state.stale = "all";
    this.#link(state);
    return state;
  }

  /** Takes a pod out of all lookups but the one by UID; `forgetPod` ends it. */
  removePod(uid: string): PodState | undefined {
    const state = this.pods.get(uid);
    if (!state || state.gone) return undefined;
    this.#unlink(state);
    state.gone = true;
    return state;
  }

  /** The pods whose address differs from what it was at the last call. */
  takeMoved(): ReadonlySet<PodState> {
    if (this.#moved.size === 0) return NO_PODS;
    const moved = this.#moved;
    this.#moved = new Set();
    return moved;
  }

  forgetPod(state: PodState): void {
    this.pods.delete(state.pod.metadata.uid);
  }

  #addPod(pod: PodObject): PodState {
    const state: PodState = { pod, gone: false, stale: "all", evaluations: [], entries: [] };
    this.pods.set(pod.metadata.uid, state);
    this.#link(state);
    return state;
  }

  #link(state: PodState): void {
    const { metadata, spec } = state.pod;
    add(this.#byNamespace, metadata.namespace ?? "", state);
    if (spec.nodeName) add(this.#byNode, spec.nodeName, state);
    this.#labels.link(state);
  }

  #unlink(state: PodState): void {
    const { metadata, spec } = state.pod;
    remove(this.#byNamespace, metadata.namespace ?? "", state);
    if (spec.nodeName) remove(this.#byNode, spec.nodeName, state);
    this.#labels.unlink(state);
  }
}

/** Tells whether two versions of a pod render alike: no template or selector looks at its address. */
function samePod(a: PodObject, b: PodObject): boolean {
  return (
    isDeepStrictEqual({ ...a.status, podIP: "" }, { ...b.status, podIP: "" }) &&
    isDeepStrictEqual(a.metadata, b.metadata) &&
    isDeepStrictEqual(a.spec, b.spec)
  );
}

function add(map: Map<string, Set<PodState>>, key: string, state: PodState): void {
  const set = map.get(key);
  if (set) set.add(state);
  else map.set(key, new Set([state]));
}

function remove(map: Map<string, Set<PodState>>, key: string, state: PodState): void {
  const set = map.get(key);
  set?.delete(state);
  if (set?.size === 0) map.delete(key);
}
