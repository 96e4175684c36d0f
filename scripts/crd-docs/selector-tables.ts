import { NODE_SELECTORS, compileNodeSelector } from "../../src/registration/node-selectors.ts";
import { POD_SELECTORS, compilePodSelector } from "../../src/registration/pod-selectors.ts";
import { compileSettings } from "../../src/registration/settings.ts";
import { parseSelector } from "../../src/spiffe/selector.ts";
import { SETTINGS } from "./example-cluster.ts";
import { code, table } from "./markdown.ts";

/** What follows the name of a selector, and when it is true. */
type Meaning = readonly [value: string, trueWhen: string];

const POD_MEANINGS: Readonly<Record<string, Meaning>> = {
  ns: ["namespace", "the pod is in the namespace"],
  sa: ["name", "the pod runs as the service account"],
  "node-name": ["name", "the pod is on the node"],
  "pod-uid": ["UID", "the pod has the UID; every entry of a ClusterSPIFFEID has this one"],
  "pod-name": ["name", "the pod has the name"],
  "pod-label": ["key:value", "the pod has the label"],
  "pod-owner": ["Kind:name", "the pod's direct owner is that: a ReplicaSet, not its Deployment"],
  "pod-owner-uid": ["Kind:UID", "the same by UID"],
  "pod-image": [
    "image",
    "a container has the image: as the pod's spec names it or, once it runs, as the container runtime does, by tag or digest",
  ],
  "pod-init-image": ["image", "an init container has the image"],
  "pod-image-count": ["number", "the pod has that many containers"],
  "pod-init-image-count": ["number", "the pod has that many init containers"],
  "ns-label": [
    "key:value",
    "the pod's namespace has the label; known without a switch, unlike in SPIRE",
  ],
};

const NODE_MEANINGS: Readonly<Record<string, Meaning>> = {
  cluster: ["name", "it is the chart's `clusterName`"],
  agent_ns: ["namespace", "Signet is installed in the namespace"],
  agent_sa: ["name", "Signet's agents run as the service account"],
  agent_node_name: ["name", "the node has the name"],
  agent_node_uid: ["UID", "the node has the UID"],
  agent_node_ip: ["address", "it is one of the node's internal addresses"],
  agent_node_label: ["key:value", "the node has the label; every label is known, unlike in SPIRE"],
};

/** Selectors that people bring along and that no pod could ever have. */
const REFUSED_OF_PODS = [
  "k8s:container-name:app",
  "k8s:container-image:registry.example/till:1.4",
  "k8s:image-signature-subject:release@example.org",
  "k8s:pod-annotation:a:b",
  "unix:uid:1000",
  "docker:label:app:till",
];

const REFUSED_OF_NODES = [
  "k8s_psat:agent_pod_name:signet-agent-x7k2p",
  "k8s_psat:agent_pod_label:app:agent",
  "aws_iid:account:1234",
];

export function podSelectorTable(): string {
  return selectorTable("k8s", POD_SELECTORS, POD_MEANINGS);
}

export function nodeSelectorTable(): string {
  return selectorTable("k8s_psat", NODE_SELECTORS, NODE_MEANINGS);
}

/** What is refused, with the reason that whoever applies it hears. */
export function refusedTable(of: "pods" | "both"): string {
  const settings = compileSettings(SETTINGS);
  const rows = REFUSED_OF_PODS.map((text) => [
    code(text),
    problemOf(text, compilePodSelector(parseSelector(text)).problem),
  ]);
  const nodeRows = REFUSED_OF_NODES.map((text) => [
    code(text),
    problemOf(text, compileNodeSelector(parseSelector(text), settings).problem),
  ]);
  return table(["selector", "refused with"], of === "both" ? [...rows, ...nodeRows] : rows);
}

function selectorTable(
  type: string,
  names: readonly string[],
  meanings: Readonly<Record<string, Meaning>>,
): string {
  const rows = names.map((name) => {
    const known = meanings[name];
    if (!known) throw new Error(`selector-tables.ts does not say what ${type}:${name} is`);
    const [value, trueWhen] = known;
    return [code(`${type}:${name}:<${value.replace(":", ">:<")}>`), trueWhen];
  });
  return table(["selector", "true when"], rows);
}

function problemOf(text: string, problem: string | undefined): string {
  if (problem === undefined) throw new Error(`selector-tables.ts: ${text} is not refused`);
  return problem;
}
