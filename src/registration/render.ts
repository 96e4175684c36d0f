import { errorMessage, isSignetError } from "../core/errors.ts";
import { dnsNameProblem } from "../spiffe/dns-name.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import { formatSelector, parseSelector } from "../spiffe/selector.ts";
import type { Selector } from "../spiffe/selector.ts";
import { MAX_DNS_NAMES } from "../spiffe/svid.ts";
import type { TemplateData } from "../template/template.ts";
import { wildcardOverlap } from "./dns-name.ts";
import { createEntry } from "./entry.ts";
import type { RegistrationEntry } from "./entry.ts";
import type { KnownNode } from "./node-book.ts";
import type { NamespaceObject, NodeObject, PodObject } from "./objects.ts";
import { topOwner } from "./owner.ts";
import { compilePodSelector } from "./pod-selectors.ts";
import { CHEAP_LIMITS } from "./render-limits.ts";
import type { FieldTemplate, PodRule, StaticRule, TemplateRule } from "./rule.ts";
import { serviceNames } from "./services.ts";
import type { Settings } from "./settings.ts";
import { parseMemberId, parseWorkloadId } from "./spec-check.ts";

/** What one rule is rendered with. */
export interface RenderInput {
  readonly rule: PodRule;
  readonly pod: PodObject;
  readonly node: KnownNode | undefined;
  readonly namespace: NamespaceObject;
  /** Names of the Services that the pod backs. */
  readonly services: () => readonly string[];
}

/** An entry, with a selector that is not true of the pod when there is one; or a failure that names the field. */
export type Rendered = (
  | { readonly entry: RegistrationEntry; readonly unmet: string | undefined }
  | { readonly entry: undefined; readonly failure: string }
) & {
  /** Whether it took more than `CHEAP_LIMITS`, so that many of its kind would hold up everybody else. */
  readonly costly: boolean;
};

class RenderError extends Error {}

/** Renders the parent ID that all entries of a node's pods have; a problem says why it has none. */
export function renderParentId(
  node: NodeObject,
  settings: Settings,
): { readonly parentId: string | undefined; readonly problem: string } {
  const field = { field: "the operator's parentIdTemplate", template: settings.parentId };
  try {
    const text = renderField(field, nodeData(node, settings));
    const parentId = parseAs(field, () => parseMemberId(text, settings.trustDomain));
    return { parentId, problem: "" };
  } catch (error) {
    return { parentId: undefined, problem: errorMessage(error) };
  }
}

/** Renders the entry that a rule gives to a pod it selects. Never throws: one pod must not stop another. */
export function renderEntry(input: RenderInput, settings: Settings): Rendered {
  const { rule, pod, node } = input;
  const nodeName = pod.spec.nodeName ?? "";
  if (rule.form === "static") {
    return { entry: staticEntry(rule, pod, nodeName), unmet: undefined, costly: false };
  }
  if (!node) return failed(`node ${JSON.stringify(nodeName)} is not known yet`);
  if (node.parentId === undefined) return failed(node.problem);
  const cost = { costly: false };
  try {
    const parent = { node, parentId: node.parentId };
    return { ...renderTemplates({ ...input, rule, cost }, parent, settings), ...cost };
  } catch (error) {
    return { ...failed(errorMessage(error)), ...cost };
  }
}

type TemplateInput = RenderInput & { readonly rule: TemplateRule; readonly cost: Cost };

/** Set by the rendering of any of an entry's templates. */
interface Cost {
  costly: boolean;
}

function renderTemplates(
  input: TemplateInput,
  { node, parentId }: { readonly node: KnownNode; readonly parentId: string },
  settings: Settings,
): { readonly entry: RegistrationEntry; readonly unmet: string | undefined } {
  const { rule, pod } = input;
  const data = podData(input, node.object, settings);
  const { selectors, unmet } = renderSelectors(input, data);
  const entry = createEntry({
    source: rule.source,
    podUid: pod.metadata.uid,
    nodeName: node.object.metadata.name,
    spiffeId: renderSpiffeId(input, data, settings),
    parentId,
    selectors,
    dnsNames: renderDnsNames(input, data, settings),
    ...rule.terms,
  });
  return { entry, unmet };
}

