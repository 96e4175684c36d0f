import { isDeepStrictEqual } from "node:util";
import type { Labels } from "../api/label-selector.ts";
import type { PodState } from "./cluster-state.ts";
import type { Evaluation, Outcome } from "./evaluate.ts";
import type { ClusterSpiffeIdObject, NamespaceObject } from "./objects.ts";
import { RuleTable } from "./rule-table.ts";
import { compareRules, compileRule } from "./rule.ts";
import type { Rule, ValidRule } from "./rule.ts";
import type { Settings } from "./settings.ts";
import { Tally, sameStatus } from "./tally.ts";

/** All ClusterSPIFFEIDs, compiled, with what is counted about each. */
export class RuleBook {
  readonly #settings: Settings;
  readonly #namespaces: Map<string, NamespaceObject>;
  readonly #tallies = new Map<string, Tally>();
  readonly #table = new RuleTable();
  /** Those whose status may differ from the one reported last. */
  readonly #touched = new Set<Tally>();

  constructor(settings: Settings, namespaces: Map<string, NamespaceObject>) {
    this.#settings = settings;
    this.#namespaces = namespaces;
  }

  get(uid: string): Tally | undefined {
    return this.#tallies.get(uid);
  }

  uids(): string[] {
    return [...this.#tallies.keys()];
  }

  sorted(): Rule[] {
    return [...this.#tallies.values()].map((tally) => tally.rule).toSorted(compareRules);
  }

  /** Valid rules that select a pod with these labels in a namespace with those, in listing order. */
  matching(podLabels: Labels | undefined, namespaceLabels: Labels | undefined): ValidRule[] {
    return this.#table.matching(podLabels, namespaceLabels);
  }

  /** `former` without the rules that are no more, and with those of `changed` that `select` accepts. */
  update(
    former: readonly ValidRule[],
    changed: ReadonlySet<Tally>,
    select: (rule: ValidRule) => boolean,
  ): ValidRule[] {
    const rules = former.filter((rule) => {
      const tally = this.#tallies.get(rule.source.uid);
      return tally !== undefined && !changed.has(tally);
    });
    const kept = rules.length;
    for (const { rule, gone } of changed) {
      if (!gone && rule.state === "valid" && select(rule)) rules.push(rule);
    }
    return rules.length > kept ? rules.toSorted(compareRules) : rules;
  }

  /** Takes an object in; returns its tally unless it says what it said before. */
  apply(object: ClusterSpiffeIdObject): Tally | undefined {
    const { uid, generation = 0 } = object.metadata;
    const fingerprint = fingerprintOf(object);
    const known = this.#tallies.get(uid);
    if (known && !known.gone && known.fingerprint === fingerprint) return undefined;
    const rule = compileRule(object, this.#settings);
    const tally = known ?? new Tally(rule);
    this.#unfile(tally.rule);
    Object.assign(tally, { rule, generation, fingerprint, gone: false });
    this.#tallies.set(uid, tally);
    if (rule.state === "valid") this.#table.add(rule);
    this.#countAllNamespaces(tally);
    return tally;
  }

  remove(uid: string): Tally | undefined {
    const tally = this.#tallies.get(uid);
    if (!tally || tally.gone) return undefined;
    this.#unfile(tally.rule);
    tally.gone = true;
    this.#touched.add(tally);
    return tally;
  }

  /** Takes a namespace in, or out when `after` is undefined; tells whether its labels or existence changed. */
  setNamespace(name: string, after: NamespaceObject | undefined): boolean {
    const before = this.#namespaces.get(name);
    if (after) this.#namespaces.set(name, after);
    else this.#namespaces.delete(name);
    if (!before === !after && isDeepStrictEqual(labelsOf(before), labelsOf(after))) return false;
    const ignored = this.#settings.ignoredBy(name) === undefined ? 0 : 1;
    for (const rule of this.#table.all()) {
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

  /** UIDs of the objects whose status differs from what it was at the last call; forgets removed ones. */
  takeChanged(): Set<string> {
    const changed = new Set<string>();
    for (const tally of this.#touched) {
      const { uid } = tally.rule.source;
      const status = tally.status();
      if (!sameStatus(tally.reported, status)) changed.add(uid);
      tally.reported = status;
      if (tally.gone) this.#tallies.delete(uid);
    }
    this.#touched.clear();
    return changed;
  }

  #count(uid: string, count: (tally: Tally) => void): void {
    const tally = this.#tallies.get(uid);
    if (!tally) return;
    count(tally);
    this.#touched.add(tally);
  }

  #countNamespace(rule: ValidRule, selected: number, ignored: number): void {
    this.#count(rule.source.uid, (tally) => tally.countNamespaces(selected, ignored));
  }

  #countAllNamespaces(tally: Tally): void {
    tally.resetNamespaces();
    this.#touched.add(tally);
    const { rule } = tally;
    if (rule.state !== "valid") return;
    for (const [name, namespace] of this.#namespaces) {
      if (selects(rule, namespace) === 0) continue;
      tally.countNamespaces(1, this.#settings.ignoredBy(name) === undefined ? 0 : 1);
    }
  }

  #unfile(rule: Rule): void {
    if (rule.state === "valid") this.#table.remove(rule);
  }
}

/** What a rule is compiled from: everything that can change about an object except its status. */
function fingerprintOf({ metadata, spec }: ClusterSpiffeIdObject): string {
  const { name, generation, creationTimestamp, deletionTimestamp } = metadata;
  return JSON.stringify([name, generation, creationTimestamp, deletionTimestamp, spec]);
}

function labelsOf(namespace: NamespaceObject | undefined): Labels {
  return namespace?.metadata.labels ?? {};
}

function selects(rule: ValidRule, namespace: NamespaceObject | undefined): 0 | 1 {
  return namespace && rule.namespaceSelector.matches(labelsOf(namespace)) ? 1 : 0;
}
