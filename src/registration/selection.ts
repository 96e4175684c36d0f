import type { ClusterState, PodState } from "./cluster-state.ts";
import type { KnownNode } from "./node-book.ts";
import type { SelectorFacts } from "./pod-selectors.ts";
import type { PodRule, StaticRule, TemplateRule } from "./rule.ts";
import { appliesTo, searchPlace } from "./static-table.ts";

/** Tells whether a rule selects a pod, its namespace being one that is not ignored. */
export function selectsPod(
  rule: PodRule,
  facts: SelectorFacts & { readonly node: KnownNode | undefined },
): boolean {
  if (rule.form === "static") return appliesTo(rule, facts, facts.node);
  return (
    rule.podSelector.matches(facts.pod.metadata.labels) &&
    rule.namespaceSelector.matches(facts.namespace.metadata.labels)
  );
}

/** All pods that a rule selects, those in ignored namespaces included. */
export function* podsSelectedBy(rule: PodRule, cluster: ClusterState): Generator<PodState> {
  if (rule.form === "static") {
    yield* podsOfStatic(rule, cluster);
    return;
  }
  const namespaces = namespacesOf(rule, cluster);
  const inThem = [...namespaces].map((name) => cluster.podsInNamespace(name));
  const { anchor } = rule.podSelector;
  const labelled = anchor && cluster.podsLabelled(anchor);
  const fewest = labelled && sizeOf(labelled) < sizeOf(inThem) ? labelled : inThem;
  for (const states of fewest) {
    for (const state of states) {
      const { namespace = "", labels } = state.pod.metadata;
      if (namespaces.has(namespace) && rule.podSelector.matches(labels)) yield state;
    }
  }
}

function namespacesOf(rule: TemplateRule, cluster: ClusterState): ReadonlySet<string> {
  const selected = [...cluster.namespaces].filter(([, { metadata }]) =>
    rule.namespaceSelector.matches(metadata.labels),
  );
  return new Set(selected.map(([name]) => name));
}

function sizeOf(sets: readonly ReadonlySet<PodState>[]): number {
  return sets.reduce((sum, { size }) => sum + size, 0);
}

function* podsOfStatic(rule: StaticRule, cluster: ClusterState): Generator<PodState> {
  for (const state of candidates(rule, cluster)) {
    const { pod } = state;
    const namespace = cluster.namespaces.get(pod.metadata.namespace ?? "");
    const node = cluster.nodes.get(pod.spec.nodeName ?? "");
    if (namespace && appliesTo(rule, { pod, namespace }, node)) yield state;
  }
}

function candidates(rule: StaticRule, cluster: ClusterState): Iterable<PodState> {
  const place = searchPlace(rule);
  if (place === undefined) return cluster.pods.values();
  if ("namespace" in place) return cluster.podsInNamespace(place.namespace);
  const state = cluster.pods.get(place.podUid);
  return state && !state.gone ? [state] : [];
}
