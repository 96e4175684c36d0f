import { isDeepStrictEqual } from "node:util";
import type { Labels } from "../api/label-selector.ts";
import type { PodState } from "./cluster-state.ts";
import { contentKey } from "./entry.ts";
import type { Evaluation, Outcome } from "./evaluate.ts";
import type { KnownNode } from "./node-book.ts";
import type { CustomResource, NamespaceObject } from "./objects.ts";
import type { SelectorFacts } from "./pod-selectors.ts";
import { sameStatus, statusOf } from "./rule-status.ts";
import type { StatusContext } from "./rule-status.ts";
import { RuleTable } from "./rule-table.ts";
import { comparePreference, compareRules, isPodRule } from "./rule.ts";
import type { AliasRule, PodRule, Rule, StaticRule, TemplateRule } from "./rule.ts";
import type { Settings } from "./settings.ts";
import { compileClusterStaticEntry } from "./static-rule.ts";
import { StaticTable } from "./static-table.ts";
import { Tally } from "./tally.ts";
import { compileClusterSpiffeId } from "./template-rule.ts";
import type { RuleStatus, SourceKind } from "./types.ts";

const COMPILERS: Readonly<
  Record<SourceKind, (object: CustomResource, settings: Settings) => Rule>
> = {
  ClusterSPIFFEID: compileClusterSpiffeId,
  ClusterStaticEntry: compileClusterStaticEntry,
};

/** Compiles a custom resource. Never throws: what is wrong with it is in the result. */
export function compileRule(kind: SourceKind, object: CustomResource, settings: Settings): Rule {
  return COMPILERS[kind](object, settings);
}

/** All ClusterSPIFFEIDs and ClusterStaticEntries, compiled, with what is counted about each. */
export class RuleBook {
  readonly #settings: Settings;
  readonly #namespaces: Map<string, NamespaceObject>;
  readonly #tallies = new Map<string, Tally>();
  readonly #templates = new RuleTable();
  readonly #statics = new StaticTable();
  /** Static entries that declare the same registration, by its key. */
  readonly #twins = new Map<string, Set<Tally>>();
  /** Those whose status may differ from the one reported last. */
  readonly #touched = new Set<Tally>();
  readonly #reported = new Map<Tally, RuleStatus>();

  constructor(settings: Settings, namespaces: Map<string, NamespaceObject>) {
    this.#settings = settings;
    this.#namespaces = namespaces;
  }

  get(uid: string): Tally | undefined {
    return this.#tallies.get(uid);
  }

  uids(kind: SourceKind): string[] {
    return this.#all()
      .filter(({ rule }) => rule.source.kind === kind)
      .map(({ rule }) => rule.source.uid);
  }

