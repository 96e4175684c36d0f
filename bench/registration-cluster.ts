/**
 * Registration on a real API server with made-up nodes and pods, no kubelet, at three sizes: the operator as it is
 * shipped, the agents of all nodes connected to it. Builds and starts what it needs, about 4 minutes.
 * Usage: node bench/registration-cluster.ts [PODS...]
 */
import { setTimeout } from "node:timers/promises";
import { CLUSTER_SPIFFE_IDS } from "../src/api/resources.ts";
import { NAMESPACES } from "../src/kube/resources.ts";
import { startApiServer } from "./api-server.ts";
import type { ApiServer } from "./api-server.ts";
import { median } from "./median.ts";
import { connectAgents } from "./registration-agents.ts";
import type { Agents } from "./registration-agents.ts";
import { startOperator } from "./registration-operator.ts";
import type { Operator } from "./registration-operator.ts";
import { namespaceName } from "./registration-pods.ts";
import { report, stormLines } from "./registration-report.ts";
import type { Figures, RuleTimes, StormFigures } from "./registration-report.ts";
import {
  applyRule,
  COHORT,
  createPod,
  createPods,
  createServices,
  NAMESPACE_LABEL,
  prepareCluster,
  SHAPE,
} from "./registration-setup.ts";
import type { Bench } from "./registration-setup.ts";

const SIZES = [1000, 5000, 20_000];
const STORM = 10_000;
const ROUNDS = 3;
const SINGLE_PODS = 100;
const EXTRA_FROM = 1_000_000;
const REST_WINDOW_MS = 5000;
const REST_WINDOWS = 3;
/** Where the aim is. */
const MORE_REST_WINDOWS = 6;
const SETTLE_MS = 3000;
const LONGEST_UNREST_MS = 60_000;
const LATE_TEMPLATE = "spiffe://{{ .TrustDomain }}/late/{{ .PodMeta.Name }}";
const NEW_FIELD_TEMPLATE =
  "spiffe://{{ .TrustDomain }}/{{ .PodSpec.DNSPolicy }}/{{ .PodMeta.Name }}";

async function main(sizes: readonly number[]): Promise<void> {
  const api = await startApiServer(progress);
  try {
    progress("making the custom resources, namespaces and nodes");
    const bench = await prepareCluster(api);
    const figures: Figures[] = [];
    let storm: StormFigures | undefined;
    for (const size of sizes) {
      progress(`making pods until there are ${size}`);
      await createServices(bench, await createPods(bench, size));
      const { measured, stormed } = await measureSize(bench, { storm: size === COHORT });
      figures.push(measured);
      storm ??= stormed;
    }
    await bench.statuses.stop();
    console.log([...report(figures), ...(storm ? stormLines(storm) : [])].join("\n"));
  } finally {
    await api.stop();
  }
}

async function measureSize(
  bench: Bench,
  { storm }: { readonly storm: boolean },
): Promise<{ readonly measured: Figures; readonly stormed: StormFigures | undefined }> {
  const { pods } = bench;
  progress(`${pods} pods: starting the operator`);
  const operator = await startOperator(bench.api);
  let agents: Agents | undefined;
  try {
    const { readyMs } = operator;
    await untilStatusesRest(bench.api);
    const started = await operator.usage();
    const alone = await restingCpu(operator, pods === COHORT ? MORE_REST_WINDOWS : REST_WINDOWS);
    agents = await connectAgents(bench.client, operator, bench.agentPods);
    await setTimeout(SETTLE_MS);
    const connected = await operator.usage();
    const rest = { alone, withAgents: await restingCpu(operator, REST_WINDOWS) };
    progress(`${pods} pods: changing things`);
    const rule = await lateRule(bench, agents);
    const pod = await singlePods(bench, agents);
    const namespace = await relabelNamespaces(bench, agents);
    const end = await operator.usage();
    const measured = { pods, readyMs, started, connected, rest, rule, pod, namespace, end };
    if (storm) progress(`${pods} pods: making ${STORM} more`);
    return { measured, stormed: storm ? await podStorm(bench, operator, agents) : undefined };
  } finally {
    agents?.close();
    await operator.stop();
  }
}

/** Waits until no status was written for a while: after its start the operator writes all that changed without it. */
async function untilStatusesRest(api: ApiServer): Promise<void> {
  const deadline = performance.now() + LONGEST_UNREST_MS;
  let last = Number.NaN;
  while (performance.now() < deadline) {
    await setTimeout(SETTLE_MS);
    const writes = statusWrites(await api.requests());
    if (writes === last) return;
    last = writes;
  }
  throw new Error(`statuses are still being written after ${LONGEST_UNREST_MS} ms`);
}

function statusWrites(requests: ReadonlyMap<string, number>): number {
  return [...requests].reduce((sum, [key, count]) => sum + (isStatusWrite(key) ? count : 0), 0);
}

function isStatusWrite(key: string): boolean {
  return isWrite(key) && key.endsWith("/status");
}

function isWrite(key: string): boolean {
  return /^(POST|PUT|PATCH|APPLY|DELETE) /.test(key);
}

