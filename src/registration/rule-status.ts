import { isDeepStrictEqual } from "node:util";
import { sourceName } from "./rule.ts";
import type { AliasRule, Rule, StaticRule, TemplateRule } from "./rule.ts";
import { summarize } from "./spec-problems.ts";
import type { Tally } from "./tally.ts";
import type { RuleStatus } from "./types.ts";

/** What a status depends on beside the rule's own counts. */
export interface StatusContext {
  /** The rule whose equal entry stands in for that of a static one. */
  maskedBy(rule: StaticRule | AliasRule): Rule | undefined;
  /** How many nodes have an ID; undefined for IDs that nothing gives. */
  nodesWith(id: string): number | undefined;
  /** How many nodes match the selectors of an entry that gives them an alias. */
  nodesMatching(alias: AliasRule): number;
  /** Those of the trust domains of which there is no bundle. */
  withoutBundle(trustDomains: readonly string[]): readonly string[];
}

type Readiness = Pick<RuleStatus, "ready" | "reason" | "message">;

/** What the object's status should say; undefined for objects that are not ours to report on. */
export function statusOf(tally: Tally, context: StatusContext): RuleStatus | undefined {
  const { rule } = tally;
  if (tally.gone || rule.state === "foreign") return undefined;
  const { kind, name } = rule.source;
  const trustDomains = rule.state === "valid" ? rule.terms.federatesWith : [];
  return {
    kind,
    name,
    observedGeneration: tally.generation,
    stats: tally.stats,
    ...(kind === "ClusterStaticEntry" ? { entry: entryState(tally, context) } : {}),
    ...readinessOf(tally, context),
    ...(trustDomains.length > 0 ? { missingBundles: context.withoutBundle(trustDomains) } : {}),
    failures: tally.failures,
  };
}

/** Tells whether two statuses would be written alike. */
export function sameStatus(a: RuleStatus | undefined, b: RuleStatus | undefined): boolean {
  return isDeepStrictEqual(a, b);
}

/** Upstream's three flags; `set` means that the entry is there, not that something was written just now. */
function entryState(tally: Tally, context: StatusContext): NonNullable<RuleStatus["entry"]> {
  const { rule } = tally;
  const rendered = rule.state === "valid";
  const masked = rendered && rule.form !== "template" && isMasked(rule, tally, context);
  return { rendered, masked, set: rendered && !masked };
}

function isMasked(rule: StaticRule | AliasRule, tally: Tally, context: StatusContext): boolean {
  return context.maskedBy(rule) !== undefined || tally.stats.entriesMasked > 0;
}

function readinessOf(tally: Tally, context: StatusContext): Readiness {
  const { rule } = tally;
  if (rule.state === "foreign") return { ready: false, reason: "Foreign", message: "" };
  if (rule.state === "invalid") {
    const [{ reason }] = rule.problems;
    return { ready: false, reason, message: summarize(rule.problems) };
  }
  if (rule.form === "template") return templateReadiness(rule, tally);
  if (isMasked(rule, tally, context)) return maskedReadiness(context.maskedBy(rule));
  return rule.form === "alias"
    ? aliasReadiness(rule, context)
    : staticReadiness(rule, tally, context);
}

function templateReadiness(_rule: TemplateRule, { stats, failures }: Tally): Readiness {
  const { podEntryRenderFailures: failed, podsSelected, namespacesSelected } = stats;
  const [example] = failures;
  if (failed > 0 && example) {
    const message = `${failed} of ${podsSelected} selected pods get no entry; pod ${example.pod}: ${example.message}`;
    return { ready: false, reason: "RenderFailed", message };
  }
  if (podsSelected > 0) {
    return { ready: true, reason: "EntriesRendered", message: "No selected pod failed to render." };
  }
  const message =
    namespacesSelected === 0
      ? "In effect, but spec.namespaceSelector selects no namespace."
      : "In effect, but it selects no pod yet; see spec.podSelector and spec.namespaceSelector.";
  return { ready: true, reason: "NothingSelected", message };
}

function maskedReadiness(by: Rule | undefined): Readiness {
  const who = by ? sourceName(by.source) : "An older object";
  const message = `${who} declares an entry with the same SPIFFE ID, parent ID and selectors, and is preferred; delete one of them.`;
  return { ready: false, reason: "Masked", message };
}

function aliasReadiness(rule: AliasRule, context: StatusContext): Readiness {
  if (context.nodesMatching(rule) > 0) {
    const message = "Nodes that spec.selectors match have the SPIFFE ID as an alias.";
    return { ready: true, reason: "EntryInEffect", message };
  }
  const message = "In effect, but no node matches spec.selectors now.";
  return { ready: true, reason: "NothingSelected", message };
}

function staticReadiness(rule: StaticRule, { stats }: Tally, context: StatusContext): Readiness {
  const nodes = context.nodesWith(rule.parentId);
  if (nodes === undefined) {
    const message =
      `spec.parentID: no node has the ID ${JSON.stringify(rule.parentId)}, and no ClusterStaticEntry ` +
      "gives it as an alias; name a node's parent ID, or one of an entry whose parentID is the server's";
    return { ready: false, reason: "UnknownParent", message };
  }
  if (stats.entriesToSet > 0) {
    const message = "The entry applies to every pod that has all of spec.selectors.";
    return { ready: true, reason: "EntryInEffect", message };
  }
  const what = nodes === 0 ? "no node has spec.parentID" : "no pod has all of spec.selectors";
  return { ready: true, reason: "NothingSelected", message: `In effect, but ${what} now.` };
}