  named(kind: SourceKind, name: string): Tally | undefined {
    return this.#all().find(
      ({ rule: { source }, gone }) => !gone && source.kind === kind && source.name === name,
    );
  }

  sorted(): Rule[] {
    return this.#all()
      .filter(({ gone }) => !gone)
      .map(({ rule }) => rule)
      .toSorted(compareRules);
  }

  /** Rules that give the pod an entry or could, in listing order; ClusterSPIFFEIDs only where `templates` says so. */
  matching(
    facts: SelectorFacts,
    node: KnownNode | undefined,
    { templates }: { readonly templates: boolean },
  ): PodRule[] {
    const byTemplate = templates
      ? this.#templates.matching(facts.pod.metadata.labels, facts.namespace.metadata.labels)
      : [];
    const fixed = this.#statics.matching(facts, node);
    return fixed.length === 0 ? byTemplate : [...byTemplate, ...fixed].toSorted(compareRules);
  }

  /** `former` without the rules that are no more, and with those of `changed` that `select` accepts. */
  update(
    former: readonly PodRule[],
    changed: ReadonlySet<Tally>,
    select: (rule: PodRule) => boolean,
  ): PodRule[] {
    const rules = former.filter((rule) => {
      const tally = this.#tallies.get(rule.source.uid);
      return tally !== undefined && !changed.has(tally);
    });
    const kept = rules.length;
    for (const { rule, gone } of changed) {
      if (!gone && isPodRule(rule) && select(rule)) rules.push(rule);
    }
    return rules.length > kept ? rules.toSorted(compareRules) : rules;
  }

  /** Takes an object in; returns its tally unless it says what it said before. */
  apply(kind: SourceKind, object: CustomResource): Tally | undefined {
    const { uid, generation = 0 } = object.metadata;
    const fingerprint = fingerprintOf(object);
    const known = this.#tallies.get(uid);
    if (known && !known.gone && known.fingerprint === fingerprint) return undefined;
    const rule = compileRule(kind, object, this.#settings);
    const tally = known ?? new Tally(rule);
    this.#unfile(tally);
    Object.assign(tally, { rule, generation, fingerprint, gone: false });
    this.#tallies.set(uid, tally);
    this.#file(tally);
    this.#countAllNamespaces(tally);
    return tally;
  }

  remove(uid: string): Tally | undefined {
    const tally = this.#tallies.get(uid);
    if (!tally || tally.gone) return undefined;
    this.#unfile(tally);
    tally.gone = true;
    this.#touched.add(tally);
    return tally;
  }

  /** Takes a namespace in, or out when `after` is undefined; tells whether anything about it changed. */
  setNamespace(name: string, after: NamespaceObject | undefined): boolean {
    const before = this.#namespaces.get(name);
    if (isDeepStrictEqual(before?.metadata, after?.metadata)) return false;
    if (after) this.#namespaces.set(name, after);
    else this.#namespaces.delete(name);
    if (!before === !after && isDeepStrictEqual(labelsOf(before), labelsOf(after))) return true;
    const ignored = this.#settings.ignoredBy(name) === undefined ? 0 : 1;
    for (const rule of this.#templates.all()) {
      const by = selects(rule, after) - selects(rule, before);
      if (by !== 0) this.#countNamespace(rule, by, ignored * by);
    }
    return true;
  }

  /** Counts a pod's new evaluations instead of its former ones. */
  recount(state: PodState, before: readonly Evaluation[], after: readonly Evaluation[]): void {
    const former = new Map<string, Outcome>();
    for (const { rule, outcome } of before) former.set(rule.source.uid, outcome);
    for (const { rule, outcome } of after) {
      const { uid } = rule.source;
      this.#count(uid, (tally) => tally.count(state, former.get(uid), outcome));
      former.delete(uid);
    }
    for (const [uid, outcome] of former) {
      this.#count(uid, (tally) => tally.count(state, outcome, undefined));
    }
  }

  /** The preferred rule that declares the same registration as a static one, unless it is that one. */
  maskedBy(rule: StaticRule | AliasRule): Rule | undefined {
    const [first] = [...(this.#twins.get(staticKey(rule)) ?? [])]
      .map((tally) => tally.rule)
      .toSorted(comparePreference);
    return first === rule ? undefined : first;
  }

  /** Looks again at the status of every rule that `concerns`. */
  touchWhere(concerns: (rule: Rule) => boolean): void {
    for (const tally of this.#all()) if (concerns(tally.rule)) this.#touched.add(tally);
  }

  /** UIDs of the objects whose status differs from what it was at the last call; forgets removed ones. */
  takeChanged(context: StatusContext): Set<string> {
    const changed = new Set<string>();
    for (const tally of this.#touched) {
      const { uid } = tally.rule.source;
      const status = statusOf(tally, context);
      if (!sameStatus(this.#reported.get(tally), status)) changed.add(uid);
      if (status) this.#reported.set(tally, status);
      else this.#reported.delete(tally);
      if (tally.gone) this.#tallies.delete(uid);
    }
    this.#touched.clear();
    return changed;
  }

  #all(): Tally[] {
    return [...this.#tallies.values()];
  }

  #count(uid: string, count: (tally: Tally) => void): void {
    const tally = this.#tallies.get(uid);
    if (!tally) return;
    count(tally);
    this.#touched.add(tally);
  }

  #countNamespace(rule: TemplateRule, selected: number, ignored: number): void {
    this.#count(rule.source.uid, (tally) => tally.countNamespaces(selected, ignored));
  }

  #countAllNamespaces(tally: Tally): void {
    tally.resetNamespaces();
    this.#touched.add(tally);
    const { rule } = tally;
    if (rule.state !== "valid" || rule.form !== "template") return;
    for (const [name, namespace] of this.#namespaces) {
      if (selects(rule, namespace) === 0) continue;
      tally.countNamespaces(1, this.#settings.ignoredBy(name) === undefined ? 0 : 1);
    }
  }

  #file(tally: Tally): void {
    const { rule } = tally;
    if (rule.state !== "valid") return;
    if (rule.form === "template") return this.#templates.add(rule);
    if (rule.form === "static") this.#statics.add(rule);
    const key = staticKey(rule);
    const twins = this.#twins.get(key) ?? new Set();
    this.#twins.set(key, twins.add(tally));
    for (const twin of twins) this.#touched.add(twin);
  }

  #unfile(tally: Tally): void {
    const { rule } = tally;
    if (rule.state !== "valid") return;
    if (rule.form === "template") return this.#templates.remove(rule);
    if (rule.form === "static") this.#statics.remove(rule);
    const key = staticKey(rule);
    const twins = this.#twins.get(key);
    twins?.delete(tally);
    for (const twin of twins ?? []) this.#touched.add(twin);
    if (twins?.size === 0) this.#twins.delete(key);
  }
}

/** What a rule is compiled from: everything that can change about an object except its status. */
function fingerprintOf({ metadata, spec }: CustomResource): string {
  const { name, generation, creationTimestamp, deletionTimestamp } = metadata;
  return JSON.stringify([name, generation, creationTimestamp, deletionTimestamp, spec]);
}

function staticKey({ spiffeId, parentId, selectors }: StaticRule | AliasRule): string {
  return contentKey({ spiffeId, parentId, selectors: selectors.map(({ text }) => text) });
}

function labelsOf(namespace: NamespaceObject | undefined): Labels {
  return namespace?.metadata.labels ?? {};
}

function selects(rule: TemplateRule, namespace: NamespaceObject | undefined): 0 | 1 {
  return namespace && rule.namespaceSelector.matches(labelsOf(namespace)) ? 1 : 0;
}
