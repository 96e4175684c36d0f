import type { TestProject } from "vitest/node";
import { attachCluster, upCluster } from "./cluster/cluster.ts";
import type { Cluster } from "./cluster/cluster.ts";
import { waitFor } from "./cluster/exec.ts";
import { loadTestImages } from "./images.ts";
import type { TestImages } from "./images.ts";
import { installSignet, uninstallSignet } from "./install.ts";
import { buildPlugin } from "./plugin-folder.ts";

declare module "vitest" {
  interface ProvidedContext {
    clusterName: string;
    images: TestImages;
    /** Folder that holds `kubectl-signet`. */
    pluginFolder: string;
  }
}

/**
 * Before the suite: a cluster, the images of this checkout, a fresh install of the chart. A cluster that was
 * running before stays as it was found; one that was made here is taken down again.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const clusterName = process.env["SIGNET_CLUSTER"] ?? "signet";
  const found = await attachCluster(clusterName);
  const cluster = await upCluster({ name: clusterName, log });
  const images = await loadTestImages(cluster, log);
  const plugin = await buildPlugin();
  log("installing the chart");
  await installSignet(cluster, images);
  log("installed");
  project.provide("clusterName", clusterName);
  project.provide("images", images);
  project.provide("pluginFolder", plugin.path);
  return async () => {
    await plugin.remove();
    if (found === undefined) return cluster.down();
    // Pods with a volume need the agents to end.
    await endingNamespaces(cluster);
    await uninstallSignet(cluster);
  };
}

/** Waits for the namespaces that test files deleted. */
async function endingNamespaces(cluster: Cluster): Promise<void> {
  await waitFor("deleted namespaces to be gone", 120_000, async () => {
    const phases = ["get", "namespaces", "-o", "jsonpath={.items[*].status.phase}"];
    return (await cluster.kubectl(phases)).includes("Terminating") ? undefined : true;
  });
}

function log(line: string): void {
  console.log(`e2e: ${line}`);
}
