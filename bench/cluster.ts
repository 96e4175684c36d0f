/**
 * On a real cluster: what Signet adds to a pod's start, how fast a late ClusterSPIFFEID takes effect, and memory.
 * Pods with and without the volume alternate, so that the machine's noise meets both.
 * Usage: node bench/cluster.ts [CLUSTER]   (brings the cluster up and installs this checkout)
 */
import { readFile } from "node:fs/promises";
import { upCluster } from "../test/e2e/cluster/cluster.ts";
import type { Cluster } from "../test/e2e/cluster/cluster.ts";
import { loadImages } from "../test/e2e/images.ts";
import { installSignet } from "../test/e2e/install.ts";
import { systemClock } from "../src/core/clock.ts";
import { silentLog } from "../src/core/log.ts";
import { createKubeClient } from "../src/kube/client.ts";
import type { KubeClient } from "../src/kube/client.ts";
import { loadKubeconfig } from "../src/kube/kubeconfig.ts";
import { startReflector } from "../src/kube/reflector.ts";
import { NAMESPACES, PODS } from "../src/kube/resources.ts";
import type { KubeObject, Pod } from "../src/kube/types.ts";
import { CLUSTER_SPIFFE_IDS } from "../src/api/resources.ts";
import { median, quantile } from "./median.ts";

const NAMESPACE = "signet-bench";
const PAIRS = 15;
const AT_ONCE = 60;
const ROUNDS = 2;
const LATE = 8;

interface Bench {
  readonly cluster: Cluster;
  readonly client: KubeClient;
  readonly image: string;
  /** Resolves with the moment (performance.now) at which the pod was seen Ready. */
  whenReady(name: string): Promise<number>;
}

type Kind = "with" | "without";

async function main(): Promise<void> {
  const name = process.argv[2] ?? "signet";
  const cluster = await upCluster({ name, log: console.error });
  const images = await loadImages(cluster, console.error);
  await installSignet(cluster, images);
  const config = loadKubeconfig(await readFile(cluster.kubeconfig, "utf8"));
  const client = createKubeClient({ config, clock: systemClock() });
  const readyAt = new Map<string, PromiseWithResolvers<number>>();
  const waiter = (pod: string): PromiseWithResolvers<number> => {
    const known = readyAt.get(pod) ?? Promise.withResolvers<number>();
    readyAt.set(pod, known);
    return known;
  };
  await client.apply(
    NAMESPACES,
    { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } },
    { fieldManager: "bench" },
  );
  const reflector = startReflector<Pod>({
    client,
    resource: PODS,
    namespace: NAMESPACE,
    handler: {
      replace: () => undefined,
      remove: () => undefined,
      apply(pod) {
        if (isReady(pod)) waiter(pod.metadata.name).resolve(performance.now());
      },
    },
    clock: systemClock(),
    log: silentLog(),
    random: Math.random,
  });
  await reflector.synced;
  const bench: Bench = {
    cluster,
    client,
    image: images.workload,
    whenReady: (pod) => waiter(pod).promise,
  };
  await applyIdentity(client, "bench", { matchLabels: { identity: "now" } });
  await measure(bench);
  await reflector.stop();
  await client.remove(CLUSTER_SPIFFE_IDS, { name: "bench" });
  await client.remove(NAMESPACES, { name: NAMESPACE });
  await client.close();
}

async function measure(bench: Bench): Promise<void> {
  console.log(`memory idle            ${await memory(bench.cluster)}`);
  const one: Record<Kind, number[]> = { with: [], without: [] };
  for (let pair = -1; pair < PAIRS; pair += 1) {
    for (const kind of ["with", "without"] as const) {
      const ms = await startOne(bench, kind, `one-${kind}-${pair + 1}`);
      if (pair >= 0) one[kind].push(ms);
    }
  }
  report("one pod at a time, create to Ready", one);
  const many: Record<Kind, number[]> = { with: [], without: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const kind of ["with", "without"] as const) {
      many[kind].push(...(await startMany(bench, kind, `many-${kind}-${round}`)));
    }
  }
  report(`${AT_ONCE} pods at once, create to Ready`, many);
  const late: number[] = [];
  for (let index = 0; index < LATE; index += 1)
    late.push(await lateIdentity(bench, `late-${index}`));
  console.log(
    `ClusterSPIFFEID applied late, answer of the API server to SVID in the volume: median ${fixed(median(late))} ms, worst ${fixed(Math.max(...late))} ms`,
  );
}

