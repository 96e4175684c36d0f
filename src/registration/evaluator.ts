import type { ClusterState, PodState } from "./cluster-state.ts";
import { sameEntries } from "./entry.ts";
import { effectiveEntries, evaluatePod } from "./evaluate.ts";
import type { Evaluation, PodFacts } from "./evaluate.ts";
import type { Rendered } from "./render.ts";
import { MOST_COSTLY } from "./render-limits.ts";
import type { RuleBook } from "./rule-book.ts";
import { isPodRule } from "./rule.ts";
import type { PodRule } from "./rule.ts";
import { podsSelectedBy, selectsPod } from "./selection.ts";
import type { Settings } from "./settings.ts";
import type { Tally } from "./tally.ts";

/** From this many changed rules on, looking at every pod once is cheaper than once per rule, and so is asking the table. */
const MANY_RULES = 16;

/** Pods that were put off and are looked at in one go. */
const RESUMED = 256;

/** Remembers what events touched, and decides just those pods anew. */
export class Evaluator {
  readonly #settings: Settings;
  readonly #cluster: ClusterState;
  readonly #rules: RuleBook;
  readonly #dirtyPods = new Set<PodState>();
  readonly #dirtyRules = new Set<Tally>();
  /** Pods that keep what they have until a later turn; undone when they are decided for whatever reason. */
  readonly #putOff = new Set<PodState>();
  readonly #costly = new Map<PodRule, number>();

  constructor(settings: Settings, cluster: ClusterState, rules: RuleBook) {
    this.#settings = settings;
    this.#cluster = cluster;
    this.#rules = rules;
  }