function staticEntry(rule: StaticRule, pod: PodObject, nodeName: string): RegistrationEntry {
  const { source, spiffeId, parentId, dnsNames, terms } = rule;
  const selectors = rule.selectors.map(({ text }) => parseSelector(text));
  const podUid = pod.metadata.uid;
  return createEntry({
    source,
    podUid,
    nodeName,
    spiffeId,
    parentId,
    selectors,
    dnsNames,
    ...terms,
  });
}

function failed(failure: string): Rendered {
  return { entry: undefined, failure, costly: false };
}

function nodeData(node: NodeObject, settings: Settings): TemplateData {
  return {
    TrustDomain: settings.trustDomain,
    ClusterName: settings.clusterName,
    ClusterDomain: settings.clusterDomain,
    NodeMeta: node.metadata,
    NodeSpec: node.spec ?? {},
  };
}

function podData(
  { pod, namespace }: RenderInput,
  node: NodeObject,
  settings: Settings,
): TemplateData {
  return {
    ...nodeData(node, settings),
    PodMeta: pod.metadata,
    PodSpec: pod.spec,
    NamespaceMeta: namespace.metadata,
    Owner: topOwner(pod.metadata),
    ServiceAccount: pod.spec.serviceAccountName ?? "",
  };
}

function renderField(
  { field, template }: FieldTemplate,
  data: TemplateData,
  cost: Cost = { costly: false },
): string {
  try {
    try {
      return template.render(data, CHEAP_LIMITS);
    } catch (error) {
      if (!isSignetError(error) || error.details["limit"] !== true) throw error;
      cost.costly = true;
      return template.render(data);
    }
  } catch (error) {
    throw new RenderError(`${field}: ${errorMessage(error)}`);
  }
}

function renderSpiffeId(
  { rule, cost }: TemplateInput,
  data: TemplateData,
  settings: Settings,
): string {
  const text = renderField(rule.spiffeId, data, cost);
  return parseAs(rule.spiffeId, () => parseWorkloadId(text, settings.trustDomain));
}

function parseAs({ field }: FieldTemplate, parse: () => SpiffeId): string {
  try {
    return parse().uri;
  } catch (error) {
    throw new RenderError(`${field}: ${errorMessage(error)}`);
  }
}

function renderDnsNames(input: TemplateInput, data: TemplateData, settings: Settings): string[] {
  const { rule, pod } = input;
  if (rule.dnsNames.length === 0 && !rule.autoPopulateDnsNames) return [];
  const names = new Set<string>();
  for (const template of rule.dnsNames) {
    const name = renderField(template, data, input.cost);
    const problem = dnsNameProblem(name);
    if (problem !== undefined) {
      throw new RenderError(`${template.field}: DNS name ${shorten(name)}: ${problem}`);
    }
    names.add(name);
  }
  if (rule.autoPopulateDnsNames) {
    const { namespace = "" } = pod.metadata;
    for (const name of serviceNames(input.services(), namespace, settings.clusterDomain)) {
      names.add(name);
    }
  }
  return checkNames([...names]);
}

function checkNames(names: string[]): string[] {
  if (names.length > MAX_DNS_NAMES) {
    throw new RenderError(
      `spec.autoPopulateDNSNames: the pod would have ${names.length} DNS names; at most ${MAX_DNS_NAMES} fit into a certificate that TLS stacks accept`,
    );
  }
  const overlap = wildcardOverlap(names);
  if (overlap !== undefined) throw new RenderError(`spec.dnsNameTemplates: ${overlap}`);
  return names;
}

/** Renders the selectors, and finds the first that is not true of the pod. */
function renderSelectors(
  { rule, pod, namespace, cost }: TemplateInput,
  data: TemplateData,
): { selectors: Selector[]; unmet: string | undefined } {
  const selectors: Selector[] = [{ type: "k8s", value: `pod-uid:${pod.metadata.uid}` }];
  let unmet: string | undefined;
  for (const template of rule.selectors) {
    const text = renderField(template, data, cost);
    try {
      const selector = parseSelector(text);
      const compiled = compilePodSelector(selector);
      if (compiled.problem !== undefined) throw new RenderError(compiled.problem);
      if (!compiled.test({ pod, namespace })) unmet ??= formatSelector(selector);
      selectors.push(selector);
    } catch (error) {
      throw new RenderError(`${template.field}: ${errorMessage(error)}`);
    }
  }
  return { selectors, unmet };
}

function shorten(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
