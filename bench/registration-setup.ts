/** The cluster of bench/registration-cluster.ts: its objects, and how they are made. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { parse } from "yaml";
import type { ClusterSpiffeIdSpec } from "../src/api/cluster-spiffe-id.ts";
import { CLUSTER_SPIFFE_IDS } from "../src/api/resources.ts";
import type { KubeClient } from "../src/kube/client.ts";
import { ENDPOINT_SLICES, NAMESPACES, NODES, PODS } from "../src/kube/resources.ts";
import type { Resource } from "../src/kube/resources.ts";
import type { KubeObject, NewObject, Pod } from "../src/kube/types.ts";
import type { ApiServer } from "./api-server.ts";
import { createAgentPods } from "./registration-agents.ts";
import {
  endpointSlice,
  namespaceObject,
  nodeObject,
  ruleObject,
  thousandRules,
} from "./registration-objects.ts";
import { prepareOperator } from "./registration-operator.ts";
import { newPod, nodeName } from "./registration-pods.ts";
import { watchStatuses } from "./registration-statuses.ts";
import type { StatusWatch } from "./registration-statuses.ts";

export const SHAPE = { namespaces: 50, nodes: 200 };
/** Pods that have the label `cohort: first`, where there are as many. */
export const COHORT = 5000;
/** Every tenth of the thousand. */
const RULES_EVERY = 10;
/** With the one that takes labelled namespaces. */
export const RULES = 1000 / RULES_EVERY + 1;
/** Namespaces with this label get entries of a ClusterSPIFFEID of their own. */
export const NAMESPACE_LABEL = { bench: "on" };
const WRITERS = 24;
const PODS_PER_SLICE = 10;

/** A cluster, and what it holds by now. */
export interface Bench {
  readonly api: ApiServer;
  readonly client: KubeClient;
  readonly agentPods: readonly Pod[];
  readonly statuses: StatusWatch;
  /** Numbers of pods that exist: 0 up to this. */
  pods: number;
  /** Pods beside these, evenly spread over the namespaces. */
  extra: number;
  services: number;
}

/** Makes all but pods and Services. */
export async function prepareCluster(api: ApiServer): Promise<Bench> {
  const { client } = api;
  await prepareOperator(api);
  await applyCrds(client);
  await each(SHAPE.namespaces, (at) => client.create(NAMESPACES, unstored(namespaceObject(at))));
  await each(SHAPE.nodes, (at) => client.create(NODES, unstored(nodeObject(at))));
  const rules = thousandRules().filter((_, at) => at % RULES_EVERY === 0);
  await each(rules.length, (at) => client.create(CLUSTER_SPIFFE_IDS, unstored(rules[at] as never)));
  await applyRule(client, "bench-namespace", {
    spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/labelled/{{ .PodMeta.Name }}",
    namespaceSelector: { matchLabels: NAMESPACE_LABEL },
  });
  const nodes = Array.from({ length: SHAPE.nodes }, (_, at) => nodeName(at));
  const agentPods = await createAgentPods(client, nodes);
  return {
    api,
    client,
    agentPods,
    statuses: await watchStatuses(client),
    pods: 0,
    extra: 0,
    services: 0,
  };
}

async function applyCrds(client: KubeClient): Promise<void> {
  const folder = join(import.meta.dirname, "..", "crds");
  for (const plural of [
    "clusterspiffeids",
    "clusterstaticentries",
    "clusterfederatedtrustdomains",
  ]) {
    const text = await readFile(join(folder, `spire.spiffe.io_${plural}.yaml`), "utf8");
    await client.apply(CRDS, parse(text) as NewObject, { fieldManager: "bench", force: true });
    const path = `/apis/spire.spiffe.io/v1alpha1/${plural}`;
    while ((await client.raw(path).catch(() => undefined)) === undefined) await setTimeout(50);
  }
}

const CRDS: Resource = {
  group: "apiextensions.k8s.io",
  version: "v1",
  plural: "customresourcedefinitions",
  kind: "CustomResourceDefinition",
  namespaced: false,
};

/** Creates pods until there are this many, and gives those that it created. */
export async function createPods(bench: Bench, upTo: number): Promise<Pod[]> {
  const first = bench.pods;
  const pods = await each(upTo - first, (at) => createPod(bench.client, first + at));
  bench.pods = Math.max(upTo, first);
  return pods;
}

export async function createPod(client: KubeClient, index: number): Promise<Pod> {
  const { metadata, ...rest } = newPod(index, SHAPE);
  const labels = { ...metadata.labels, cohort: index < COHORT ? "first" : "later" };
  return client.create<Pod>(PODS, { ...rest, metadata: { ...metadata, labels } });
}

/** Makes a Service's EndpointSlice for every ten pods of a namespace. */
export async function createServices(bench: Bench, pods: readonly Pod[]): Promise<void> {
  const groups = Object.values(Object.groupBy(pods, ({ metadata }) => metadata.namespace ?? ""));
  const slices = groups.flatMap((group = []) =>
    Array.from({ length: Math.ceil(group.length / PODS_PER_SLICE) }, (_, at) =>
      group.slice(at * PODS_PER_SLICE, (at + 1) * PODS_PER_SLICE),
    ),
  );
  await each(slices.length, (at) => {
    const { metadata, endpoints } = endpointSlice(bench.services + at, slices[at] ?? []);
    const { name, namespace = "", labels = {} } = metadata;
    const listed = endpoints.map((endpoint) => ({ ...endpoint, addresses: ["10.0.0.1"] }));
    const slice = { metadata: { name, namespace, labels }, addressType: "IPv4", endpoints: listed };
    return bench.client.create(ENDPOINT_SLICES, slice);
  });
  bench.services += slices.length;
}

/** Gives the moment of the API server's answer. */
export async function applyRule(
  client: KubeClient,
  name: string,
  spec: Partial<ClusterSpiffeIdSpec>,
): Promise<number> {
  const object = unstored(ruleObject(name, spec));
  await client.apply(CLUSTER_SPIFFE_IDS, object, { fieldManager: "bench", force: true });
  return performance.now();
}

/** An object without what the API server fills in. */
function unstored<T extends KubeObject>(object: T): NewObject<T> {
  const { name, labels } = object.metadata;
  return { ...object, metadata: labels === undefined ? { name } : { name, labels } };
}

/** Runs `task` for every number below `count`, a few at a time, and gives what they gave. */
async function each<T>(count: number, task: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) results[at] = await task(at);
  };
  await Promise.all(Array.from({ length: WRITERS }, work));
  return results;
}