function report(title: string, samples: Record<Kind, number[]>): void {
  console.log(`${title} (median, p90 of ${samples.with.length})`);
  for (const kind of ["with", "without"] as const) {
    const values = samples[kind];
    console.log(
      `  ${kind.padEnd(8)} ${fixed(median(values))} ms, ${fixed(quantile(values, 0.9))} ms`,
    );
  }
  const added = median(samples.with) - median(samples.without);
  console.log(`  added    ${fixed(added)} ms at the median`);
}

async function startOne(bench: Bench, kind: Kind, name: string): Promise<number> {
  const startedAt = performance.now();
  await bench.client.create(PODS, pod(bench, kind, name));
  const ms = (await bench.whenReady(name)) - startedAt;
  await remove(bench, [name]);
  return ms;
}

async function startMany(bench: Bench, kind: Kind, prefix: string): Promise<number[]> {
  const names = Array.from({ length: AT_ONCE }, (_, index) => `${prefix}-${index}`);
  const times = await Promise.all(
    names.map(async (name) => {
      const startedAt = performance.now();
      await bench.client.create(PODS, pod(bench, kind, name));
      return (await bench.whenReady(name)) - startedAt;
    }),
  );
  if (kind === "with") console.log(`memory, ${AT_ONCE} pods        ${await memory(bench.cluster)}`);
  await remove(bench, names);
  return times;
}

/** From the API server's answer to a ClusterSPIFFEID to the files in the waiting pod's volume. */
async function lateIdentity(bench: Bench, name: string): Promise<number> {
  await bench.client.create(PODS, pod(bench, "with", name, { identity: name }));
  await until(async () => {
    const events = await bench.cluster.kubectl([
      "get",
      "events",
      "-n",
      NAMESPACE,
      "-o",
      "name",
      "--field-selector",
      `reason=NoIdentity,involvedObject.name=${name}`,
    ]);
    return events.trim() !== "";
  });
  await applyIdentity(bench.client, name, { matchLabels: { identity: name } });
  const appliedAt = Date.now();
  await bench.whenReady(name);
  const stat = [
    "exec",
    "-n",
    NAMESPACE,
    name,
    "--",
    "stat",
    "-c",
    "%.9Z",
    "/var/run/secrets/spiffe.io/..data",
  ];
  const writtenAt = Number(await bench.cluster.kubectl(stat)) * 1000;
  await remove(bench, [name]);
  await bench.client.remove(CLUSTER_SPIFFE_IDS, { name });
  return writtenAt - appliedAt;
}

async function applyIdentity(client: KubeClient, name: string, podSelector: object): Promise<void> {
  const object = {
    apiVersion: "spire.spiffe.io/v1alpha1",
    kind: "ClusterSPIFFEID",
    metadata: { name },
    spec: {
      spiffeIDTemplate:
        "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/pod/{{ .PodMeta.Name }}",
      podSelector,
    },
  };
  await client.apply<KubeObject>(CLUSTER_SPIFFE_IDS, object, {
    fieldManager: "bench",
    force: true,
  });
}

function pod(
  { image }: Bench,
  kind: Kind,
  name: string,
  labels: Record<string, string> = { identity: "now" },
): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: NAMESPACE,
      labels: { ...labels, "signet.dev/inject": kind === "with" ? "true" : "false" },
    },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [{ name: "main", image, args: ["/workload/sleep.mjs"] }],
    },
  } as unknown as Pod;
}

async function remove({ client }: Bench, names: readonly string[]): Promise<void> {
  await Promise.all(names.map((name) => client.remove(PODS, { namespace: NAMESPACE, name })));
  await until(async () => {
    const { items } = await client.list<Pod>(PODS, { namespace: NAMESPACE });
    return items.length === 0;
  });
}

/** Resident memory of the first process of each of Signet's pods, in MiB. */
async function memory(cluster: Cluster): Promise<string> {
  const list = await cluster.kubectl(["get", "pods", "-n", "signet-system", "-o", "name"]);
  const parts = await Promise.all(
    list
      .trim()
      .split("\n")
      .map(async (name) => {
        const status = await cluster.kubectl([
          "exec",
          "-n",
          "signet-system",
          name,
          "--",
          "cat",
          "/proc/1/status",
        ]);
        const kib = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
        return `${name.includes("operator") ? "operator" : "agent"} ${Math.round(kib / 1024)}`;
      }),
  );
  return `${parts.toSorted().join(", ")} MiB`;
}

function isReady({ status }: Pod): boolean {
  return (
    status?.conditions?.some(({ type, status: state }) => type === "Ready" && state === "True") ===
    true
  );
}

async function until(check: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 120_000;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error("waited two minutes");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function fixed(ms: number): string {
  return ms.toFixed(1);
}

await main();
