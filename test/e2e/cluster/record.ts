import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Workshop } from "./steps.ts";
import type { Tools } from "./preparation.ts";

/** What is kept of a created cluster, so that other programs find it. */
export interface ClusterRecord {
  readonly name: string;
  readonly nodes: readonly string[];
  readonly tools: Tools;
  /** Key of everything that would need a new cluster where it changes. */
  readonly key: string;
}

/** The folder of a cluster's kubeconfig and of the images on their way to its nodes. */
export function clusterFolder(shop: Workshop, name: string): string {
  return join(shop.places.clusters, name);
}

/** Reads a cluster's record; undefined where there is none that can be read. */
export async function readRecord(shop: Workshop, name: string): Promise<ClusterRecord | undefined> {
  try {
    const text = await readFile(recordFile(shop, name), "utf8");
    return JSON.parse(text) as ClusterRecord;
  } catch {
    return undefined;
  }
}

/** Writes a cluster's record: the cluster is complete. */
export async function writeRecord(shop: Workshop, record: ClusterRecord): Promise<void> {
  const text = JSON.stringify(record, undefined, 2);
  await writeFile(recordFile(shop, record.name), `${text}\n`, { mode: 0o600 });
}

/** Forgets a cluster's record: what exists of it is not to be trusted any more. */
export async function forgetRecord(shop: Workshop, name: string): Promise<void> {
  await rm(recordFile(shop, name), { force: true });
}

function recordFile(shop: Workshop, name: string): string {
  return join(clusterFolder(shop, name), "cluster.json");
}
