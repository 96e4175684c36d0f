import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { kindConfig, nodeNames } from "./config.ts";
import { docker, tryDocker, withEngine } from "./docker.ts";
import { answers, findEngine } from "./engine.ts";
import { must, waitFor } from "./exec.ts";
import type { RunOptions, RunResult } from "./exec.ts";
import type { Component, ContainerTarget } from "./faults.ts";
import { clusterHandle } from "./handle.ts";
import { buildProjectImage } from "./images.ts";
import { locations } from "./locations.ts";
import { withLock } from "./lock.ts";
import { connectPods, nodeAddresses } from "./network.ts";
import { prepare } from "./preparation.ts";
import { waitReady } from "./readiness.ts";
import type { Get } from "./readiness.ts";
import { clusterFolder, forgetRecord, readRecord, writeRecord } from "./record.ts";
import type { ClusterRecord } from "./record.ts";
import { stepKey } from "./steps.ts";
import type { Log, Workshop } from "./steps.ts";
import { deleteCluster, stopIdleEngine } from "./teardown.ts";

export type { RunOptions, RunResult } from "./exec.ts";
export type { Component, ContainerTarget } from "./faults.ts";

/** A running kind cluster: one control plane and two workers. */
export interface Cluster {
  readonly name: string;
  /** Path of the kubeconfig file, mode 0600. */
  readonly kubeconfig: string;
  /** Node names; they are the names of the engine's containers too. */
  readonly controlPlane: string;
  readonly workers: readonly string[];
  readonly kubectlPath: string;
  readonly helmPath: string;
  /** Variables a Docker client needs to reach the engine of the nodes. */
  readonly engineEnv: Readonly<Record<string, string>>;
  /** Gives the standard output of kubectl; throws with the end of its output on a non-zero exit. */
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Like {@link Cluster.kubectl}, but an exit code that is not zero is a result. */
  tryKubectl(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Gives the standard output of helm; throws like {@link Cluster.kubectl}. */
  helm(args: readonly string[], options?: RunOptions): Promise<string>;
  /** Runs a program in a node; does not throw on its exit code. */
  onNode(node: string, argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Puts images of the engine on all nodes; those that have them are left out. */
  loadImage(...references: string[]): Promise<void>;
  /** Ends a part of a node with SIGKILL. */
  kill(node: string, component: Component): Promise<void>;
  /** Restarts a part of a node in an orderly way. */
  restart(node: string, component: Component): Promise<void>;
  /** Restarts a node as a whole: its processes and all mounts are gone, its disk stays. */
  reboot(node: string): Promise<void>;
  /** Signals (SIGKILL unless told) the first process of a pod's container. */
  killContainer(target: ContainerTarget): Promise<void>;
  /** Deletes the cluster. */
  down(): Promise<void>;
}

/** The cluster's name where none is given. */
export const defaultName = "signet";

const workerCount = 2;
const repairLimitMs = 120_000;
const createLimitMs = 300_000;

/** Gives a healthy cluster: the running one, the stopped one repaired, else a new one. */
export async function upCluster(
  options: { readonly name?: string; readonly log?: Log } = {},
): Promise<Cluster> {
  const name = checkedName(options.name ?? defaultName);
  const shop = workshop(options.log);
  const up = async (): Promise<ClusterRecord> => {
    const tools = await prepare(shop);
    const config = configFor(shop, name, tools.made);
    const key = stepKey([config, tools.nodeImage, JSON.stringify(tools.engine)]);
    const record: ClusterRecord = { name, nodes: nodeNames(name, workerCount), tools, key };
    const known = await readRecord(shop, name);
    if (known?.key === key && (await repaired(shop, record))) {
      await writeRecord(shop, record);
      return record;
    }
    await created(shop, record, config);
    return record;
  };
  const record = await withLock(shop.places.locks, `cluster-${name}`, up, shop.log);
  return clusterHandle(shop, record, () => downCluster({ ...options, name }));
}

/** Gives the cluster where it exists and its API server answers; builds and starts nothing. */
export async function attachCluster(name = defaultName): Promise<Cluster | undefined> {
  const shop = workshop(undefined);
  const record = await readRecord(shop, checkedName(name));
  if (record === undefined) return undefined;
  const cluster = clusterHandle(shop, record, () => downCluster({ name }));
  const answer = await cluster.tryKubectl(["get", "--raw", "/readyz", "--request-timeout=5s"]);
  return answer.code === 0 ? cluster : undefined;
}

/** Deletes the cluster and all that was made for it; what several clusters share stays. */
export async function downCluster(
  options: { readonly name?: string; readonly log?: Log } = {},
): Promise<void> {
  const name = checkedName(options.name ?? defaultName);
  const shop = workshop(options.log);
  const down = async (): Promise<void> => {
    await deleteCluster(shop, name);
    await stopIdleEngine(shop);
  };
  await withLock(shop.places.locks, `cluster-${name}`, down, shop.log);
}

/** Builds an image on the engine of the cluster, making the base image where it cannot be pulled; gives its id. */
export async function buildImage(options: {
  readonly dockerfile: string;
  readonly context: string;
  readonly tag: string;
  readonly log?: Log;
}): Promise<string> {
  const shop = workshop(options.log);
  const record = await readRecord(shop, defaultName);
  const known = record?.tools.engine;
  const engine = known !== undefined && (await answers(known.env)) ? known : await findEngine(shop);
  return buildProjectImage(shop, engine, options);
}

/** The folders of this environment and where progress goes. */
export function workshop(log: Log | undefined): Workshop {
  return { places: locations(process.env), log: log ?? (() => undefined) };
}

function checkedName(name: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,30}$/.test(name)) throw new Error(`not a cluster name: ${name}`);
  return name;
}