/** Milliseconds of CPU per second, the median of some windows: a last collection of garbage is not what rest costs. */
async function restingCpu(operator: Operator, windows: number): Promise<number> {
  const rates: number[] = [];
  let last = await operator.usage();
  for (let window = 0; window < windows; window += 1) {
    await setTimeout(REST_WINDOW_MS);
    const next = await operator.usage();
    rates.push(((next.cpuSeconds - last.cpuSeconds) / REST_WINDOW_MS) * 1_000_000);
    last = next;
  }
  return median(rates);
}

/** Applies a ClusterSPIFFEID that selects the first pods, and takes it away again. */
async function lateRule({ client, pods, statuses }: Bench, agents: Agents): Promise<RuleTimes> {
  const selected = Math.min(pods, COHORT);
  const times = { applied: [] as number[], status: [] as number[], removed: [] as number[] };
  const once = async (name: string, spiffeIDTemplate: string): Promise<Record<Phase, number>> => {
    const told = agents.told(selected);
    const shown = statuses.shows(name, selected);
    const podSelector = { matchLabels: { cohort: "first" } };
    const answeredAt = await applyRule(client, name, { spiffeIDTemplate, podSelector });
    const applied = (await told) - answeredAt;
    const status = (await shown) - answeredAt;
    const untold = agents.told(selected);
    await client.remove(CLUSTER_SPIFFE_IDS, { name });
    const removedAt = performance.now();
    return { applied, status, removed: (await untold) - removedAt };
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    const result = await once(`late-${round}`, LATE_TEMPLATE);
    for (const phase of ["applied", "status", "removed"] as const) times[phase].push(result[phase]);
  }
  const { applied: newField } = await once("late-field", NEW_FIELD_TEMPLATE);
  return { pods: selected, newField, ...times };
}

type Phase = "applied" | "status" | "removed";

/** Creates pods one after the other; each is told of once it has an entry. */
async function singlePods(bench: Bench, agents: Agents): Promise<Figures["pod"]> {
  const times = { told: [] as number[], answered: [] as number[] };
  for (let at = 0; at < SINGLE_PODS; at += 1) {
    const told = agents.told(1);
    const sentAt = performance.now();
    await createPod(bench.client, EXTRA_FROM + bench.extra);
    bench.extra += 1;
    times.answered.push(performance.now() - sentAt);
    times.told.push((await told) - sentAt);
  }
  return times;
}

async function relabelNamespaces(
  { client, pods, extra }: Bench,
  agents: Agents,
): Promise<Figures["namespace"]> {
  const inEach = (pods + extra) / SHAPE.namespaces;
  const told: number[] = [];
  for (let round = 0; round < 2 * ROUNDS; round += 1) {
    const name = namespaceName(1 + (round >> 1));
    const labels = round % 2 === 0 ? NAMESPACE_LABEL : { bench: null };
    const last = agents.told(inEach);
    const sentAt = performance.now();
    const patch = { type: "merge", body: { metadata: { labels } } } as const;
    await client.patch(NAMESPACES, { name }, { patch });
    told.push((await last) - sentAt);
  }
  return { pods: inEach, told };
}

/** Creates ten thousand pods, each of which changes what a status counts, and looks what was written for that. */
async function podStorm(bench: Bench, operator: Operator, agents: Agents): Promise<StormFigures> {
  const { api, client, statuses } = bench;
  const shown = statuses.shows("all", bench.pods + bench.extra + STORM);
  await applyRule(client, "all", {
    spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/all/{{ .PodMeta.Name }}",
    podSelector: { matchExpressions: [{ key: "cohort", operator: "Exists" }] },
  });
  await setTimeout(SETTLE_MS);
  const before = { requests: await api.requests(), usage: await operator.usage() };
  const beganAt = performance.now();
  const told = agents.told(STORM);
  await createPods(bench, bench.pods + STORM);
  const toldAt = await told;
  const statusLagMs = (await shown) - toldAt;
  const after = { requests: await api.requests(), usage: await operator.usage() };
  await client.remove(CLUSTER_SPIFFE_IDS, { name: "all" });
  const writes = [...after.requests]
    .filter(([key]) => isWrite(key))
    .map(([key, count]) => ({ key, count: count - (before.requests.get(key) ?? 0) }));
  const sum = (wanted: (key: string) => boolean): number =>
    writes.reduce((total, { key, count }) => total + (wanted(key) ? count : 0), 0);
  return {
    pods: STORM,
    ms: toldAt - beganAt,
    cpuMs: (after.usage.cpuSeconds - before.usage.cpuSeconds) * 1000,
    statusWrites: sum(isStatusWrite),
    otherWrites: sum((key) => !isStatusWrite(key) && key !== "POST pods"),
    statusLagMs,
  };
}

const startedAt = performance.now();

function progress(line: string): void {
  console.error(`[${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s] ${line}`);
}

const sizes = process.argv.slice(2).map(Number);
await main(sizes.length > 0 ? sizes : SIZES);
