import { idOf, parentOf, selectorsOf } from "./model.ts";
import type { Model, ModelNode, ModelStatic } from "./model.ts";

/** The IDs of a node by itself and by alias; none while it is unknown. */
export function nodeIds(model: Model, name: string): string[] {
  const node = model.nodes.get(name);
  if (!node) return [];
  const aliases = aliasesOf(model).filter((s) => matchesNode(s, node));
  return [parentOf(node.uid), ...aliases.map((s) => idOf(s.spiffeId))];
}

export function aliasesOf(model: Model): ModelStatic[] {
  return [...model.statics.values()].filter(
    (s) => s.parent === "server" && !s.foreign && !s.invalid,
  );
}

export function matchesNode(s: ModelStatic, { name, uid, zone }: ModelNode): boolean {
  const facts = new Set([
    "k8s_psat:cluster:demo",
    `k8s_psat:agent_node_name:${name}`,
    `k8s_psat:agent_node_uid:${uid}`,
    `k8s_psat:agent_node_label:zone:${zone}`,
  ]);
  return selectorsOf(s).every((selector) => facts.has(selector));
}
