import type { ClusterState, PodState } from "./cluster-state.ts";
import type { KnownNode } from "./node-book.ts";
import type { SelectorFacts } from "./pod-selectors.ts";
import type { PodRule, StaticRule } from "./rule.ts";
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
  for (const [name, namespace] of cluster.namespaces) {
    if (!rule.namespaceSelector.matches(namespace.metadata.labels)) continue;
    for (const state of cluster.podsInNamespace(name)) {
      if (rule.podSelector.matches(state.pod.metadata.labels)) yield state;
    }
  }
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
