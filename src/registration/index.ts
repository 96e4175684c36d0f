import { ClusterState } from "./cluster-state.ts";
import type { BundleDocument } from "../spiffe/bundle-document.ts";
import type { RegistrationEntry } from "./entry.ts";
import { Evaluator } from "./evaluator.ts";
import { explainPodByRule, explainRuleByPods } from "./explain.ts";
import { asResource, podName } from "./objects.ts";
import type {
  CustomResource,
  DraftResource,
  EndpointSliceObject,
  NamespaceObject,
  NodeObject,
  PodObject,
} from "./objects.ts";
import { previewRule } from "./preview.ts";
import type { PreviewScope } from "./preview.ts";
import { NO_READS, readsOfRule, type PodReads } from "./reads.ts";
import { nameOf, replaceObjects, uidOf } from "./replace.ts";
import { RuleBook, compileRule } from "./rule-book.ts";
import { compareText } from "./rule.ts";
import { compileSettings, type Settings } from "./settings.ts";
import { checkResource } from "./resource-check.ts";
import { StatusBook } from "./status-book.ts";
import type {
  Change,
  CustomResourceKind,
  Explanation,
  PodEntries,
  Preview,
  RegistrationOptions,
  FederationStatus,
  RuleExplanation,
  RuleStatus,
  SourceKind,
  SpecProblem,
} from "./types.ts";

export type { RegistrationEntry } from "./entry.ts";
export type * from "./objects.ts";
export type { PreviewScope } from "./preview.ts";
export { NO_READS, includesReads, joinReads, sameReads } from "./reads.ts";
export type { PodReads } from "./reads.ts";
export type * from "./types.ts";

/**
 * The registration entries of the cluster, as a function of its custom resources, pods, nodes, namespaces and
 * EndpointSlices that is kept up to date event by event: each event costs what it can change, not what there is.
 *
 * Holds objects as given and does no I/O. After each event, or batch of events, that changed anything,
 * `onChange` hears once what did; all queries then show the new state. Objects may come in any order.
 * Of a rule that is costly to render, pods beyond a few keep what they had: then `onPutOff` is called, and whoever
 * holds the index calls `resume` until there is none left, with pauses in which others have their turn.
 * The node of a scheduled pod never changes under the same UID, as in Kubernetes.
 */
export class RegistrationIndex {
  readonly #settings: Settings;
  readonly #onChange: (change: Change) => void;
  readonly #cluster: ClusterState;
  readonly #rules: RuleBook;
  readonly #evaluator: Evaluator;
  readonly #statuses: StatusBook;
  readonly #onPutOff: () => void;
  #batches = 0;

  /** Throws INVALID_ARGUMENT, INVALID_SPIFFE_ID or TEMPLATE_PARSE when the options are invalid. */
  constructor(
    options: RegistrationOptions,
    onChange: (change: Change) => void = () => undefined,
    onPutOff: () => void = () => undefined,
  ) {
    this.#settings = compileSettings(options);
    this.#onChange = onChange;
    this.#onPutOff = onPutOff;
    this.#cluster = new ClusterState(this.#settings);
    this.#rules = new RuleBook(this.#settings, this.#cluster.namespaces);
    this.#evaluator = new Evaluator(this.#settings, this.#cluster, this.#rules);
    this.#statuses = new StatusBook(this.#settings, this.#rules, this.#cluster.nodes);
  }

  applyResource(kind: CustomResourceKind, object: CustomResource): void {
    this.batch(() => {
      if (kind === "ClusterFederatedTrustDomain") this.#statuses.applyFederation(object);
      else this.#evaluator.touchRule(this.#rules.apply(kind, object));
    });
  }

  removeResource(kind: CustomResourceKind, uid: string): void {
    this.batch(() => {
      if (kind === "ClusterFederatedTrustDomain") this.#statuses.removeFederation(uid);
      else this.#evaluator.touchRule(this.#rules.remove(uid));
    });
  }

