import type { PodState } from "./cluster-state.ts";
import type { Outcome } from "./evaluate.ts";
import type { NamespaceObject } from "./objects.ts";
import type { Rule, ValidRule } from "./rule.ts";
import type { Settings } from "./settings.ts";
import type { Explanation } from "./types.ts";

export interface ExplainContext {
  /** The pod's namespace; undefined while it is unknown. */
  readonly namespace: NamespaceObject | undefined;
  readonly settings: Settings;
}

/** Says of one rule why it does or does not give the pod an entry. */
export function explainRule(
  rule: Rule,
  state: PodState,
  { namespace, settings }: ExplainContext,
): Explanation {
  const { name: ruleName, uid: ruleUid } = rule.source;
  const outcome = state.evaluations.find((evaluation) => evaluation.rule === rule)?.outcome;
  const spiffeId = outcome && "entry" in outcome ? { spiffeId: outcome.entry.spiffeId } : {};
  const untried = ruleClause(rule, settings) ?? namespaceClause(state, namespace, settings);
  const { selects, clause } = outcome
    ? { selects: "pod" as const, clause: outcomeClause(outcome) }
    : untried === undefined
      ? trySelectors(rule as ValidRule, state, namespace)
      : { selects: "untried" as const, clause: untried };
  const matched = outcome?.kind === "set";
  return { rule: ruleName, ruleUid, matched, selects, clause, ...spiffeId };
}

function ruleClause(rule: Rule, settings: Settings): string | undefined {
  if (rule.state === "invalid") return `the object is invalid: ${rule.message}`;
  if (rule.state === "valid") return undefined;
  return (
    `className ${JSON.stringify(rule.className)} is not the class of this operator, ` +
    JSON.stringify(settings.className)
  );
}

function namespaceClause(
  { pod }: PodState,
  namespace: NamespaceObject | undefined,
  settings: Settings,
): string | undefined {
  const name = pod.metadata.namespace ?? "";
  const pattern = settings.ignoredBy(name);
  if (pattern !== undefined) {
    return `namespace ${JSON.stringify(name)} is ignored by the operator's configuration (pattern ${JSON.stringify(pattern)})`;
  }
  return namespace ? undefined : `namespace ${JSON.stringify(name)} is not known yet`;
}

function trySelectors(
  rule: ValidRule,
  { pod }: PodState,
  namespace: NamespaceObject | undefined,
): Pick<Explanation, "selects" | "clause"> {
  const byNamespace = rule.namespaceSelector.unmet(namespace?.metadata.labels);
  if (byNamespace !== undefined) {
    const name = JSON.stringify(pod.metadata.namespace ?? "");
    const clause = `namespaceSelector does not match the labels of namespace ${name}: ${byNamespace}`;
    return { selects: "neither", clause };
  }
  const byPod = rule.podSelector.unmet(pod.metadata.labels);
  return byPod === undefined
    ? { selects: "pod", clause: "it selects the pod, and is about to be applied" }
    : { selects: "namespace", clause: `podSelector does not match the pod's labels: ${byPod}` };
}

function outcomeClause(outcome: Outcome): string {
  switch (outcome.kind) {
    case "unscheduled":
      return "it selects the pod, which has no node yet";
    case "finished":
      return "it selects the pod, which has finished";
    case "skipped":
      return `fallback not used because ${JSON.stringify(outcome.by)} gives the pod an entry`;
    case "failed":
      return `render failed: ${outcome.failure}`;
    case "masked":
      return `masked by ${JSON.stringify(outcome.by)}, which gives the same SPIFFE ID for the same selectors`;
    case "unmet":
      return `selector ${JSON.stringify(outcome.selector)} is not true of the pod`;
    case "set":
    default:
      return "it gives the pod an entry";
  }
}
