import type { ClusterState, PodState } from "./cluster-state.ts";
import { entryKey } from "./entry.ts";
import { evaluatePod } from "./evaluate.ts";
import type { Outcome, PodFacts } from "./evaluate.ts";
import type { Evaluator } from "./evaluator.ts";
import { previewedPod } from "./explain.ts";
import type { CustomResource, DraftResource, PodObject } from "./objects.ts";
import { ruleProblems, templateProblems } from "./resource-check.ts";
import { compileRule } from "./rule-book.ts";
import { MOST_COSTLY } from "./render-limits.ts";
import type { RuleBook } from "./rule-book.ts";
import { compareRules, compareText, isPodRule, sourceName } from "./rule.ts";
import type { PodRule, Rule } from "./rule.ts";
import { podsSelectedBy } from "./selection.ts";
import type { Settings } from "./settings.ts";
import type { StatusBook } from "./status-book.ts";
import type { OutcomeKind, Preview, PreviewedPod, SourceKind, SpecProblem } from "./types.ts";

/** How far a preview goes. */
export interface PreviewScope {
  /** Pods that are tried at the most; those that are selected are counted all the same. */
  readonly maxTried: number;
  /** Pods that are shown at the most. */
  readonly maxShown: number;
  /** Whole pods, by UID, where the cached ones lack fields that the templates name; then only these are tried. */
  readonly pods?: ReadonlyMap<string, PodObject>;
}

/** The state that previews are computed against; nothing of it is changed. */
export interface PreviewBase {
  readonly settings: Settings;
  readonly cluster: ClusterState;
  readonly rules: RuleBook;
  readonly evaluator: Evaluator;
  readonly statuses: StatusBook;
}

type Found = Pick<
  Preview,
  | "namespacesSelected"
  | "namespacesIgnored"
  | "podsSelected"
  | "podsTried"
  | "outcomes"
  | "duplicates"
  | "pods"
>;

/** Computes what a custom resource would give if it were applied now in this form. */
export function previewRule(
  kind: SourceKind,
  object: DraftResource,
  scope: PreviewScope,
  base: PreviewBase,
): Preview {
  const rule = compileRule(kind, adopt(kind, object, base.rules), base.settings);
  const problems = ruleProblems(rule);
  const usable = problems.length === 0 && isPodRule(rule) ? rule : undefined;
  return {
    kind,
    name: object.metadata.name,
    foreign: rule.state === "foreign",
    problems,
    doubts: doubtsOf(rule, base.statuses),
    ...(usable ? tryPods(usable, scope, base) : nothing()),
  };
}

/** An object of the same name has its age and UID; a new one is the youngest of all. */
function adopt(kind: SourceKind, object: DraftResource, rules: RuleBook): CustomResource {
  const { name, uid, creationTimestamp } = object.metadata;
  const known = rules.named(kind, name)?.rule;
  const created = known ? new Date(known.created).toISOString() : creationTimestamp;
  const metadata = {
    name,
    uid: known?.source.uid ?? (uid || `new ${kind} ${name}`),
    creationTimestamp: created ?? "9999-12-31T23:59:59Z",
  };
  return { metadata, spec: object.spec };
}

function tryPods(rule: PodRule, scope: PreviewScope, base: PreviewBase): Found {
  const { podsSelected, states } = selectPods(rule, scope, base);
  const outcomes = noOutcomes();
  const shown: PreviewedPod[] = [];
  let tried = 0;
  let costly = 0;
  for (const state of states) {
    if (costly >= MOST_COSTLY) break;
    tried += 1;
    const { previewed, isCostly } = tryPod(rule, state, base);
    if (isCostly) costly += 1;
    if (previewed === undefined) continue;
    outcomes[previewed.outcome] += 1;
    shown.push(previewed);
  }
  return {
    ...countNamespaces(rule, base),
    podsSelected,
    podsTried: tried,
    outcomes,
    duplicates: shown.filter(({ duplicateOf }) => duplicateOf !== undefined).length,
    pods: shown.toSorted(noticeFirst).slice(0, scope.maxShown),
  };
}

/** Counts the pods that a rule selects, and takes those that are tried: the whole ones where they were given. */
function selectPods(
  rule: PodRule,
  { pods, maxTried }: PreviewScope,
  { cluster, settings }: PreviewBase,
): { podsSelected: number; states: PodState[] } {
  let podsSelected = 0;
  const states: PodState[] = [];
  for (const state of podsSelectedBy(rule, cluster)) {
    const { uid, namespace = "" } = state.pod.metadata;
    if (rule.form === "template" && settings.ignoredBy(namespace) !== undefined) continue;
    podsSelected += 1;
    const pod = pods ? pods.get(uid) : state.pod;
    if (pod && states.length < maxTried) states.push({ ...state, pod });
  }
  return { podsSelected, states };
}

