import type { Cluster } from "./cluster.ts";

/** Parts of a node that can be killed and restarted. */
export type Component = "kubelet" | "containerd" | "kube-proxy";

/** A pod's container; the first one where `container` is left out. */
export interface ContainerTarget {
  readonly namespace: string;
  readonly pod: string;
  readonly container?: string;
  /** Name of the signal; `SIGKILL` where it is left out. */
  readonly signal?: string;
}

/** Ends a component with SIGKILL; what supervises it starts it again. */
export async function killComponent(
  cluster: Cluster,
  node: string,
  component: Component,
): Promise<void> {
  const argv =
    component === "kube-proxy"
      ? ["pkill", "-KILL", "-x", component]
      : ["systemctl", "kill", "--signal=KILL", "--kill-who=main", component];
  await succeed(cluster, node, argv);
}

/** Restarts a component in an orderly way. */
export async function restartComponent(
  cluster: Cluster,
  node: string,
  component: Component,
): Promise<void> {
  const argv =
    component === "kube-proxy"
      ? ["pkill", "-TERM", "-x", component]
      : ["systemctl", "restart", component];
  await succeed(cluster, node, argv);
}

/** Signals the first process of a pod's container on its node, found by the id in the pod's status. */
export async function signalContainer(cluster: Cluster, target: ContainerTarget): Promise<void> {
  const { namespace, pod, container, signal = "SIGKILL" } = target;
  const json = await cluster.kubectl(["get", "pod", "-n", namespace, pod, "-o", "json"]);
  const found = runningContainer(json, container);
  if (found === undefined) {
    throw new Error(`pod ${namespace}/${pod} has no running container ${container ?? ""}`);
  }
  const argv = ["ctr", "-n", "k8s.io", "tasks", "kill", "--signal", signal, found.id];
  await succeed(cluster, found.node, argv);
}

/** The node and the runtime's id of a pod's running container, from `kubectl get pod -o json`. */
export function runningContainer(
  json: string,
  container?: string,
): { readonly node: string; readonly id: string } | undefined {
  const pod = JSON.parse(json) as PodObject;
  const statuses = pod.status.containerStatuses ?? [];
  const status = statuses.find(({ name }) => container === undefined || name === container);
  const id = status?.state?.running === undefined ? undefined : status.containerID;
  const node = pod.spec.nodeName;
  if (id === undefined || node === undefined) return undefined;
  return { node, id: id.replace(/^\w+:\/\//, "") };
}

interface PodObject {
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly containerID?: string;
      readonly state?: { readonly running?: object };
    }[];
  };
}

async function succeed(cluster: Cluster, node: string, argv: readonly string[]): Promise<void> {
  const result = await cluster.onNode(node, argv);
  if (result.code !== 0) {
    throw new Error(`${node}: ${argv.join(" ")}: exit code ${result.code}\n${result.stderr}`);
  }
}
