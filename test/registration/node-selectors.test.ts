import { describe, expect, it } from "vitest";
import { NODE_SELECTORS, compileNodeSelector } from "../../src/registration/node-selectors.ts";
import { compileSettings } from "../../src/registration/settings.ts";
import { parseSelector } from "../../src/spiffe/selector.ts";
import { OPTIONS } from "./universe.ts";

const SETTINGS = compileSettings({
  ...OPTIONS,
  agentNamespace: "signet-system",
  agentServiceAccount: "signet-agent",
});

const NODE = {
  metadata: {
    name: "node-1",
    uid: "node-uid",
    labels: { zone: "east", "topology.kubernetes.io/zone": "eu-1a", none: "", valueOf: "v" },
  },
  spec: {},
  status: {
    addresses: [
      { type: "Hostname", address: "node-1" },
      { type: "InternalIP", address: "10.1.2.3" },
      { type: "InternalIP", address: "fd00::1" },
      { type: "ExternalIP", address: "198.51.100.7" },
    ],
  },
};

function decide(text: string, node: object = NODE, settings = SETTINGS): boolean | string {
  const compiled = compileNodeSelector(parseSelector(text), settings);
  return compiled.problem ?? compiled.test(node as typeof NODE);
}

describe("a selector of a node", () => {
  it.each([
    "k8s_psat:cluster:demo",
    "k8s_psat:agent_ns:signet-system",
    "k8s_psat:agent_sa:signet-agent",
    "k8s_psat:agent_node_name:node-1",
    "k8s_psat:agent_node_uid:node-uid",
    "k8s_psat:agent_node_ip:10.1.2.3",
    "k8s_psat:agent_node_ip:fd00::1",
    "k8s_psat:agent_node_label:zone:east",
    "k8s_psat:agent_node_label:topology.kubernetes.io/zone:eu-1a",
    "k8s_psat:agent_node_label:none:",
    "k8s_psat:agent_node_label:valueOf:v",
  ])("%s is true of the one it describes", (text) => {
    expect(decide(text)).toBe(true);
  });

  it.each([
    "k8s_psat:cluster:other",
    "k8s_psat:agent_ns:spire",
    "k8s_psat:agent_sa:spire-agent",
    "k8s_psat:agent_node_name:node-2",
    "k8s_psat:agent_node_uid:node-1",
    "k8s_psat:agent_node_ip:198.51.100.7",
    "k8s_psat:agent_node_ip:node-1",
    "k8s_psat:agent_node_label:zone:west",
    "k8s_psat:agent_node_label:zone:",
    "k8s_psat:agent_node_label:toString:x",
    "k8s_psat:agent_node_label:missing:",
  ])("%s is not true of another", (text) => {
    expect(decide(text)).toBe(false);
  });

  it("is not true of a node without labels and addresses", () => {
    const bare = { metadata: { name: "n", uid: "u" } };
    expect(decide("k8s_psat:agent_node_label:zone:east", bare)).toBe(false);
    expect(decide("k8s_psat:agent_node_ip:10.1.2.3", bare)).toBe(false);
  });

  it("about the agent's account is not true while the operator does not know it", () => {
    const unknown = compileSettings(OPTIONS);
    expect(decide("k8s_psat:agent_ns:signet-system", NODE, unknown)).toBe(false);
    expect(decide("k8s_psat:agent_sa:signet-agent", NODE, unknown)).toBe(false);
  });
});

describe("a selector that no node can be known to have is refused", () => {
  it.each([
    ["k8s:ns:shop", '"k8s:ns:shop": nodes have selectors of type "k8s_psat" only'],
    [
      "k8s_sat:cluster:demo",
      '"k8s_sat:cluster:demo": nodes have selectors of type "k8s_psat" only',
    ],
    ...["agent_pod_name:a", "agent_pod_uid:a", "agent_pod_label:a:b"].map(
      (value): [string, string] => [
        `k8s_psat:${value}`,
        `"k8s_psat:${value}" cannot be decided: the agent's own pod changes with every update of the agent; use agent_node_name or agent_node_label`,
      ],
    ),
    [
      "k8s_psat:node_name:a",
      `"k8s_psat:node_name:a" is not a selector that is known; use one of ${NODE_SELECTORS.join(", ")}`,
    ],
    [
      "k8s_psat:constructor:a",
      `"k8s_psat:constructor:a" is not a selector that is known; use one of ${NODE_SELECTORS.join(", ")}`,
    ],
  ])("%s", (text, problem) => {
    expect(decide(text)).toBe(problem);
  });

  it.each(NODE_SELECTORS)("k8s_psat:%s without a value", (name) => {
    const unknown = compileSettings(OPTIONS);
    expect(decide(`k8s_psat:${name}`, NODE, unknown)).toBe(
      `"k8s_psat:${name}" needs a value after it`,
    );
    expect(decide(`k8s_psat:${name}:`, NODE, unknown)).toBe(
      `"k8s_psat:${name}:" needs a value after it`,
    );
  });

  it("k8s_psat:agent_node_label without key or value", () => {
    for (const text of ["k8s_psat:agent_node_label:zone", "k8s_psat:agent_node_label::east"]) {
      expect(decide(text)).toBe(
        `"${text}" needs a key and a value: k8s_psat:agent_node_label:<key>:<value>`,
      );
    }
  });
});
