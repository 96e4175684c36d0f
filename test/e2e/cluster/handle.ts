import { join } from "node:path";
import type { Cluster } from "./cluster.ts";
import { docker, tryDocker } from "./docker.ts";
import { must, run, waitFor } from "./exec.ts";
import type { ExecOptions } from "./exec.ts";
import { killComponent, restartComponent, signalContainer } from "./faults.ts";
import { loadImages } from "./images.ts";
import { connectPods, nodeAddresses } from "./network.ts";
import { clusterFolder } from "./record.ts";
import type { ClusterRecord } from "./record.ts";
import type { Workshop } from "./steps.ts";

/** Makes the interface of a cluster out of its record; `down` is given because it needs the whole harness. */
export function clusterHandle(
  shop: Workshop,
  record: ClusterRecord,
  down: () => Promise<void>,
): Cluster {
  const folder = clusterFolder(shop, record.name);
  const { engine, kubectl, helm } = record.tools;
  const [controlPlane = "", ...workers] = record.nodes;
  const kubeconfig = join(folder, "kubeconfig");
  const cacheFlag = `--cache-dir=${join(folder, "kubectl-cache")}`;
  const kubectlArgv = (args: readonly string[]): string[] => {
    return [kubectl, `--kubeconfig=${kubeconfig}`, cacheFlag, ...args];
  };
  const helmEnv = {
    KUBECONFIG: kubeconfig,
    HELM_CACHE_HOME: join(folder, "helm"),
    HELM_CONFIG_HOME: join(folder, "helm"),
    HELM_DATA_HOME: join(folder, "helm"),
  };
  const withHelm = (options: ExecOptions): ExecOptions => {
    return { ...options, env: { ...helmEnv, ...options.env } };
  };
  const cluster: Cluster = {
    name: record.name,
    kubeconfig,
    controlPlane,
    workers,
    kubectlPath: kubectl,
    helmPath: helm,
    engineEnv: engine.env,
    kubectl: (args, options = {}) => must(kubectlArgv(args), options),
    tryKubectl: (args, options = {}) => run(kubectlArgv(args), options),
    helm: (args, options = {}) => must([helm, ...args], withHelm(options)),
    onNode: (node, argv, options = {}) => {
      const { env = {}, ...rest } = options;
      const variables = Object.entries(env).map(([name, value]) => `--env=${name}=${value}`);
      const input = options.input === undefined ? [] : ["-i"];
      return tryDocker(engine, ["exec", ...input, ...variables, node, ...argv], rest);
    },
    loadImage: (...references) => {
      return loadImages(
        engine,
        { nodes: record.nodes, shared: join(folder, "images") },
        references,
      );
    },
    kill: (node, component) => killComponent(cluster, node, component),
    restart: (node, component) => restartComponent(cluster, node, component),
    async reboot(node) {
      await docker(engine, ["restart", "--time", "1", node]);
      // What connects the pods of a node made here does not outlive it.
      if (!record.tools.made) return;
      const nodes = await waitFor("the nodes' pod ranges", 60_000, async () =>
        nodeAddresses(await cluster.kubectl(["get", "nodes", "-o", "json"])),
      );
      await connectPods(engine, nodes);
    },
    killContainer: (target) => signalContainer(cluster, target),
    down,
  };
  return cluster;
}
