import { clusterStaticEntrySpecSchema } from "../api/cluster-static-entry.ts";
import type { ClusterStaticEntrySpec } from "../api/cluster-static-entry.ts";
import { dnsNameProblem } from "../spiffe/dns-name.ts";
import { formatSelector, parseSelector } from "../spiffe/selector.ts";
import type { Selector } from "../spiffe/selector.ts";
import { wildcardOverlap } from "./dns-name.ts";
import { compileNodeSelector } from "./node-selectors.ts";
import type { CustomResource } from "./objects.ts";
import { compilePodSelector } from "./pod-selectors.ts";
import { compileObject } from "./rule-compiler.ts";
import type { CompileContext, KindOfRule } from "./rule-compiler.ts";
import type { AliasRule, Rule, StaticRule } from "./rule.ts";
import type { Settings } from "./settings.ts";
import { MOST_TRUST_DOMAINS, parseMemberId, parseWorkloadId } from "./spec-check.ts";
import type { SpecCheck } from "./spec-check.ts";

const MOST_SELECTORS = 128;
const MOST_DNS_NAMES = 128;

/** Compiles a ClusterStaticEntry. Never throws: what is wrong with it is in the result. */
export function compileClusterStaticEntry(object: CustomResource, settings: Settings): Rule {
  return compileObject(CLUSTER_STATIC_ENTRY, object, settings);
}

const CLUSTER_STATIC_ENTRY: KindOfRule<ClusterStaticEntrySpec> = {
  kind: "ClusterStaticEntry",
  schema: clusterStaticEntrySpecSchema,
  compileSpec,
};

function compileSpec(
  spec: ClusterStaticEntrySpec,
  context: CompileContext,
): StaticRule | AliasRule | undefined {
  const { origin, settings, check } = context;
  const idOf = (field: "spiffeID" | "parentID", parse: typeof parseMemberId) =>
    check.attempt(
      "InvalidSpiffeId",
      `spec.${field}`,
      () => parse(spec[field], settings.trustDomain).uri,
    );
  const spiffeId = idOf("spiffeID", parseWorkloadId);
  const parentId = idOf("parentID", parseMemberId);
  const common = {
    ...origin,
    state: "valid",
    spiffeId: spiffeId ?? "",
    parentId: parentId ?? "",
    terms: termsOf(spec, check),
  } as const;
  const dnsNames = checkDnsNames(spec.dnsNames, check);
  if (spec.storeSVID === true) {
    const problem = "no external store is supported; leave it out to hand the SVID to the workload";
    check.refuse("NotSupported", "spec.storeSVID", problem);
  }
  const selectors = parseSelectors(spec.selectors, check);
  if (parentId === serverId(settings)) {
    return { ...common, form: "alias", selectors: nodeTests(selectors, context) };
  }
  const tests = podTests(selectors, context);
  const readsImages = tests.some((test) => test.readsImages);
  return { ...common, form: "static", fallback: false, selectors: tests, dnsNames, readsImages };
}

/** The parent of entries that give nodes an alias, as SPIRE has it. */
function serverId({ trustDomain }: Settings): string {
  return `spiffe://${trustDomain}/spire/server`;
}

function termsOf(spec: ClusterStaticEntrySpec, check: SpecCheck): StaticRule["terms"] {
  const federated = check.bounded(spec.federatesWith, MOST_TRUST_DOMAINS, "spec.federatesWith");
  return {
    x509SvidTtl: check.ttl(spec.x509SVIDTTL, "spec.x509SVIDTTL"),
    jwtSvidTtl: check.ttl(spec.jwtSVIDTTL, "spec.jwtSVIDTTL"),
    federatesWith: federated ? check.trustDomains(spec.federatesWith) : [],
    admin: spec.admin ?? false,
    downstream: spec.downstream ?? false,
    hint: spec.hint ?? "",
  };
}

function checkDnsNames(names: readonly string[] = [], check: SpecCheck): string[] {
  if (!check.bounded(names, MOST_DNS_NAMES, "spec.dnsNames")) return [];
  for (const [at, name] of names.entries()) {
    const problem = dnsNameProblem(name);
    if (problem === undefined) continue;
    const shown = JSON.stringify(name.slice(0, 80));
    check.refuse("InvalidDnsName", `spec.dnsNames[${at}]`, `DNS name ${shown}: ${problem}`);
  }
  const overlap = wildcardOverlap(names);
  if (overlap !== undefined) check.refuse("InvalidDnsName", "spec.dnsNames", overlap);
  return [...new Set(names)];
}

interface FieldSelector {
  readonly field: string;
  readonly selector: Selector;
}

function parseSelectors(texts: readonly string[], check: SpecCheck): FieldSelector[] {
  if (!check.bounded(texts, MOST_SELECTORS, "spec.selectors")) return [];
  if (texts.length === 0) {
    const problem = "at least one is needed; without any, every workload would match";
    check.refuse("InvalidSelector", "spec.selectors", problem);
  }
  return texts.flatMap((text, at) => {
    const field = `spec.selectors[${at}]`;
    const selector = check.attempt("InvalidSelector", field, () => parseSelector(text));
    return selector ? [{ field, selector }] : [];
  });
}

function podTests(selectors: readonly FieldSelector[], { check }: CompileContext) {
  return selectors.flatMap(({ field, selector }) => {
    const compiled = compilePodSelector(selector);
    if (compiled.problem === undefined) return [{ text: formatSelector(selector), ...compiled }];
    check.refuse("InvalidSelector", field, compiled.problem);
    return [];
  });
}

function nodeTests(selectors: readonly FieldSelector[], { check, settings }: CompileContext) {
  return selectors.flatMap(({ field, selector }) => {
    const compiled = compileNodeSelector(selector, settings);
    if (compiled.problem === undefined) return [{ text: formatSelector(selector), ...compiled }];
    check.refuse("InvalidSelector", field, compiled.problem);
    return [];
  });
}
