import type { KnownNode } from "./node-book.ts";
import { isParent } from "./node-book.ts";
import type { PodObject } from "./objects.ts";
import type { SelectorFacts } from "./pod-selectors.ts";
import type { StaticRule } from "./rule.ts";

/** Selectors that few pods share, the rarest first: a rule is filed under one of those it has. */
const ANCHORS = ["pod-uid", "pod-name", "pod-owner-uid", "pod-owner", "sa", "pod-label", "ns"];

/** Tells whether a static entry applies to a pod on a node: parent and all selectors agree. */
export function appliesTo(
  rule: StaticRule,
  facts: SelectorFacts,
  node: KnownNode | undefined,
): boolean {
  if (node === undefined || !isParent(node, rule.parentId)) return false;
  return rule.selectors.every(({ test }) => test(facts));
}

/** The valid static entries, arranged so that a pod finds those that apply without asking all of them. */
export class StaticTable {
  /** selector → rules that can only apply to pods that have it */
  readonly #byAnchor = new Map<string, Set<StaticRule>>();
  readonly #always = new Set<StaticRule>();

  add(rule: StaticRule): void {
    const anchor = anchorOf(rule);
    if (anchor === undefined) {
      this.#always.add(rule);
      return;
    }
    const place = this.#byAnchor.get(anchor) ?? new Set();
    this.#byAnchor.set(anchor, place.add(rule));
  }

  remove(rule: StaticRule): void {
    this.#always.delete(rule);
    const anchor = anchorOf(rule);
    if (anchor === undefined) return;
    const place = this.#byAnchor.get(anchor);
    place?.delete(rule);
    if (place?.size === 0) this.#byAnchor.delete(anchor);
  }

  /** The rules that apply to a pod, unsorted. */
  matching(facts: SelectorFacts, node: KnownNode | undefined): StaticRule[] {
    if (node === undefined) return [];
    const found: StaticRule[] = [];
    const take = (rules: Iterable<StaticRule>): void => {
      for (const rule of rules) if (appliesTo(rule, facts, node)) found.push(rule);
    };
    take(this.#always);
    if (this.#byAnchor.size === 0) return found;
    // Two owners may have the same kind and name.
    for (const text of new Set(anchorsOfPod(facts.pod))) take(this.#byAnchor.get(text) ?? []);
    return found;
  }
}

/** Where the pods that a static entry can apply to are found; undefined when anywhere. */
export function searchPlace(
  rule: StaticRule,
): { readonly podUid: string } | { readonly namespace: string } | undefined {
  for (const { text } of rule.selectors) {
    if (text.startsWith("k8s:pod-uid:")) return { podUid: text.slice("k8s:pod-uid:".length) };
  }
  for (const { text } of rule.selectors) {
    if (text.startsWith("k8s:ns:")) return { namespace: text.slice("k8s:ns:".length) };
  }
  return undefined;
}

function anchorOf(rule: StaticRule): string | undefined {
  for (const name of ANCHORS) {
    const found = rule.selectors.find(({ text }) => text.startsWith(`k8s:${name}:`));
    if (found) return found.text;
  }
  return undefined;
}

function* anchorsOfPod({ metadata, spec }: PodObject): Generator<string> {
  yield `k8s:pod-uid:${metadata.uid}`;
  yield `k8s:pod-name:${metadata.name}`;
  for (const { kind, name, uid } of metadata.ownerReferences ?? []) {
    yield `k8s:pod-owner-uid:${kind}:${uid}`;
    yield `k8s:pod-owner:${kind}:${name}`;
  }
  yield `k8s:sa:${spec.serviceAccountName ?? ""}`;
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    yield `k8s:pod-label:${key}:${value}`;
  }
  yield `k8s:ns:${metadata.namespace ?? ""}`;
}
