import type { PodState } from "./cluster-state.ts";
import type { Outcome, PodFacts } from "./evaluate.ts";
import { isParent } from "./node-book.ts";
import { podName } from "./objects.ts";
import { compareText } from "./rule.ts";
import type { PodRule, Rule, StaticRule, TemplateRule } from "./rule.ts";
import type { Settings } from "./settings.ts";
import { summarize } from "./spec-problems.ts";
import type { Tally } from "./tally.ts";
import type { Explanation, PreviewedPod, RuleExplanation, RuleStatus } from "./types.ts";

export interface ExplainContext {
  /** Undefined while the pod's namespace is unknown. */
  readonly facts: PodFacts | undefined;
  readonly settings: Settings;
}

type Verdict = Pick<Explanation, "selects" | "clause">;

/** Says of one rule why it does or does not give the pod an entry. */
export function explainPodByRule(
  rule: Rule,
  state: PodState,
  context: ExplainContext,
): Explanation {
  const { kind, name, uid } = rule.source;
  const outcome = state.evaluations.find((evaluation) => evaluation.rule === rule)?.outcome;
  const verdict = outcome
    ? ({ selects: "pod", clause: outcomeClause(outcome) } as const)
    : unselected(rule, state, context);
  const matched = outcome?.kind === "set";
  return { kind, rule: name, ruleUid: uid, matched, ...verdict, ...outcomeFacts(outcome) };
}

/** What a rule gives now, pod by pod in the order of their names. */
export function explainRuleByPods(
  { rule, pods }: Tally,
  status: RuleStatus | undefined,
  { maxPods, settings }: { readonly maxPods: number; readonly settings: Settings },
): RuleExplanation {
  const { kind, name, uid } = rule.source;
  const first = [...pods]
    .toSorted((a, b) => compareText(podName(a.pod), podName(b.pod)))
    .slice(0, maxPods);
  const shown = first.flatMap((state) => {
    const outcome = state.evaluations.find((evaluation) => evaluation.rule === rule)?.outcome;
    return outcome ? [previewedPod(state, outcome)] : [];
  });
  const clause = status?.message ?? ruleClause(rule, settings) ?? "";
  return { kind, name, uid, status, clause, pods: shown };
}

/** A pod with what came of a rule for it. */
export function previewedPod({ pod }: Pick<PodState, "pod">, outcome: Outcome): PreviewedPod {
  return {
    pod: podName(pod),
    outcome: outcome.kind,
    clause: outcomeClause(outcome),
    ...("entry" in outcome ? { entry: outcome.entry } : {}),
    ...(outcome.kind === "masked" ? { duplicateOf: outcome.by } : {}),
  };
}

function outcomeFacts(outcome: Outcome | undefined): Partial<Explanation> {
  if (!outcome) return {};
  return {
    outcome: outcome.kind,
    ...("entry" in outcome ? { spiffeId: outcome.entry.spiffeId } : {}),
    ...(outcome.kind === "masked" ? { maskedBy: outcome.by } : {}),
  };
}

function unselected(rule: Rule, state: PodState, { facts, settings }: ExplainContext): Verdict {
  const byRule = ruleClause(rule, settings);
  if (byRule !== undefined) return { selects: "untried", clause: byRule };
  const podRule = rule as PodRule;
  const namespace = state.pod.metadata.namespace ?? "";
  const pattern = podRule.form === "template" ? settings.ignoredBy(namespace) : undefined;
  if (pattern !== undefined) {
    return untried(
      `namespace ${JSON.stringify(namespace)} is ignored by the operator's configuration (pattern ${JSON.stringify(pattern)})`,
    );
  }
  if (!facts) return untried(`namespace ${JSON.stringify(namespace)} is not known yet`);
  return podRule.form === "static" ? tryStatic(podRule, facts) : tryTemplate(podRule, facts);
}

function untried(clause: string): Verdict {
  return { selects: "untried", clause };
}

function ruleClause(rule: Rule, settings: Settings): string | undefined {
  if (rule.state === "invalid") return `the object is invalid: ${summarize(rule.problems)}`;
  if (rule.state === "valid") {
    return rule.form === "alias" ? "it gives nodes an alias, not pods an entry" : undefined;
  }
  return (
    `className ${JSON.stringify(rule.className)} is not the class of this operator, ` +
    JSON.stringify(settings.className)
  );
}

function tryTemplate(rule: TemplateRule, { pod, namespace }: PodFacts): Verdict {
  const byNamespace = rule.namespaceSelector.unmet(namespace.metadata.labels);
  if (byNamespace !== undefined) {
    const name = JSON.stringify(namespace.metadata.name);
    const clause = `namespaceSelector does not match the labels of namespace ${name}: ${byNamespace}`;
    return { selects: "neither", clause };
  }
  const byPod = rule.podSelector.unmet(pod.metadata.labels);
  return byPod === undefined
    ? { selects: "pod", clause: "it selects the pod, and is about to be applied" }
    : { selects: "namespace", clause: `podSelector does not match the pod's labels: ${byPod}` };
}

function tryStatic(rule: StaticRule, facts: PodFacts): Verdict {
  const { node, pod } = facts;
  const unmet = rule.selectors.filter(({ test }) => !test(facts)).map(({ text }) => text);
  const selects = unmet.length < rule.selectors.length ? "namespace" : "neither";
  if (unmet.length > 0) {
    const clause = `the pod does not have ${unmet.map((text) => JSON.stringify(text)).join(", ")}`;
    return { selects, clause };
  }
  const nodeName = pod.spec.nodeName ?? "";
  if (nodeName === "") return { selects: "pod", clause: "the pod has no node yet" };
  if (node && isParent(node, rule.parentId)) {
    return { selects: "pod", clause: "it selects the pod, and is about to be applied" };
  }
  const ids = [node?.parentId ?? "none", ...(node?.aliases ?? [])].join(", ");
  const clause = `parentID ${JSON.stringify(rule.parentId)} is no ID of node ${JSON.stringify(nodeName)}, which has ${ids}`;
  return { selects: "pod", clause };
}

/** Why an outcome is as it is, in words. */
export function outcomeClause(outcome: Outcome): string {
  switch (outcome.kind) {
    case "unscheduled":
      return "it selects the pod, which has no node yet";
    case "finished":
      return "it selects the pod, which has finished";
    case "skipped":
      return `fallback not used because ${outcome.by} gives the pod an entry`;
    case "failed":
      return `render failed: ${outcome.failure}`;
    case "masked":
      return `masked by ${outcome.by}, which gives the same SPIFFE ID for the same selectors`;
    case "unmet":
      return `selector ${JSON.stringify(outcome.selector)} is not true of the pod`;
    case "set":
    default:
      return "it gives the pod an entry";
  }
}
