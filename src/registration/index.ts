import { ClusterState, sameNode } from "./cluster-state.ts";
import type { PodState } from "./cluster-state.ts";
import { sameEntries } from "./entry.ts";
import type { RegistrationEntry } from "./entry.ts";
import { effectiveEntries, evaluatePod } from "./evaluate.ts";
import type { Evaluation } from "./evaluate.ts";
import { explainRule } from "./explain.ts";
import { podName } from "./objects.ts";
import type { ClusterSpiffeIdObject, NamespaceObject, NodeObject, PodObject } from "./objects.ts";
import { renderNode } from "./render.ts";
import type { Rendered } from "./render.ts";
import { RuleBook } from "./rule-book.ts";
import { compareText } from "./rule.ts";
import type { ValidRule } from "./rule.ts";
import { compileSettings } from "./settings.ts";
import type { Settings } from "./settings.ts";
import type { Tally } from "./tally.ts";
import type { Change, Explanation, PodEntries, RegistrationOptions, RuleStatus } from "./types.ts";

export type { RegistrationEntry } from "./entry.ts";
export type { ClusterSpiffeIdObject, NamespaceObject, NodeObject, PodObject } from "./objects.ts";
export type { Change, Explanation, PodEntries, RegistrationOptions, RuleStatus } from "./types.ts";

/** From this many changed rules on, looking at every pod once is cheaper than once per rule. */
const MANY_RULES = 16;

/**
 * The registration entries of the cluster, as a function of its ClusterSPIFFEIDs, pods, nodes and namespaces
 * that is kept up to date event by event: each event costs what it can change, not what there is.
 *
 * Holds objects as given and does no I/O. After each event, or batch of events, that changed anything,
 * `onChange` hears once what did; all queries then show the new state. Objects may come in any order.
 * The node of a scheduled pod never changes under the same UID, as in Kubernetes.
 */
export class RegistrationIndex {
  readonly #settings: Settings;
  readonly #onChange: (change: Change) => void;
  readonly #cluster = new ClusterState();
  readonly #rules: RuleBook;
  readonly #dirtyPods = new Set<PodState>();
  readonly #dirtyRules = new Set<Tally>();
  #batches = 0;

  /** Throws INVALID_ARGUMENT, INVALID_SPIFFE_ID or TEMPLATE_PARSE when the options are invalid. */
  constructor(options: RegistrationOptions, onChange: (change: Change) => void = () => undefined) {
    this.#settings = compileSettings(options);
    this.#onChange = onChange;
    this.#rules = new RuleBook(this.#settings, this.#cluster.namespaces);
  }

