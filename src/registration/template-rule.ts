import { clusterSpiffeIdSpecSchema } from "../api/cluster-spiffe-id.ts";
import type { ClusterSpiffeIdSpec } from "../api/cluster-spiffe-id.ts";
import { compileLabelSelector } from "../api/label-selector.ts";
import { SignetError } from "../core/errors.ts";
import { compileTemplate } from "../template/template.ts";
import { RENDER_LIMITS } from "./render-limits.ts";
import type { CustomResource } from "./objects.ts";
import { originOf } from "./rule.ts";
import type { FieldTemplate, Rule, RuleOrigin, TemplateRule } from "./rule.ts";
import type { Settings } from "./settings.ts";
import { SpecCheck } from "./spec-check.ts";

/** Enough for any pod; a certificate with more names would no longer fit TLS stacks. */
const MOST_TEMPLATES = 128;
const MOST_TRUST_DOMAINS = 1000;

/** Compiles a ClusterSPIFFEID. Never throws: what is wrong with it is in the result. */
export function compileClusterSpiffeId(object: CustomResource, settings: Settings): Rule {
  const origin = originOf("ClusterSPIFFEID", object);
  const check = new SpecCheck();
  const spec = check.parse(clusterSpiffeIdSpecSchema, object.spec);
  const className = spec?.className ?? "";
  if (spec && !settings.ownsClass(className)) return { ...origin, state: "foreign", className };
  const rule = spec && compileSpec(spec, origin, check);
  const [first, ...more] = check.problems;
  if (first) return { ...origin, state: "invalid", problems: [first, ...more] };
  if (!rule) throw new SignetError("INTERNAL", "a spec without a problem has to compile");
  return rule;
}

function compileSpec(
  spec: ClusterSpiffeIdSpec,
  origin: RuleOrigin,
  check: SpecCheck,
): TemplateRule | undefined {
  const selectorOf = (field: "namespaceSelector" | "podSelector") => {
    const path = `spec.${field}`;
    return check.attempt("InvalidSelector", path, () => compileLabelSelector(spec[field], path));
  };
  const namespaceSelector = selectorOf("namespaceSelector");
  const podSelector = selectorOf("podSelector");
  const spiffeId = template(spec.spiffeIDTemplate, "spec.spiffeIDTemplate", check);
  const federated = check.bounded(spec.federatesWith, MOST_TRUST_DOMAINS, "spec.federatesWith");
  const compiled = {
    dnsNames: templates(spec.dnsNameTemplates, "spec.dnsNameTemplates", check),
    selectors: templates(spec.workloadSelectorTemplates, "spec.workloadSelectorTemplates", check),
    terms: {
      x509SvidTtl: check.ttl(spec.ttl, "spec.ttl"),
      jwtSvidTtl: check.ttl(spec.jwtTtl, "spec.jwtTtl"),
      federatesWith: federated ? check.trustDomains(spec.federatesWith) : [],
      admin: spec.admin ?? false,
      downstream: spec.downstream ?? false,
      hint: spec.hint ?? "",
    },
  };
  if (!namespaceSelector || !podSelector || !spiffeId) return undefined;
  return {
    ...origin,
    ...compiled,
    state: "valid",
    form: "template",
    fallback: spec.fallback ?? false,
    autoPopulateDnsNames: spec.autoPopulateDNSNames ?? false,
    namespaceSelector,
    podSelector,
    spiffeId,
  };
}

function template(text: string, field: string, check: SpecCheck): FieldTemplate | undefined {
  if (text === "") {
    check.refuse("InvalidTemplate", field, "cannot be empty");
    return undefined;
  }
  return check.attempt("InvalidTemplate", field, () => ({
    field,
    template: compileTemplate(text, { limits: RENDER_LIMITS }),
  }));
}

function templates(
  texts: readonly string[] | undefined,
  field: string,
  check: SpecCheck,
): FieldTemplate[] {
  if (!check.bounded(texts, MOST_TEMPLATES, field)) return [];
  return (texts ?? []).flatMap((text, at) => template(text, `${field}[${at}]`, check) ?? []);
}