function configFor(shop: Workshop, name: string, made: boolean): string {
  const shared = join(clusterFolder(shop, name), "images");
  return kindConfig({ name, workers: workerCount, shared, made });
}

/** Starts what is stopped and waits until all is well; false where a new cluster is needed. */
async function repaired(shop: Workshop, record: ClusterRecord): Promise<boolean> {
  const { engine } = record.tools;
  const start = Date.now();
  const state = ["inspect", "-f", "{{.State.Running}}", ...record.nodes];
  const found = await tryDocker(engine, state);
  if (found.code !== 0) return false;
  const stopped = record.nodes.filter((_, i) => found.stdout.trim().split("\n")[i] !== "true");
  try {
    if (stopped.length > 0) {
      shop.log(`cluster ${record.name}: starting ${stopped.join(", ")}`);
      await docker(engine, ["start", ...stopped]);
    }
    await settle(shop, record, repairLimitMs);
    shop.log(`cluster ${record.name}: ready after ${seconds(start)}`);
    return true;
  } catch (error) {
    shop.log(`cluster ${record.name}: cannot be repaired (${firstLine(error)}); making a new one`);
    return false;
  }
}

async function created(shop: Workshop, record: ClusterRecord, config: string): Promise<void> {
  const start = Date.now();
  const { name, tools } = record;
  await forgetRecord(shop, name);
  await removeNodes(shop, record);
  const folder = clusterFolder(shop, name);
  await mkdir(join(folder, "images"), { recursive: true });
  const file = join(folder, "kind.yaml");
  await writeFile(file, config);
  await mkdir(shop.places.logs, { recursive: true });
  const logFile = join(shop.places.logs, `cluster-${name}.log`);
  await rm(logFile, { force: true });
  shop.log(`cluster ${name}: creating (output in ${logFile})`);
  const kubeconfig = ["--kubeconfig", join(folder, "kubeconfig")];
  const create = [
    "create",
    "cluster",
    "--name",
    name,
    "--config",
    file,
    "--image",
    tools.nodeImage,
  ];
  const options = {
    logFile,
    timeoutMs: createLimitMs,
    env: { KIND_EXPERIMENTAL_PROVIDER: "docker" },
  };
  await must([tools.kind, ...create, ...kubeconfig], withEngine(tools.engine, options));
  await settle(shop, record, createLimitMs);
  await writeRecord(shop, record);
  shop.log(`cluster ${name}: created and ready after ${seconds(start)}`);
}

/** Deletes nodes that carry the name, whoever left them. */
async function removeNodes(shop: Workshop, { name, tools }: ClusterRecord): Promise<void> {
  const argv = [tools.kind, "delete", "cluster", "--name", name];
  const kubeconfig = ["--kubeconfig", join(clusterFolder(shop, name), "kubeconfig")];
  await must([...argv, ...kubeconfig], withEngine(tools.engine, {}));
}

/** Connects the pods where the image brings no network, and waits until the cluster is ready. */
async function settle(shop: Workshop, record: ClusterRecord, timeoutMs: number): Promise<void> {
  const cluster = clusterHandle(shop, record, () => downCluster({ name: record.name }));
  const get: Get = (args) => cluster.kubectl(["get", "--request-timeout=5s", ...args]);
  const { made, engine } = record.tools;
  if (made) {
    const nodes = await waitFor("the nodes' pod ranges", timeoutMs, async () => {
      return nodeAddresses(await get(["nodes", "-o", "json"]));
    });
    await connectPods(engine, nodes);
  }
  const started = await docker(engine, ["inspect", "-f", "{{.State.StartedAt}}", ...record.nodes]);
  const times = started.trim().split("\n");
  const since = new Map(record.nodes.map((node, n) => [node, Date.parse(times[n] ?? "")]));
  await waitReady(get, record.nodes, { since, timeoutMs });
}

function seconds(start: number): string {
  return `${((Date.now() - start) / 1000).toFixed(1)} s`;
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
}