  applyPod(pod: PodObject): void {
    this.batch(() => this.#evaluator.touchPod(this.#cluster.applyPod(pod)));
  }

  removePod(pod: PodObject): void {
    this.batch(() => this.#evaluator.touchPod(this.#cluster.removePod(pod.metadata.uid)));
  }

  applyNamespace(namespace: NamespaceObject): void {
    this.batch(() => this.#setNamespace(namespace.metadata.name, namespace));
  }

  removeNamespace(namespace: NamespaceObject): void {
    const { name, uid } = namespace.metadata;
    if (this.#cluster.namespaces.get(name)?.metadata.uid !== uid) return;
    this.batch(() => this.#setNamespace(name, undefined));
  }

  applyNode(node: NodeObject): void {
    this.batch(() => {
      const { name } = node.metadata;
      if (!this.#cluster.nodes.apply(node)) return;
      this.#evaluator.touchStale(this.#cluster.podsOnNode(name));
    });
  }

  removeNode(node: NodeObject): void {
    this.batch(() => {
      if (!this.#cluster.nodes.remove(node)) return;
      this.#evaluator.touchStale(this.#cluster.podsOnNode(node.metadata.name));
    });
  }

  applyEndpointSlice(slice: EndpointSliceObject): void {
    this.batch(() => this.#evaluator.touchServices(this.#cluster.services.apply(slice)));
  }

  removeEndpointSlice(slice: EndpointSliceObject): void {
    this.batch(() => this.#evaluator.touchServices(this.#cluster.services.remove(slice)));
  }

  /** Makes `pods` all the pods there are. */
  replacePods(pods: readonly PodObject[]): void {
    const known = this.#cluster.pods.values().map(({ pod }) => pod);
    const remove = (pod: PodObject): void => this.removePod(pod);
    const apply = (pod: PodObject): void => this.applyPod(pod);
    this.batch(() => replaceObjects(known, pods, { keyOf: uidOf, remove, apply }));
  }

  /** Makes `nodes` all the nodes there are. */
  replaceNodes(nodes: readonly NodeObject[]): void {
    const known = this.#cluster.nodes.objects();
    const remove = (node: NodeObject): void => this.removeNode(node);
    const apply = (node: NodeObject): void => this.applyNode(node);
    this.batch(() => replaceObjects(known, nodes, { keyOf: nameOf, remove, apply }));
  }

  /** Makes `namespaces` all the namespaces there are. */
  replaceNamespaces(namespaces: readonly NamespaceObject[]): void {
    const known = this.#cluster.namespaces.values();
    const remove = (namespace: NamespaceObject): void => this.removeNamespace(namespace);
    const apply = (namespace: NamespaceObject): void => this.applyNamespace(namespace);
    this.batch(() => replaceObjects(known, namespaces, { keyOf: nameOf, remove, apply }));
  }

  /** Makes `slices` all the EndpointSlices there are. */
  replaceEndpointSlices(slices: readonly EndpointSliceObject[]): void {
    this.batch(() => {
      for (const slice of this.#cluster.services.othersThan(slices)) {
        this.removeEndpointSlice(slice);
      }
      for (const slice of slices) this.applyEndpointSlice(slice);
    });
  }

  /** Makes `objects` all the custom resources of a kind. */
  replaceResources(kind: CustomResourceKind, objects: readonly CustomResource[]): void {
    const kept = new Set(objects.map((object) => object.metadata.uid));
    this.batch(() => {
      for (const uid of this.resourceUids(kind)) {
        if (!kept.has(uid)) this.removeResource(kind, uid);
      }
      for (const object of objects) this.applyResource(kind, object);
    });
  }

  /** Runs several events as one: nothing is computed or reported before the outermost batch ends. */
  batch(run: () => void): void {
    this.#batches += 1;
    try {
      run();
    } finally {
      this.#batches -= 1;
      if (this.#batches === 0) this.#settle();
    }
  }

  /** Decides some of the pods that were put off; tells whether there are more. */
  resume(): boolean {
    this.batch(() => this.#evaluator.resume());
    return this.#evaluator.hasPutOff;
  }

  /** The entries in effect for a pod, those of the oldest custom resource first, then by its name. */
  entriesOfPod(uid: string): readonly RegistrationEntry[] {
    return this.#cluster.pods.get(uid)?.entries ?? [];
  }

  /** What the ClusterFederatedTrustDomains bring, by trust domain: of several for one the oldest counts. */
  foreignBundles(): ReadonlyMap<string, BundleDocument> {
    return this.#statuses.foreignBundles();
  }

  /** All entries in effect. */
  *entries(): Generator<RegistrationEntry> {
    for (const { entries } of this.#cluster.pods.values()) yield* entries;
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

  /** UIDs of all pods. */
  podUids(): string[] {
    return [...this.#cluster.pods.keys()];
  }

  podNamed(namespace: string, name: string): PodObject | undefined {
    return this.#cluster.podNamed(namespace, name)?.pod;
  }

  /** What the status of a custom resource should say; undefined when it is unknown or of another class. */
  statusOf(uid: string): RuleStatus | FederationStatus | undefined {
    return this.#statuses.of(uid);
  }

  /** UIDs of all custom resources of a kind, other classes included. */
  resourceUids(kind: CustomResourceKind): string[] {
    if (kind === "ClusterFederatedTrustDomain") return this.#statuses.federationUids();
    return this.#rules.uids(kind);
  }

  /** Why each custom resource does or does not give the pod an entry, oldest first; empty for unknown pods. */
  explainPod(uid: string): Explanation[] {
    const state = this.#cluster.pods.get(uid);
    if (!state || state.gone) return [];
    const context = { facts: this.#evaluator.factsOf(state), settings: this.#settings };
    return this.#rules.sorted().map((rule) => explainPodByRule(rule, state, context));
  }

  /** What a custom resource gives now, with at most `maxPods` of its pods; undefined when there is none. */
  explainRule(kind: SourceKind, name: string, maxPods: number): RuleExplanation | undefined {
    const tally = this.#rules.named(kind, name);
    if (tally === undefined) return undefined;
    const status = this.#statuses.of(tally.rule.source.uid) as RuleStatus | undefined;
    return explainRuleByPods(tally, status, { maxPods, settings: this.#settings });
  }

  /** Whether custom resources of this class are ours; "" is that of an object that names none. */
  ownsClass(className: string): boolean {
    return this.#settings.ownsClass(className);
  }

  /** Why a spec could never take effect; empty when it could. */
  check(kind: CustomResourceKind, object: DraftResource): SpecProblem[] {
    return checkResource(kind, object, this.#settings);
  }

  /** What a custom resource reads of pods. */
  readsOf(kind: CustomResourceKind, object: DraftResource): PodReads {
    if (kind === "ClusterFederatedTrustDomain") return NO_READS;
    return readsOfRule(compileRule(kind, asResource(object), this.#settings));
  }

  /** What a custom resource would give in this form; the object may exist or not. */
  preview(kind: SourceKind, object: DraftResource, scope: PreviewScope): Preview {
    return previewRule(kind, object, scope, {
      settings: this.#settings,
      cluster: this.#cluster,
      rules: this.#rules,
      evaluator: this.#evaluator,
      statuses: this.#statuses,
    });
  }

  #setNamespace(name: string, namespace: NamespaceObject | undefined): void {
    const changed = this.#rules.setNamespace(name, namespace);
    if (changed) this.#evaluator.touchStale(this.#cluster.podsInNamespace(name));
  }

  #settle(): void {
    const pods = this.#evaluator.settle();
    const rules = this.#statuses.takeChanged();
    const bundles = this.#statuses.takeChangedBundles();
    const changed = pods.size + rules.size + bundles.size > 0;
    if (changed) this.#onChange({ pods, rules, bundles });
    if (this.#evaluator.hasPutOff) this.#onPutOff();
  }
}
