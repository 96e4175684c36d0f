import type { LabelSelector } from "../api/label-selector.ts";
import type { Template } from "../template/template.ts";
import type { CustomResource } from "./objects.ts";
import type { SelectorTest } from "./pod-selectors.ts";
import type { NodeTest } from "./node-selectors.ts";
import type { EntryTerms } from "./entry.ts";
import type { CustomResourceKind, Source, SourceKind, SpecProblem } from "./types.ts";

/** Which object a rule comes from, and when that was made and marked for deletion (ms since the epoch). */
export interface RuleOrigin<K extends CustomResourceKind = SourceKind> {
  readonly source: Source<K>;
  readonly created: number;
  readonly deleted: number | undefined;
}

type AnyOrigin = RuleOrigin<CustomResourceKind>;

/** Why a custom resource cannot take effect; the reason of its Ready condition. */
export type InvalidReason =
  | "InvalidSpec"
  | "InvalidTemplate"
  | "InvalidSelector"
  | "InvalidDuration"
  | "InvalidTrustDomain"
  | "InvalidSpiffeId"
  | "InvalidDnsName"
  | "InvalidBundle"
  | "InvalidUrl"
  | "NotSupported";

/** A template and the field it stands in. */
export interface FieldTemplate {
  readonly field: string;
  readonly template: Template;
}

/** A ClusterSPIFFEID, compiled. */
export interface TemplateRule extends RuleOrigin {
  readonly state: "valid";
  readonly form: "template";
  readonly fallback: boolean;
  readonly namespaceSelector: LabelSelector;
  readonly podSelector: LabelSelector;
  readonly spiffeId: FieldTemplate;
  readonly dnsNames: readonly FieldTemplate[];
  readonly autoPopulateDnsNames: boolean;
  readonly selectors: readonly FieldTemplate[];
  readonly terms: EntryTerms;
}

/** A ClusterStaticEntry for workloads, compiled. */
export interface StaticRule extends RuleOrigin {
  readonly state: "valid";
  readonly form: "static";
  readonly fallback: false;
  readonly spiffeId: string;
  readonly parentId: string;
  readonly selectors: readonly { readonly text: string; readonly test: SelectorTest }[];
  readonly dnsNames: readonly string[];
  /** Whether a selector needs the pod's images. */
  readonly readsImages: boolean;
  readonly terms: EntryTerms;
}

/** A ClusterStaticEntry whose parent is the server: an alias for the nodes that its selectors match. */
export interface AliasRule extends RuleOrigin {
  readonly state: "valid";
  readonly form: "alias";
  readonly spiffeId: string;
  readonly parentId: string;
  readonly selectors: readonly { readonly text: string; readonly test: NodeTest }[];
  readonly terms: EntryTerms;
}

/** What can give a pod an entry. */
export type PodRule = TemplateRule | StaticRule;
export type ValidRule = PodRule | AliasRule;

export interface InvalidRule extends RuleOrigin {
  readonly state: "invalid";
  /** Never empty; each names the field, what is wrong with it, and the way out. */
  readonly problems: readonly [SpecProblem, ...SpecProblem[]];
}

/** A rule of another operator's class. */
export interface ForeignRule extends RuleOrigin {
  readonly state: "foreign";
  readonly className: string;
}

export type Rule = ValidRule | InvalidRule | ForeignRule;

/** Older first, then by name, then by UID: the order in which a pod's entries are listed. */
export function compareRules(a: AnyOrigin, b: AnyOrigin): number {
  return (
    a.created - b.created ||
    compareText(a.source.name, b.source.name) ||
    compareText(a.source.uid, b.source.uid)
  );
}

/**
 * Which of two objects with an equal entry is preferred: the older, then one that stays before one that leaves,
 * then the later to leave, then the smaller UID.
 */
export function comparePreference(a: AnyOrigin, b: AnyOrigin): number {
  const never = Number.MAX_SAFE_INTEGER;
  return (
    a.created - b.created ||
    (b.deleted ?? never) - (a.deleted ?? never) ||
    compareText(a.source.uid, b.source.uid)
  );
}

/** By code units, the same on every replica whatever its locale. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Whether a rule can give pods an entry. */
export function isPodRule(rule: Rule): rule is PodRule {
  return rule.state === "valid" && rule.form !== "alias";
}

/** The name and age of a custom resource. */
export function originOf<K extends CustomResourceKind>(
  kind: K,
  { metadata }: CustomResource,
): RuleOrigin<K> {
  const { name, uid, creationTimestamp, deletionTimestamp } = metadata;
  return {
    source: { kind, name, uid },
    created: timeOf(creationTimestamp) ?? 0,
    deleted: timeOf(deletionTimestamp),
  };
}

/** `ClusterSPIFFEID shop`, as messages name an object. */
export function sourceName({ kind, name }: Source<CustomResourceKind>): string {
  return `${kind} ${name}`;
}

function timeOf(timestamp: string | undefined): number | undefined {
  const time = timestamp === undefined ? Number.NaN : Date.parse(timestamp);
  return Number.isNaN(time) ? undefined : time;
}