  touchRule(tally: Tally | undefined): void {
    if (!tally) return;
    this.#dirtyRules.add(tally);
    const { rule, gone } = tally;
    const alias = !gone && rule.state === "valid" && rule.form === "alias" ? rule : undefined;
    const nodes = this.#cluster.nodes.setAlias(rule.source.uid, alias);
    for (const name of nodes) this.touchStale(this.#cluster.podsOnNode(name));
  }

  touchPod(state: PodState | undefined): void {
    if (state) this.#dirtyPods.add(state);
  }

  /** Of these pods nothing that was rendered holds any more. */
  touchStale(states: Iterable<PodState>): void {
    for (const state of states) {
      state.stale = "all";
      this.#dirtyPods.add(state);
    }
  }

  /** The Services of these pods changed; keys as `ServiceBook` tells them. */
  touchServices(podKeys: readonly string[]): void {
    for (const key of podKeys) {
      const state = this.#cluster.podListed(key);
      if (!state?.evaluations.some(({ rule }) => takesServices(rule))) continue;
      if (state.stale === "fresh") state.stale = "services";
      this.#dirtyPods.add(state);
    }
  }

  /**
   * Decides what was touched; returns UID → node name of the pods whose list of effective entries differs, and of
   * those with entries whose address does.
   */
  settle(): Map<string, string> {
    this.#costly.clear();
    this.#collectPodsOfRules();
    const changed = new Map<string, string>();
    for (const state of this.#dirtyPods) {
      const evaluations = state.gone ? [] : this.#evaluate(state);
      if (evaluations === undefined) {
        // What it has stays, as it would had the event come later.
        state.stale = "all";
        this.#putOff.add(state);
        continue;
      }
      this.#putOff.delete(state);
      const nodeName = this.#take(state, evaluations);
      if (nodeName !== undefined) changed.set(state.pod.metadata.uid, nodeName);
    }
    this.#dirtyPods.clear();
    this.#dirtyRules.clear();
    for (const { pod, entries } of this.#cluster.takeMoved()) {
      const [first] = entries;
      if (first) changed.set(pod.metadata.uid, first.nodeName);
    }
    return changed;
  }

  /** Whether pods were put off that are to be decided by `resume`. */
  get hasPutOff(): boolean {
    return this.#putOff.size > 0;
  }

  /** Touches some of the pods that were put off, those that wait longest first. */
  resume(): void {
    let left = RESUMED;
    for (const state of this.#putOff) {
      if (left-- === 0) break;
      this.#putOff.delete(state);
      this.#dirtyPods.add(state);
    }
  }

  /** What a pod is decided on; undefined while its namespace is unknown. */
  factsOf({ pod }: PodState): PodFacts | undefined {
    const namespace = this.#cluster.namespaces.get(pod.metadata.namespace ?? "");
    if (namespace === undefined) return undefined;
    const node = this.#cluster.nodes.get(pod.spec.nodeName ?? "");
    const services = (): string[] => this.#cluster.services.of(pod.metadata);
    return { pod, node, namespace, services };
  }

  /** The rules that select a pod, in listing order. */
  rulesOf(facts: PodFacts): PodRule[] {
    const templates = !this.#isIgnored(facts);
    return this.#rules.matching(facts, facts.node, { templates });
  }

  /** Marks the pods that changed rules selected, and those that they select now. */
  #collectPodsOfRules(): void {
    for (const tally of this.#dirtyRules) for (const pod of tally.pods) this.#dirtyPods.add(pod);
    if (this.#dirtyRules.size > MANY_RULES) {
      for (const state of this.#cluster.pods.values()) this.#dirtyPods.add(state);
      return;
    }
    for (const { rule, gone } of this.#dirtyRules) {
      if (gone || !isPodRule(rule)) continue;
      for (const state of podsSelectedBy(rule, this.#cluster)) this.#dirtyPods.add(state);
    }
  }

  /** Gives a pod what was decided; returns its node's name when its entries differ from before. */
  #take(state: PodState, evaluations: readonly Evaluation[]): string | undefined {
    this.#rules.recount(state, state.evaluations, evaluations);
    state.evaluations = evaluations;
    state.stale = "fresh";
    if (state.gone) this.#cluster.forgetPod(state);
    const before = state.entries;
    const entries = effectiveEntries(evaluations);
    if (sameEntries(before, entries)) return undefined;
    state.entries = entries;
    return (entries[0] ?? before[0])?.nodeName;
  }

  /** Undefined when the pod has to be put off. */
  #evaluate(state: PodState): Evaluation[] | undefined {
    const facts = this.factsOf(state);
    if (facts === undefined) return [];
    const rules = state.stale === "all" ? this.rulesOf(facts) : this.#rulesAgain(state, facts);
    if (rules.length === 0) return [];
    const reusable = reusableOf(state);
    if (rules.some((rule) => this.#isSpent(rule) && !reusable.get(rule))) return undefined;
    const evaluations = evaluatePod(facts, rules, {
      settings: this.#settings,
      reuse: (rule) => reusable.get(rule),
    });
    for (const { rule, rendered } of evaluations) {
      if (rendered?.costly !== true || reusable.get(rule) === rendered) continue;
      this.#costly.set(rule, (this.#costly.get(rule) ?? 0) + 1);
    }
    return evaluations;
  }

  #isSpent(rule: PodRule): boolean {
    return (this.#costly.get(rule) ?? 0) >= MOST_COSTLY;
  }

  /** While nothing but rules changed, only those are asked again. */
  #rulesAgain(state: PodState, facts: PodFacts): PodRule[] {
    if (this.#dirtyRules.size > MANY_RULES) return this.rulesOf(facts);
    const former = state.evaluations.map(({ rule }) => rule);
    return this.#rules.update(former, this.#dirtyRules, (rule) => {
      if (rule.form === "template" && this.#isIgnored(facts)) return false;
      return selectsPod(rule, facts);
    });
  }

  #isIgnored({ namespace }: PodFacts): boolean {
    return this.#settings.ignoredBy(namespace.metadata.name) !== undefined;
  }
}

/** The renderings of a pod that still hold, by rule. */
function reusableOf({ stale, evaluations }: PodState): ReadonlyMap<PodRule, Rendered | undefined> {
  const reusable = new Map<PodRule, Rendered | undefined>();
  if (stale === "all") return reusable;
  for (const { rule, rendered } of evaluations) {
    if (stale === "services" && takesServices(rule)) continue;
    reusable.set(rule, rendered);
  }
  return reusable;
}

function takesServices(rule: PodRule): boolean {
  return rule.form === "template" && rule.autoPopulateDnsNames;
}
