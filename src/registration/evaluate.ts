import { contentKey } from "./entry.ts";
import type { RegistrationEntry } from "./entry.ts";
import type { NamespaceObject, PodObject } from "./objects.ts";
import { renderEntry } from "./render.ts";
import type { Rendered, RenderedNode } from "./render.ts";
import { compareText } from "./rule.ts";
import type { ValidRule } from "./rule.ts";
import type { Settings } from "./settings.ts";

/** What came of one rule that selects a pod. */
export type Outcome =
  | { readonly kind: "unscheduled" | "finished" }
  /** A fallback rule whose turn did not come; `by` is the rule that gave an entry. */
  | { readonly kind: "skipped"; readonly by: string }
  | { readonly kind: "failed"; readonly failure: string }
  | { readonly kind: "masked"; readonly entry: RegistrationEntry; readonly by: string }
  /** The entry stands, but one of its selectors is not true of the pod. */
  | { readonly kind: "unmet"; readonly entry: RegistrationEntry; readonly selector: string }
  | { readonly kind: "set"; readonly entry: RegistrationEntry };

export interface Evaluation {
  readonly rule: ValidRule;
  /** Kept so that it need not be rendered again while rule, pod, node and namespace stay the same. */
  readonly rendered: Rendered | undefined;
  readonly outcome: Outcome;
}

export interface PodFacts {
  readonly pod: PodObject;
  readonly node: RenderedNode | undefined;
  readonly namespace: NamespaceObject;
}

export interface EvaluateOptions {
  readonly settings: Settings;
  /** Offers a rendering that still holds. */
  readonly reuse: (rule: ValidRule) => Rendered | undefined;
}

type Attempt = { readonly rule: ValidRule; readonly rendered: Rendered };

/**
 * Decides what the rules that select a pod give it: fallback rules only when no other rule rendered, and of
 * equal entries only the preferred one. `rules` are in listing order, and so is the result.
 */
export function evaluatePod(
  facts: PodFacts,
  rules: readonly ValidRule[],
  { settings, reuse }: EvaluateOptions,
): Evaluation[] {
  const idle = idleOutcome(facts.pod);
  if (idle) return rules.map((rule) => ({ rule, rendered: undefined, outcome: idle }));
  const render = (rule: ValidRule): Attempt => ({
    rule,
    rendered: reuse(rule) ?? renderEntry({ rule, ...facts }, settings),
  });
  const attempts = new Map<ValidRule, Attempt>();
  for (const rule of rules) if (!rule.fallback) attempts.set(rule, render(rule));
  const giver = [...attempts.values()].find(({ rendered }) => rendered.entry)?.rule.source.name;
  if (giver === undefined) {
    for (const rule of rules) if (rule.fallback) attempts.set(rule, render(rule));
  }
  const winners = winnersByKey([...attempts.values()]);
  return rules.map((rule) => {
    const attempt = attempts.get(rule);
    if (!attempt) return skipped(rule, giver ?? "");
    return { rule, rendered: attempt.rendered, outcome: outcomeOf(attempt, winners) };
  });
}

/** The entries in effect, in listing order. */
export function effectiveEntries(evaluations: readonly Evaluation[]): RegistrationEntry[] {
  return evaluations.flatMap(({ outcome }) => (outcome.kind === "set" ? [outcome.entry] : []));
}

function idleOutcome(pod: PodObject): Outcome | undefined {
  const phase = pod.status?.phase;
  if (phase === "Succeeded" || phase === "Failed") return { kind: "finished" };
  return (pod.spec.nodeName ?? "") === "" ? { kind: "unscheduled" } : undefined;
}

function skipped(rule: ValidRule, by: string): Evaluation {
  return { rule, rendered: undefined, outcome: { kind: "skipped", by } };
}

function outcomeOf(
  { rule, rendered }: Attempt,
  winners: ReadonlyMap<string, ValidRule> | undefined,
): Outcome {
  const { entry } = rendered;
  if (!entry) return { kind: "failed", failure: rendered.failure };
  const winner = winners ? winners.get(contentKey(entry)) : rule;
  if (winner && winner !== rule) return { kind: "masked", entry, by: winner.source.name };
  if (rendered.unmet !== undefined) return { kind: "unmet", entry, selector: rendered.unmet };
  return { kind: "set", entry };
}

/** The preferred rule per key; undefined when no two entries can have the same one. */
function winnersByKey(attempts: readonly Attempt[]): Map<string, ValidRule> | undefined {
  const ids = new Set<string>();
  let rendered = 0;
  for (const {
    rendered: { entry },
  } of attempts) {
    if (!entry) continue;
    rendered += 1;
    ids.add(entry.spiffeId);
  }
  if (ids.size === rendered) return undefined;
  const winners = new Map<string, ValidRule>();
  for (const {
    rule,
    rendered: { entry },
  } of attempts) {
    if (!entry) continue;
    const key = contentKey(entry);
    const other = winners.get(key);
    if (!other || comparePreference(rule, other) < 0) winners.set(key, rule);
  }
  return winners;
}

/** Older first, then staying before leaving, then the later to leave, then the smaller UID. */
function comparePreference(a: ValidRule, b: ValidRule): number {
  const never = Number.MAX_SAFE_INTEGER;
  return (
    a.created - b.created ||
    (b.deleted ?? never) - (a.deleted ?? never) ||
    compareText(a.source.uid, b.source.uid)
  );
}
