import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { docker, tryDocker } from "./docker.ts";
import { answers, ownEngine, startOwnEngine, stopOwnEngine } from "./engine.ts";
import type { Engine } from "./engine.ts";
import { clusterFolder, readRecord } from "./record.ts";
import type { Workshop } from "./steps.ts";

const clusterLabel = "io.x-k8s.kind.cluster";

/** Deletes a cluster's containers, volumes and folder on every engine it may be on. */
export async function deleteCluster(shop: Workshop, name: string): Promise<void> {
  for (const engine of await enginesOf(shop, name)) {
    await removeContainers(engine, `label=${clusterLabel}=${name}`);
    const left = await docker(engine, ["ps", "-aq", "--filter", `label=${clusterLabel}`]);
    if (left === "" && engine.own) await tryDocker(engine, ["network", "rm", "kind"]);
  }
  await rm(clusterFolder(shop, name), { recursive: true, force: true });
  shop.log(`cluster ${name}: deleted`);
}

/** Ends our own engine when no cluster needs it any more; it starts again with the next one. */
export async function stopIdleEngine(shop: Workshop): Promise<void> {
  const own = ownEngine(shop);
  if (!(await answers(own.env))) return;
  if ((await docker(own, ["ps", "-aq", "--filter", `label=${clusterLabel}`])) !== "") return;
  await stopOwnEngine(shop);
  shop.log("engine: stopped");
}

/** Deletes every cluster of this cache and ends our own engine; built images and programs stay for the next time. */
export async function prune(shop: Workshop): Promise<void> {
  const own = ownEngine(shop);
  // What a dead engine left running can only be removed through a living one.
  if (existsSync(shop.places.engineRun) && !(await answers(own.env))) await startOwnEngine(shop);
  for (const name of await readdir(shop.places.clusters).catch(() => [])) {
    await deleteCluster(shop, name);
  }
  if (await answers(own.env)) {
    await removeContainers(own, `label=${clusterLabel}`);
    await removeContainers(own, "name=signet-");
    await tryDocker(own, ["network", "rm", "kind"]);
    await stopOwnEngine(shop);
    shop.log("engine: stopped");
  }
}

async function enginesOf(shop: Workshop, name: string): Promise<Engine[]> {
  const known = (await readRecord(shop, name))?.tools.engine;
  const own = ownEngine(shop);
  const candidates: Engine[] = known === undefined ? [own, { own: false, env: {} }] : [known];
  const living: Engine[] = [];
  for (const engine of candidates) if (await answers(engine.env)) living.push(engine);
  return living;
}

async function removeContainers(engine: Engine, filter: string): Promise<void> {
  const listing = await docker(engine, ["ps", "-aq", "--filter", filter]);
  const ids = listing.split("\n").filter((id) => id !== "");
  if (ids.length > 0) await docker(engine, ["rm", "-f", "-v", ...ids]);
}