  applyClusterSpiffeId(object: ClusterSpiffeIdObject): void {
    this.batch(() => this.#touchRule(this.#rules.apply(object)));
  }

  removeClusterSpiffeId(object: ClusterSpiffeIdObject): void {
    this.batch(() => this.#touchRule(this.#rules.remove(object.metadata.uid)));
  }

  applyPod(pod: PodObject): void {
    this.batch(() => this.#touchPod(this.#cluster.applyPod(pod)));
  }

  removePod(pod: PodObject): void {
    this.batch(() => this.#touchPod(this.#cluster.removePod(pod.metadata.uid)));
  }

  applyNamespace(namespace: NamespaceObject): void {
    this.batch(() => this.#touchNamespace(namespace.metadata.name, namespace));
  }

  removeNamespace(namespace: NamespaceObject): void {
    const { name, uid } = namespace.metadata;
    if (this.#cluster.namespaces.get(name)?.metadata.uid !== uid) return;
    this.batch(() => this.#touchNamespace(name, undefined));
  }

  applyNode(node: NodeObject): void {
    const { name } = node.metadata;
    const before = this.#cluster.nodes.get(name);
    if (before && sameNode(before.object, node)) return;
    this.batch(() => {
      this.#cluster.nodes.set(name, renderNode(node, this.#settings));
      this.#touchStale(this.#cluster.podsOnNode(name));
    });
  }

  removeNode(node: NodeObject): void {
    const { name, uid } = node.metadata;
    if (this.#cluster.nodes.get(name)?.object.metadata.uid !== uid) return;
    this.batch(() => {
      this.#cluster.nodes.delete(name);
      this.#touchStale(this.#cluster.podsOnNode(name));
    });
  }

  /** Makes `pods` all the pods there are. */
  replacePods(pods: readonly PodObject[]): void {
    const kept = new Set(pods.map((pod) => pod.metadata.uid));
    const had = [...this.#cluster.pods.values()].map((state) => state.pod);
    this.batch(() => {
      for (const pod of had) if (!kept.has(pod.metadata.uid)) this.removePod(pod);
      for (const pod of pods) this.applyPod(pod);
    });
  }

  /** Makes `nodes` all the nodes there are. */
  replaceNodes(nodes: readonly NodeObject[]): void {
    const kept = new Set(nodes.map((node) => node.metadata.name));
    const had = [...this.#cluster.nodes.values()].map((node) => node.object);
    this.batch(() => {
      for (const node of had) if (!kept.has(node.metadata.name)) this.removeNode(node);
      for (const node of nodes) this.applyNode(node);
    });
  }

  /** Makes `namespaces` all the namespaces there are. */
  replaceNamespaces(namespaces: readonly NamespaceObject[]): void {
    const kept = new Set(namespaces.map((namespace) => namespace.metadata.name));
    const had = [...this.#cluster.namespaces.values()];
    this.batch(() => {
      for (const object of had) if (!kept.has(object.metadata.name)) this.removeNamespace(object);
      for (const object of namespaces) this.applyNamespace(object);
    });
  }

  /** Makes `objects` all the ClusterSPIFFEIDs there are. */
  replaceClusterSpiffeIds(objects: readonly ClusterSpiffeIdObject[]): void {
    const kept = new Set(objects.map((object) => object.metadata.uid));
    this.batch(() => {
      for (const uid of this.#rules.uids()) {
        if (!kept.has(uid)) this.#touchRule(this.#rules.remove(uid));
      }
      for (const object of objects) this.applyClusterSpiffeId(object);
    });
  }

  /** Runs several events as one: nothing is computed or reported before the outermost batch ends. */
  batch(run: () => void): void {
    this.#batches += 1;
    try {
      run();
    } finally {
      this.#batches -= 1;
      if (this.#batches === 0) this.#flush();
    }
  }

  /** The entries in effect for a pod, oldest ClusterSPIFFEID first, then by its name. */
  entriesOfPod(uid: string): readonly RegistrationEntry[] {
    return this.#cluster.pods.get(uid)?.entries ?? [];
  }

  /** Every pod on a node, also those without entries, in the order of their names. */
  podsOfNode(nodeName: string): PodEntries[] {
    return [...this.#cluster.podsOnNode(nodeName)]
      .map(({ pod, entries }) => ({ pod, entries }))
      .toSorted((a, b) => compareText(podName(a.pod), podName(b.pod)));
  }

  pod(uid: string): PodObject | undefined {
    const state = this.#cluster.pods.get(uid);
    return state && !state.gone ? state.pod : undefined;
  }

  /** What the status of a ClusterSPIFFEID should say; undefined when it is unknown or of another class. */
  statusOf(uid: string): RuleStatus | undefined {
    return this.#rules.get(uid)?.status();
  }

  /** UIDs of all ClusterSPIFFEIDs, other classes included. */
  ruleUids(): string[] {
    return [...this.#rules.uids()];
  }

  /** Why each ClusterSPIFFEID does or does not give the pod an entry, oldest first; empty for unknown pods. */
  explainPod(uid: string): Explanation[] {
    const state = this.#cluster.pods.get(uid);
    if (!state || state.gone) return [];
    const namespace = this.#cluster.namespaces.get(state.pod.metadata.namespace ?? "");
    const context = { namespace, settings: this.#settings };
    return this.#rules.sorted().map((rule) => explainRule(rule, state, context));
  }

  #touchRule(tally: Tally | undefined): void {
    if (tally) this.#dirtyRules.add(tally);
  }

  #touchPod(state: PodState | undefined): void {
    if (state) this.#dirtyPods.add(state);
  }

  #touchStale(states: Iterable<PodState>): void {
    for (const state of states) {
      state.stale = true;
      this.#dirtyPods.add(state);
    }
  }

  #touchNamespace(name: string, namespace: NamespaceObject | undefined): void {
    const changed = this.#rules.setNamespace(name, namespace);
    if (changed) this.#touchStale(this.#cluster.podsInNamespace(name));
  }

  #flush(): void {
    this.#collectPodsOfRules();
    const pods = new Map<string, string>();
    for (const state of this.#dirtyPods) {
      const nodeName = this.#reevaluate(state);
      if (nodeName !== undefined) pods.set(state.pod.metadata.uid, nodeName);
    }
    this.#dirtyPods.clear();
    this.#dirtyRules.clear();
    const rules = this.#rules.takeChanged();
    if (pods.size > 0 || rules.size > 0) this.#onChange({ pods, rules });
  }

  /** Marks the pods that changed rules selected, and those that they select now. */
  #collectPodsOfRules(): void {
    for (const tally of this.#dirtyRules) for (const pod of tally.pods) this.#dirtyPods.add(pod);
    if (this.#dirtyRules.size > MANY_RULES) {
      for (const state of this.#cluster.pods.values()) this.#dirtyPods.add(state);
      return;
    }
    for (const { rule, gone } of this.#dirtyRules) {
      if (rule.state === "valid" && !gone) this.#collectPodsOfRule(rule);
    }
  }

  #collectPodsOfRule(rule: ValidRule): void {
    for (const [name, namespace] of this.#cluster.namespaces) {
      if (!rule.namespaceSelector.matches(namespace.metadata.labels)) continue;
      for (const state of this.#cluster.podsInNamespace(name)) {
        if (rule.podSelector.matches(state.pod.metadata.labels)) this.#dirtyPods.add(state);
      }
    }
  }

  /** Decides a pod anew; returns its node's name when its entries differ from before. */
  #reevaluate(state: PodState): string | undefined {
    const evaluations = state.gone ? [] : this.#evaluate(state);
    this.#rules.recount(state, state.evaluations, evaluations);
    state.evaluations = evaluations;
    state.stale = false;
    if (state.gone) this.#cluster.forgetPod(state);
    const before = state.entries;
    const entries = effectiveEntries(evaluations);
    if (sameEntries(before, entries)) return undefined;
    state.entries = entries;
    return (entries[0] ?? before[0])?.nodeName;
  }

  #evaluate(state: PodState): Evaluation[] {
    const { pod, stale, evaluations } = state;
    const name = pod.metadata.namespace ?? "";
    const namespace = this.#cluster.namespaces.get(name);
    if (!namespace || this.#settings.ignoredBy(name) !== undefined) return [];
    const rules = this.#rulesFor(state, namespace);
    const node = this.#cluster.nodes.get(pod.spec.nodeName ?? "");
    const reusable = new Map<ValidRule, Rendered | undefined>();
    if (!stale) for (const { rule, rendered } of evaluations) reusable.set(rule, rendered);
    const reuse = (rule: ValidRule): Rendered | undefined => reusable.get(rule);
    return evaluatePod({ pod, node, namespace }, rules, { settings: this.#settings, reuse });
  }
  /** The rules that select a pod, in listing order; while nothing but rules changed, only those are asked. */
  #rulesFor(state: PodState, { metadata }: NamespaceObject): ValidRule[] {
    const { labels } = state.pod.metadata;
    if (state.stale) return this.#rules.matching(labels, metadata.labels);
    const former = state.evaluations.map(({ rule }) => rule);
    return this.#rules.update(former, this.#dirtyRules, (rule) => {
      return rule.podSelector.matches(labels) && rule.namespaceSelector.matches(metadata.labels);
    });
  }
}
