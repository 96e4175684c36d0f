import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { World } from "./world.ts";

const folder = join(import.meta.dirname, "manifests");

/** Reads a manifest of `manifests/` with the names of this cluster's nodes and of the workloads' image. */
export async function manifest({ cluster, images }: World, name: string): Promise<string> {
  const [a = "", b = ""] = cluster.workers;
  const text = await readFile(join(folder, `${name}.yaml`), "utf8");
  return text
    .replaceAll("NODE_A", a)
    .replaceAll("NODE_B", b)
    .replaceAll("WORKLOAD_IMAGE", images.workload);
}

/** Applies manifests one after the other as users do; returns what kubectl said. */
export async function applyManifests(world: World, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    await world.cluster.kubectl(["apply", "-f", "-"], { input: await manifest(world, name) });
  }
}

/** Deletes what the manifests hold, without waiting for it to be gone. */
export async function deleteManifests(world: World, ...names: readonly string[]): Promise<void> {
  const args = ["delete", "--ignore-not-found", "--wait=false", "-f", "-"];
  for (const name of names) {
    await world.cluster.kubectl(args, { input: await manifest(world, name) });
  }
}
