import { clusterSpiffeIdSpecSchema } from "../api/cluster-spiffe-id.ts";
import type { ClusterSpiffeIdSpec } from "../api/cluster-spiffe-id.ts";
import { parseTtlSeconds } from "../api/duration.ts";
import { compileLabelSelector } from "../api/label-selector.ts";
import type { LabelSelector } from "../api/label-selector.ts";
import { SignetError, errorMessage } from "../core/errors.ts";
import { parseTrustDomain } from "../spiffe/trust-domain.ts";
import { compileTemplate } from "../template/template.ts";
import type { Template } from "../template/template.ts";
import type { EntrySource } from "./entry.ts";
import type { ClusterSpiffeIdObject } from "./objects.ts";
import type { Settings } from "./settings.ts";

/** Which object a rule comes from, and when that was made and marked for deletion (ms since the epoch). */
export interface RuleOrigin {
  readonly source: EntrySource;
  readonly created: number;
  readonly deleted: number | undefined;
}

/** Why a ClusterSPIFFEID cannot take effect; the reason of its Ready condition. */
export type InvalidReason =
  | "InvalidSpec"
  | "InvalidTemplate"
  | "InvalidSelector"
  | "InvalidDuration"
  | "InvalidTrustDomain"
  | "NotSupported";

/** A template and the field it stands in. */
export interface FieldTemplate {
  readonly field: string;
  readonly template: Template;
}

export interface ValidRule extends RuleOrigin {
  readonly state: "valid";
  readonly fallback: boolean;
  readonly namespaceSelector: LabelSelector;
  readonly podSelector: LabelSelector;
  readonly spiffeId: FieldTemplate;
  readonly dnsNames: readonly FieldTemplate[];
  readonly selectors: readonly FieldTemplate[];
  readonly x509SvidTtl: number;
  readonly jwtSvidTtl: number;
  readonly federatesWith: readonly string[];
  readonly admin: boolean;
  readonly downstream: boolean;
  readonly hint: string;
}

export interface InvalidRule extends RuleOrigin {
  readonly state: "invalid";
  readonly reason: InvalidReason;
  /** Path of the offending field. */
  readonly field: string;
  /** Names the field, what is wrong with it, and the way out. */
  readonly message: string;
}

/** A rule of another operator's class. */
export interface ForeignRule extends RuleOrigin {
  readonly state: "foreign";
  readonly className: string;
}

export type Rule = ValidRule | InvalidRule | ForeignRule;

/** Enough for any pod; a certificate with more names would no longer fit TLS stacks. */
const MOST_TEMPLATES = 128;

class InvalidField extends Error {
  readonly reason: InvalidReason;
  readonly field: string;

  constructor(reason: InvalidReason, field: string, problem: string) {
    super(problem.startsWith(field) ? problem : `${field}: ${problem}`);
    this.reason = reason;
    this.field = field;
  }
}

/** Compiles a ClusterSPIFFEID. Never throws: what is wrong with it is in the result. */
export function compileRule(object: ClusterSpiffeIdObject, settings: Settings): Rule {
  const origin = originOf(object);
  try {
    const spec = parseSpec(object.spec);
    const className = spec.className ?? "";
    if (!settings.ownsClass(className)) return { ...origin, state: "foreign", className };
    return compileSpec(spec, origin);
  } catch (error) {
    if (!(error instanceof InvalidField)) throw error;
    const { reason, field, message } = error;
    return { ...origin, state: "invalid", reason, field, message };
  }
}

/** Older first, then by name, then by UID: the order in which a pod's entries are listed. */
export function compareRules(a: RuleOrigin, b: RuleOrigin): number {
  return (
    a.created - b.created ||
    compareText(a.source.name, b.source.name) ||
    compareText(a.source.uid, b.source.uid)
  );
}

/** By code units, the same on every replica whatever its locale. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

function originOf({ metadata }: ClusterSpiffeIdObject): RuleOrigin {
  const { name, uid, creationTimestamp, deletionTimestamp } = metadata;
  return {
    source: { kind: "ClusterSPIFFEID", name, uid },
    created: timeOf(creationTimestamp) ?? 0,
    deleted: timeOf(deletionTimestamp),
  };
}

function timeOf(timestamp: string | undefined): number | undefined {
  const time = timestamp === undefined ? Number.NaN : Date.parse(timestamp);
  return Number.isNaN(time) ? undefined : time;
}

function parseSpec(spec: unknown): ClusterSpiffeIdSpec {
  const result = clusterSpiffeIdSpecSchema.safeParse(spec);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const field = ["spec", ...(issue?.path ?? []).map(String)].join(".");
  throw new InvalidField("InvalidSpec", field, issue?.message ?? "does not fit the schema");
}

function compileSpec(spec: ClusterSpiffeIdSpec, origin: RuleOrigin): ValidRule {
  refuseUnsupported(spec);
  return {
    ...origin,
    state: "valid",
    fallback: spec.fallback ?? false,
    namespaceSelector: selector(spec.namespaceSelector, "spec.namespaceSelector"),
    podSelector: selector(spec.podSelector, "spec.podSelector"),
    spiffeId: template(spec.spiffeIDTemplate, "spec.spiffeIDTemplate"),
    dnsNames: templates(spec.dnsNameTemplates, "spec.dnsNameTemplates"),
    selectors: templates(spec.workloadSelectorTemplates, "spec.workloadSelectorTemplates"),
    x509SvidTtl: ttl(spec.ttl, "spec.ttl"),
    jwtSvidTtl: ttl(spec.jwtTtl, "spec.jwtTtl"),
    federatesWith: trustDomains(spec.federatesWith),
    admin: spec.admin ?? false,
    downstream: spec.downstream ?? false,
    hint: spec.hint ?? "",
  };
}

function refuseUnsupported(spec: ClusterSpiffeIdSpec): void {
  if (spec.autoPopulateDNSNames !== true) return;
  const problem =
    "not supported yet, and an SVID without the names it promises would be wrong; " +
    "set it to false and name the services in dnsNameTemplates";
  throw new InvalidField("NotSupported", "spec.autoPopulateDNSNames", problem);
}

function selector(spec: ClusterSpiffeIdSpec["podSelector"], field: string): LabelSelector {
  return attempt("InvalidSelector", field, () => compileLabelSelector(spec, field));
}

function template(text: string, field: string): FieldTemplate {
  if (text === "") throw new InvalidField("InvalidTemplate", field, "cannot be empty");
  return attempt("InvalidTemplate", field, () => ({ field, template: compileTemplate(text) }));
}

function templates(texts: readonly string[] = [], field: string): FieldTemplate[] {
  if (texts.length > MOST_TEMPLATES) {
    throw new InvalidField("InvalidSpec", field, `at most ${MOST_TEMPLATES} templates`);
  }
  return texts.map((text, at) => template(text, `${field}[${at}]`));
}

function ttl(text: string | undefined, field: string): number {
  return text === undefined ? 0 : attempt("InvalidDuration", field, () => parseTtlSeconds(text));
}

function trustDomains(names: readonly string[] = []): string[] {
  const parsed = names.map((name, at) =>
    attempt("InvalidTrustDomain", `spec.federatesWith[${at}]`, () => parseTrustDomain(name)),
  );
  return [...new Set(parsed)];
}

function attempt<T>(reason: InvalidReason, field: string, compile: () => T): T {
  try {
    return compile();
  } catch (error) {
    const named = error instanceof SignetError ? error.details["field"] : undefined;
    throw new InvalidField(reason, typeof named === "string" ? named : field, errorMessage(error));
  }
}
