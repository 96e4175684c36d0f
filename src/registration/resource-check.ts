import { checkFederatedTrustDomain } from "./federation.ts";
import { asResource } from "./objects.ts";
import type { DraftResource } from "./objects.ts";
import { compileRule } from "./rule-book.ts";
import type { FieldTemplate, Rule, TemplateRule } from "./rule.ts";
import type { Settings } from "./settings.ts";
import type { CustomResourceKind, SpecProblem } from "./types.ts";

/** Why a custom resource could never take effect, a template that is sure to fail included; empty when it could. */
export function checkResource(
  kind: CustomResourceKind,
  object: DraftResource,
  settings: Settings,
): SpecProblem[] {
  if (kind === "ClusterFederatedTrustDomain") {
    return checkFederatedTrustDomain(object.spec, settings.trustDomain);
  }
  return ruleProblems(compileRule(kind, asResource(object), settings));
}

/** Why a rule could never give anything. */
export function ruleProblems(rule: Rule): SpecProblem[] {
  if (rule.state === "invalid") return [...rule.problems];
  if (rule.state === "foreign" || rule.form !== "template") return [];
  return templateProblems(rule, { certain: true });
}

/**
 * What in a rule's templates fails when it is executed, such as a field that does not exist: every time
 * (`certain`), or only where a condition leads there.
 */
export function templateProblems(
  rule: TemplateRule,
  { certain }: { readonly certain: boolean },
): SpecProblem[] {
  return [rule.spiffeId, ...rule.dnsNames, ...rule.selectors].flatMap((template) =>
    problemsOf(template, certain),
  );
}

function problemsOf({ field, template }: FieldTemplate, certain: boolean): SpecProblem[] {
  return template.problems
    .filter((problem) => problem.certain === certain)
    .map(({ line, column, node, reason }) => {
      const message = `${field}: ${line}:${column}: <${node}>: ${reason}`;
      return { reason: "InvalidTemplate", field, message };
    });
}