interface Tried {
  readonly previewed: PreviewedPod | undefined;
  readonly isCostly: boolean;
}

function tryPod(rule: PodRule, state: PodState, base: PreviewBase): Tried {
  const known = base.evaluator.factsOf(state);
  if (known === undefined) return { previewed: undefined, isCostly: false };
  const facts: PodFacts = { ...known, pod: state.pod };
  const { uid } = rule.source;
  const others = state.evaluations.filter((evaluation) => evaluation.rule.source.uid !== uid);
  const renderings = new Map(others.map((evaluation) => [evaluation.rule, evaluation.rendered]));
  const rules = [...renderings.keys(), rule].toSorted(compareRules);
  const evaluations = evaluatePod(facts, rules, {
    settings: base.settings,
    reuse: (other) => renderings.get(other),
  });
  const found = evaluations.find((evaluation) => evaluation.rule === rule);
  if (found === undefined) return { previewed: undefined, isCostly: false };
  const { outcome, rendered } = found;
  const twin = twinOf(outcome, state, uid);
  const previewed = previewedPod(state, outcome);
  return {
    previewed: twin === undefined ? previewed : { ...previewed, duplicateOf: twin },
    isCostly: rendered?.costly === true,
  };
}

/** The object that gives the pod an equal entry now: it would mask this one, or be masked by it. */
function twinOf(outcome: Outcome, state: PodState, uid: string): string | undefined {
  if (!("entry" in outcome)) return undefined;
  const key = entryKey(outcome.entry);
  const twin = state.entries.find((entry) => entry.source.uid !== uid && entryKey(entry) === key);
  return twin && sourceName(twin.source);
}

function countNamespaces(
  rule: PodRule,
  { cluster, settings }: PreviewBase,
): Pick<Preview, "namespacesSelected" | "namespacesIgnored"> {
  if (rule.form === "static") return { namespacesSelected: 0, namespacesIgnored: 0 };
  const selected = [...cluster.namespaces.values()].filter(({ metadata }) =>
    rule.namespaceSelector.matches(metadata.labels),
  );
  const ignored = selected.filter(
    ({ metadata }) => settings.ignoredBy(metadata.name) !== undefined,
  );
  return { namespacesSelected: selected.length, namespacesIgnored: ignored.length };
}

/** What is allowed, and probably not meant. */
function doubtsOf(rule: Rule, statuses: StatusBook): SpecProblem[] {
  if (rule.state !== "valid") return [];
  const { terms } = rule;
  const doubts: SpecProblem[] =
    rule.form === "template"
      ? templateProblems(rule, { certain: false }).map((problem) => ({
          ...problem,
          message: `${problem.message}; fails for every pod for which this part is executed`,
        }))
      : [];
  for (const name of statuses.withoutBundle(terms.federatesWith)) {
    const message = `spec.federatesWith: there is no bundle of ${JSON.stringify(name)}; SVIDs are issued without it until a ClusterFederatedTrustDomain brings one`;
    doubts.push({ reason: "BundleMissing", field: "spec.federatesWith", message });
  }
  for (const flag of ["admin", "downstream"] as const) {
    if (!terms[flag]) continue;
    const message = `spec.${flag}: is kept in the entry, and gives no rights in Signet`;
    doubts.push({ reason: "NoEffect", field: `spec.${flag}`, message });
  }
  return doubts;
}

const ORDER: readonly OutcomeKind[] = [
  ...(["failed", "masked", "unmet", "skipped"] as const),
  ...(["set", "unscheduled", "finished"] as const),
];

/** Failures and duplicates before the rest, each by name. */
function noticeFirst(a: PreviewedPod, b: PreviewedPod): number {
  return rank(a) - rank(b) || compareText(a.pod, b.pod);
}

function rank({ outcome, duplicateOf }: PreviewedPod): number {
  const place = ORDER.indexOf(outcome);
  return duplicateOf === undefined ? place : Math.min(place, 1);
}

function noOutcomes(): Record<OutcomeKind, number> {
  return { set: 0, masked: 0, unmet: 0, failed: 0, skipped: 0, unscheduled: 0, finished: 0 };
}

function nothing(): Found {
  return {
    namespacesSelected: 0,
    namespacesIgnored: 0,
    podsSelected: 0,
    podsTried: 0,
    outcomes: noOutcomes(),
    duplicates: 0,
    pods: [],
  };
}
