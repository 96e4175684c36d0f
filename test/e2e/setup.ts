import type { TestProject } from "vitest/node";
import { attachCluster, upCluster } from "./cluster/cluster.ts";
import { loadImages } from "./images.ts";
import type { Images } from "./images.ts";
import { installSignet, uninstallSignet } from "./install.ts";

declare module "vitest" {
  interface ProvidedContext {
    clusterName: string;
    images: Images;
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
  const images = await loadImages(cluster, log);
  log("installing the chart");
  await installSignet(cluster, images);
  log("installed");
  project.provide("clusterName", clusterName);
  project.provide("images", images);
  return async () => {
    if (found === undefined) return cluster.down();
    await uninstallSignet(cluster);
  };
}

function log(line: string): void {
  console.log(`e2e: ${line}`);
}
