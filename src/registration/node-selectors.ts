import { formatSelector } from "../spiffe/selector.ts";
import type { Selector } from "../spiffe/selector.ts";
import type { NodeObject } from "./objects.ts";
import type { Settings } from "./settings.ts";

export type NodeTest = (node: NodeObject) => boolean;

export type NodeSelector =
  | { readonly test: NodeTest; readonly problem: undefined }
  /** Why no node could ever be known to have it. */
  | { readonly problem: string };

/** What is known of a node, in the spelling of SPIRE's k8s_psat node attestor; by what follows `name:`. */
const TESTS: Readonly<Record<string, (value: string, settings: Settings) => NodeTest>> = {
  cluster: constant(({ clusterName }) => clusterName),
  agent_ns: constant(({ agentNamespace }) => agentNamespace),
  agent_sa: constant(({ agentServiceAccount }) => agentServiceAccount),
  agent_node_name: (value) => (node) => node.metadata.name === value,
  agent_node_uid: (value) => (node) => node.metadata.uid === value,
  agent_node_ip: (value) => (node) =>
    node.status?.addresses?.some((a) => a.type === "InternalIP" && a.address === value) ?? false,
  agent_node_label: (text) => {
    const [key = "", ...rest] = text.split(":");
    const value = rest.join(":");
    return ({ metadata: { labels } }) =>
      labels !== undefined && Object.hasOwn(labels, key) && labels[key] === value;
  },
};

/** Selector names that can be decided of nodes, as they follow `k8s_psat:`. */
export const NODE_SELECTORS: readonly string[] = Object.keys(TESTS);

/** Prepares a node selector to be decided; a problem says why it never can be. */
export function compileNodeSelector(selector: Selector, settings: Settings): NodeSelector {
  const { type, value } = selector;
  const text = JSON.stringify(formatSelector(selector));
  if (type !== "k8s_psat") {
    return { problem: `${text}: nodes have selectors of type "k8s_psat" only` };
  }
  const name = value.split(":", 1)[0] ?? "";
  const test = Object.hasOwn(TESTS, name) ? TESTS[name] : undefined;
  if (test !== undefined) {
    const rest = value.slice(name.length + 1);
    if (rest === "") return { problem: `${text} needs a value after it` };
    if (name === "agent_node_label" && !/^[^:]+:/.test(rest)) {
      const form = "k8s_psat:agent_node_label:<key>:<value>";
      return { problem: `${text} needs a key and a value: ${form}` };
    }
    return { problem: undefined, test: test(rest, settings) };
  }
  const why = name.startsWith("agent_pod_")
    ? "cannot be decided: the agent's own pod changes with every update of the agent; use agent_node_name or agent_node_label"
    : `is not a selector that is known; use one of ${NODE_SELECTORS.join(", ")}`;
  return { problem: `${text} ${why}` };
}

function constant(of: (settings: Settings) => string): (value: string, s: Settings) => NodeTest {
  return (value, settings) => () => of(settings) === value;
}
