import { entryKey } from "./entry.ts";
import type { RegistrationEntry } from "./entry.ts";
import type { NamespaceObject, PodObject } from "./objects.ts";
import { renderEntry } from "./render.ts";
import type { Rendered } from "./render.ts";
import type { KnownNode } from "./node-book.ts";
import { comparePreference, sourceName } from "./rule.ts";
import type { PodRule } from "./rule.ts";
import type { Settings } from "./settings.ts";

/** What came of one rule that selects a pod. */
export type Outcome =
  | { readonly kind: "unscheduled" | "finished" }
  /** A fallback rule whose turn did not come; `by` is the object that gave an entry. */
  | { readonly kind: "skipped"; readonly by: string }
  | { readonly kind: "failed"; readonly failure: string }
  | { readonly kind: "masked"; readonly entry: RegistrationEntry; readonly by: string }
  /** The entry stands, but one of its selectors is not true of the pod. */
  | { readonly kind: "unmet"; readonly entry: RegistrationEntry; readonly selector: string }
  | { readonly kind: "set"; readonly entry: RegistrationEntry };

export interface Evaluation {
  readonly rule: PodRule;
  /** Kept so that it need not be rendered again while rule, pod, node and namespace stay the same. */
  readonly rendered: Rendered | undefined;
  readonly outcome: Outcome;
}

export interface PodFacts {
  readonly pod: PodObject;
  readonly node: KnownNode | undefined;
  readonly namespace: NamespaceObject;
  /** Names of the Services that the pod backs. */
  readonly services: () => readonly string[];
}

export interface EvaluateOptions {
  readonly settings: Settings;
  /** Offers a rendering that still holds. */
  readonly reuse: (rule: PodRule) => Rendered | undefined;
}

type Attempt = { readonly rule: PodRule; readonly rendered: Rendered };

/**
 * Decides what the rules that select a pod give it: fallback rules only when no other rule rendered, and of
 * equal entries only the preferred one. `rules` are in listing order, and so is the result.
 */
export function evaluatePod(
  facts: PodFacts,
  rules: readonly PodRule[],
  { settings, reuse }: EvaluateOptions,
): Evaluation[] {
  const idle = idleOutcome(facts.pod);
  if (idle) return rules.map((rule) => ({ rule, rendered: undefined, outcome: idle }));
  const render = (rule: PodRule): Attempt => ({
    rule,
    rendered: reuse(rule) ?? renderEntry({ rule, ...facts }, settings),
  });
  const attempts = new Map<PodRule, Attempt>();
  for (const rule of rules) if (!rule.fallback) attempts.set(rule, render(rule));
  const giver = [...attempts.values()].find(givesByTemplate)?.rule.source;
  if (giver === undefined) {
    for (const rule of rules) if (rule.fallback) attempts.set(rule, render(rule));
  }
  const winners = winnersByKey([...attempts.values()]);
  return rules.map((rule) => {
    const attempt = attempts.get(rule);
    if (!attempt) return skipped(rule, giver ? sourceName(giver) : "");
    return { rule, rendered: attempt.rendered, outcome: outcomeOf(attempt, winners) };
  });
}

/** The entries in effect, in listing order. */
export function effectiveEntries(evaluations: readonly Evaluation[]): RegistrationEntry[] {
  return evaluations.flatMap(({ outcome }) => (outcome.kind === "set" ? [outcome.entry] : []));
}

/** Only ClusterSPIFFEIDs keep fallbacks out: SPIRE knows nothing of fallbacks beside static entries. */
function givesByTemplate({ rule, rendered }: Attempt): boolean {
  return rule.form === "template" && rendered.entry !== undefined;
}

function idleOutcome(pod: PodObject): Outcome | undefined {
  const phase = pod.status?.phase;
  if (phase === "Succeeded" || phase === "Failed") return { kind: "finished" };
  return (pod.spec.nodeName ?? "") === "" ? { kind: "unscheduled" } : undefined;
}

function skipped(rule: PodRule, by: string): Evaluation {
  return { rule, rendered: undefined, outcome: { kind: "skipped", by } };
}

function outcomeOf(
  { rule, rendered }: Attempt,
  winners: ReadonlyMap<string, PodRule> | undefined,
): Outcome {
  const { entry } = rendered;
  if (!entry) return { kind: "failed", failure: rendered.failure };
  const winner = winners ? winners.get(entryKey(entry)) : rule;
  if (winner && winner !== rule) {
    return { kind: "masked", entry, by: sourceName(winner.source) };
  }
  if (rendered.unmet !== undefined) return { kind: "unmet", entry, selector: rendered.unmet };
  return { kind: "set", entry };
}

/** The preferred rule per key; undefined when no two entries can have the same one. */
function winnersByKey(attempts: readonly Attempt[]): Map<string, PodRule> | undefined {
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
  const winners = new Map<string, PodRule>();
  for (const {
    rule,
    rendered: { entry },
  } of attempts) {
    if (!entry) continue;
    const key = entryKey(entry);
    const other = winners.get(key);
    if (!other || comparePreference(rule, other) < 0) winners.set(key, rule);
  }
  return winners;
}
