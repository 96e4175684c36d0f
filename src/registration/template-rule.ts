import { clusterSpiffeIdSpecSchema } from "../api/cluster-spiffe-id.ts";
import type { ClusterSpiffeIdSpec } from "../api/cluster-spiffe-id.ts";
import { compileLabelSelector } from "../api/label-selector.ts";
import { compileTemplate } from "../template/template.ts";
import { RENDER_LIMITS } from "./render-limits.ts";
import type { CustomResource } from "./objects.ts";
import { compileObject } from "./rule-compiler.ts";
import type { CompileContext, KindOfRule } from "./rule-compiler.ts";
import type { FieldTemplate, Rule, TemplateRule } from "./rule.ts";
import type { Settings } from "./settings.ts";
import { MOST_TRUST_DOMAINS } from "./spec-check.ts";
import type { SpecCheck } from "./spec-check.ts";

/** Enough for any pod; a certificate with more names would no longer fit TLS stacks. */
const MOST_TEMPLATES = 128;

/** Compiles a ClusterSPIFFEID. Never throws: what is wrong with it is in the result. */
export function compileClusterSpiffeId(object: CustomResource, settings: Settings): Rule {
  return compileObject(CLUSTER_SPIFFE_ID, object, settings);
}

const CLUSTER_SPIFFE_ID: KindOfRule<ClusterSpiffeIdSpec> = {
  kind: "ClusterSPIFFEID",
  schema: clusterSpiffeIdSpecSchema,
  compileSpec,
};

function compileSpec(
  spec: ClusterSpiffeIdSpec,
  { origin, check }: CompileContext,
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
