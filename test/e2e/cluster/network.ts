import { podSubnet } from "./config.ts";
import { docker } from "./docker.ts";
import type { Engine } from "./engine.ts";

/** A node as its object in the API tells it. */
export interface NodeAddress {
  readonly name: string;
  readonly address: string;
  readonly podRange: string;
}

/** Reads the nodes' addresses from `kubectl get nodes -o json`; undefined while one lacks its pod range. */
export function nodeAddresses(json: string): NodeAddress[] | undefined {
  const list = JSON.parse(json) as { items: NodeObject[] };
  const nodes = list.items.map((item) => ({
    name: item.metadata.name,
    address: item.status.addresses?.find(({ type }) => type === "InternalIP")?.address ?? "",
    podRange: item.spec.podCIDR ?? "",
  }));
  return nodes.every((node) => node.address !== "" && node.podRange !== "") ? nodes : undefined;
}

/** Gives every node a bridge for its pods and routes to the pods of the others; may be repeated. */
export async function connectPods(engine: Engine, nodes: readonly NodeAddress[]): Promise<void> {
  await Promise.all(
    nodes.map((node) => {
      const script = connectScript(node, nodes);
      return docker(engine, ["exec", "-i", node.name, "sh", "-eu"], { input: script });
    }),
  );
}

/** The shell script that connects one node: network file, routes, and one NAT rule for what leaves the cluster. */
export function connectScript(node: NodeAddress, nodes: readonly NodeAddress[]): string {
  const others = nodes.filter(({ name }) => name !== node.name);
  const rule = `POSTROUTING -s ${node.podRange} ! -d ${podSubnet} -j MASQUERADE`;
  return [
    "cat >/etc/cni/net.d/.10-signet.tmp <<'END'",
    networkFile(node.podRange),
    "END",
    "mv /etc/cni/net.d/.10-signet.tmp /etc/cni/net.d/10-signet.conflist",
    ...others.map(({ podRange, address }) => `ip route replace ${podRange} via ${address}`),
    `iptables -t nat -C ${rule} 2>/dev/null || iptables -t nat -A ${rule}`,
    "",
  ].join("\n");
}

interface NodeObject {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly podCIDR?: string };
  readonly status: { readonly addresses?: readonly { type: string; address: string }[] };
}

function networkFile(podRange: string): string {
  const bridge = {
    type: "bridge",
    bridge: "pods0",
    isGateway: true,
    ipMasq: false,
    hairpinMode: true,
    ipam: {
      type: "host-local",
      ranges: [[{ subnet: podRange }]],
      routes: [{ dst: "0.0.0.0/0" }],
    },
  };
  const ports = { type: "portmap", capabilities: { portMappings: true } };
  return JSON.stringify({ cniVersion: "0.4.0", name: "pods", plugins: [bridge, ports] });
}
