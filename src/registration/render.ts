import { errorMessage } from "../core/errors.ts";
import { isMemberOf, parseSpiffeId } from "../spiffe/id.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import { isReserved } from "../spiffe/reserved.ts";
import { formatSelector, parseSelector } from "../spiffe/selector.ts";
import type { Selector } from "../spiffe/selector.ts";
import type { TemplateData } from "../template/template.ts";
import { dnsNameProblem, wildcardOverlap } from "./dns-name.ts";
import { createEntry } from "./entry.ts";
import type { RegistrationEntry } from "./entry.ts";
import type { NamespaceObject, NodeObject, PodObject } from "./objects.ts";
import { selectorsOfPod, undecidable } from "./pod-selectors.ts";
import type { FieldTemplate, ValidRule } from "./rule.ts";
import type { Settings } from "./settings.ts";

/** A node and the parent ID that all entries of its pods have, or why it has none. */
export interface RenderedNode {
  readonly object: NodeObject;
  readonly parentId: string | undefined;
  readonly problem: string;
}

/** What one rule is rendered with. */
export interface RenderInput {
  readonly rule: ValidRule;
  readonly pod: PodObject;
  readonly node: RenderedNode | undefined;
  readonly namespace: NamespaceObject;
}

/** An entry, with a selector that is not true of the pod when there is one; or a failure that names the field. */
export type Rendered =
  | { readonly entry: RegistrationEntry; readonly unmet: string | undefined }
  | { readonly entry: undefined; readonly failure: string };

class RenderError extends Error {}

/** Renders what depends on the node alone. */
export function renderNode(object: NodeObject, settings: Settings): RenderedNode {
  const field = { field: "the operator's parentIdTemplate", template: settings.parentId };
  try {
    const parentId = renderSpiffeId(field, nodeData(object, settings), settings);
    return { object, parentId, problem: "" };
  } catch (error) {
    return { object, parentId: undefined, problem: errorMessage(error) };
  }
}

/** Renders the entry that a rule gives to a pod it selects. Never throws: one pod must not stop another. */
export function renderEntry(input: RenderInput, settings: Settings): Rendered {
  const { rule, pod, node } = input;
  const nodeName = pod.spec.nodeName ?? "";
  if (!node) return failed(`node ${JSON.stringify(nodeName)} is not known yet`);
  if (node.parentId === undefined) return failed(node.problem);
  try {
    const data = podData(pod, node.object, settings);
    const selectors = renderSelectors(input, data);
    const entry = createEntry({
      source: rule.source,
      podUid: pod.metadata.uid,
      nodeName,
      spiffeId: renderSpiffeId(rule.spiffeId, data, settings),
      parentId: node.parentId,
      selectors,
      x509SvidTtl: rule.x509SvidTtl,
      jwtSvidTtl: rule.jwtSvidTtl,
      dnsNames: renderDnsNames(rule.dnsNames, data),
      federatesWith: rule.federatesWith,
      admin: rule.admin,
      downstream: rule.downstream,
      hint: rule.hint,
    });
    return { entry, unmet: firstUnmet(input, selectors) };
  } catch (error) {
    return failed(errorMessage(error));
  }
}

function failed(failure: string): Rendered {
  return { entry: undefined, failure };
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

function podData(pod: PodObject, node: NodeObject, settings: Settings): TemplateData {
  return { ...nodeData(node, settings), PodMeta: pod.metadata, PodSpec: pod.spec };
}

function renderField({ field, template }: FieldTemplate, data: TemplateData): string {
  try {
    return template.render(data);
  } catch (error) {
    throw new RenderError(`${field}: ${errorMessage(error)}`);
  }
}

function renderSpiffeId(template: FieldTemplate, data: TemplateData, settings: Settings): string {
  const text = renderField(template, data);
  try {
    const id = parseSpiffeId(text);
    const problem = spiffeIdProblem(id, settings);
    if (problem === undefined) return id.uri;
    throw new RenderError(problem);
  } catch (error) {
    throw new RenderError(`${template.field}: ${errorMessage(error)}`);
  }
}

function spiffeIdProblem(id: SpiffeId, { trustDomain }: Settings): string | undefined {
  const text = JSON.stringify(id.uri);
  if (id.path === "") return `a workload's SPIFFE ID needs a path: ${text}`;
  if (!isMemberOf(id, trustDomain)) {
    return `${text} is not in the trust domain ${JSON.stringify(trustDomain)}`;
  }
  return isReserved(id) ? `${text} is reserved: IDs below /signet are Signet's own` : undefined;
}

function renderDnsNames(templates: readonly FieldTemplate[], data: TemplateData): string[] {
  if (templates.length === 0) return [];
  const names = new Set<string>();
  for (const template of templates) {
    const name = renderField(template, data);
    const problem = dnsNameProblem(name);
    if (problem !== undefined) {
      throw new RenderError(`${template.field}: DNS name ${shorten(name)}: ${problem}`);
    }
    names.add(name);
  }
  const list = [...names];
  const overlap = wildcardOverlap(list);
  if (overlap !== undefined) throw new RenderError(`spec.dnsNameTemplates: ${overlap}`);
  return list;
}

function renderSelectors({ rule, pod }: RenderInput, data: TemplateData): Selector[] {
  const selectors: Selector[] = [{ type: "k8s", value: `pod-uid:${pod.metadata.uid}` }];
  for (const template of rule.selectors) {
    const text = renderField(template, data);
    try {
      const selector = parseSelector(text);
      const problem = undecidable(selector);
      if (problem !== undefined) throw new RenderError(problem);
      selectors.push(selector);
    } catch (error) {
      throw new RenderError(`${template.field}: ${errorMessage(error)}`);
    }
  }
  return selectors;
}

function firstUnmet(
  { rule, pod, namespace }: RenderInput,
  selectors: readonly Selector[],
): string | undefined {
  if (rule.selectors.length === 0) return undefined;
  const known = selectorsOfPod(pod, namespace);
  return selectors.map(formatSelector).find((selector) => !known.has(selector));
}

function shorten(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
