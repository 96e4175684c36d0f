/**
 * One size of bench/registration.ts, in a process of its own so that memory is its own:
 * node --expose-gc bench/registration-index.ts PODS   prints one line of JSON.
 */
import type { KubeObject, Namespace, Node, Pod } from "../src/kube/types.ts";
import { RegistrationIndex } from "../src/registration/index.ts";
import type { Change } from "../src/registration/index.ts";
import { median, quantile } from "./median.ts";
import { nodesAliasObject, ruleObject, staticEntryObject } from "./registration-objects.ts";
import { podUid, storedPod } from "./registration-pods.ts";
import {
  CLUSTER,
  makeWorld,
  OPTIONS,
  populate,
  range,
  sampleSlice,
  watchedPod,
} from "./registration-world.ts";
import type { World } from "./registration-world.ts";

const SAMPLES = 1000;
const FEW_SAMPLES = 20;
/** Below this, the CPU's clock, which moves in steps of milliseconds, tells nothing. */
const CPU_CLOCK_MS = 10;
const RULE = "ClusterSPIFFEID";
const STATIC = "ClusterStaticEntry";
const ZONE = "topology.kubernetes.io/zone";
/** Selects every pod and gives each an entry that no other rule gives. */
const TO_ALL = { spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/all/{{ .PodMeta.UID }}" };

/** Milliseconds of one kind of event, and how many pods each of them concerns. */
export interface Samples {
  readonly median: number;
  readonly p99: number;
  /** Median of this thread's CPU, or of the time where that is too short for the CPU's clock. */
  readonly cpu: number;
  readonly podsTouched: number;
}

/** On the clock, and of this thread's CPU, which others on the machine do not lengthen. */
export interface Spent {
  readonly ms: number;
  readonly cpuMs: number;
}

/** What was measured at one size; memory in bytes, times in milliseconds. */
export interface IndexFigures {
  readonly pods: number;
  readonly entries: number;
  readonly build: { readonly podsLast: Spent; readonly rulesLast: Spent };
  readonly events: Readonly<Record<string, Samples>>;
  readonly memory: {
    readonly projectedPods: number;
    readonly rules: number;
    readonly entries: number;
    readonly retained: number;
    readonly rss: number;
  };
}

class Bench {
  readonly index: RegistrationIndex;
  readonly world: World;
  #change: Change | undefined;

  constructor(world: World) {
    this.world = world;
    this.index = new RegistrationIndex(OPTIONS, (change) => (this.#change = change));
  }

  run(event: () => void): Spent & { readonly changed: number } {
    this.#change = undefined;
    const cpu = process.threadCpuUsage();
    const start = performance.now();
    event();
    const ms = performance.now() - start;
    const { user, system } = process.threadCpuUsage(cpu);
    const changed = (this.#change as Change | undefined)?.pods.size ?? 0;
    return { ms, cpuMs: (user + system) / 1000, changed };
  }

  /** Runs one kind of event many times; each must change at least `changes` pods, or it measured nothing. */
  sample({ runs, changes, touches = 1 }: Sampling, event: (at: number) => void): Samples {
    const times: number[] = [];
    const cpu: number[] = [];
    for (let at = 0; at < runs; at += 1) {
      const { ms, cpuMs, changed } = this.run(() => event(at));
      if (changed < changes) throw new Error(`${changed} pods changed by ${event.toString()}`);
      times.push(ms);
      cpu.push(cpuMs < CPU_CLOCK_MS ? ms : cpuMs);
    }
    return {
      median: median(times),
      p99: quantile(times, 0.99),
      cpu: median(cpu),
      podsTouched: touches,
    };
  }
}

interface Sampling {
  readonly runs: number;
  readonly changes: number;
  /** Pods that the index has to look at because of the event; 1 when left out. */
  readonly touches?: number;
}

/** Gives the time of the build, and the heap that the rules and the empty cluster take. */
function buildPodsLast(bench: Bench): Spent & { readonly rulesHeap: number } {
  const { index, world } = bench;
  const before = heap();
  const rules = bench.run(() => {
    index.replaceNamespaces(world.namespaces);
    index.replaceNodes(world.nodes);
    index.replaceResources(RULE, world.rules);
  });
  const rulesHeap = heap() - before;
  const pods = bench.run(() => {
    index.replaceEndpointSlices(world.slices);
    index.replacePods(world.pods);
  });
  return { ms: rules.ms + pods.ms, cpuMs: rules.cpuMs + pods.cpuMs, rulesHeap };
}

function buildRulesLast(bench: Bench): Spent {
  const { index, world } = bench;
  return bench.run(() => {
    index.replacePods(world.pods);
    index.replaceEndpointSlices(world.slices);
    index.replaceNodes(world.nodes);
    index.replaceNamespaces(world.namespaces);
    index.replaceResources(RULE, world.rules);
  });
}

function podEvents(bench: Bench, count: number): Record<string, Samples> {
  const { index, world } = bench;
  const fresh = range(SAMPLES, (at) => watchedPod(count + at, world));
  const echoes = fresh.map((pod) => structuredClone(pod));
  const moved = fresh.map((pod) => relabelled(pod, { "app.kubernetes.io/name": "app-1" }));
  const finished = moved.map((pod) => ({ ...pod, status: { phase: "Succeeded" as const } }));
  const each = (pods: readonly Pod[], changes: number): Samples =>
    bench.sample({ runs: pods.length, changes }, (at) => index.applyPod(pods[at] as Pod));
  const events = {
    "one pod added": each(fresh, 1),
    "one pod seen again, nothing new": each(echoes, 0),
    "one pod relabelled": each(moved, 0),
    "one pod finished": each(finished, 1),
  };
  for (const pod of finished) index.removePod(pod);
  // Finished pods have nothing left to take away, so others are removed, and come back.
  const others = range(SAMPLES, (at) => watchedPod(at, world));
  const removed = bench.sample({ runs: others.length, changes: 1 }, (at) =>
    index.removePod(others[at] as Pod),
  );
  for (const pod of others) index.applyPod(pod);
  return { ...events, "one pod removed": removed };
}

function ruleEvents(bench: Bench, count: number): Record<string, Samples> {
  const { index } = bench;
  const toAll = ruleObject("to-all", TO_ALL, 5000);
  const toNone = ruleObject("to-none", { podSelector: { matchLabels: { no: "pod" } } }, 5001);
  const every = { runs: 1, changes: count, touches: count };
  const added: Samples[] = [];
  const removed: Samples[] = [];
  for (let round = 0; round < 3; round += 1) {
    added.push(bench.sample(every, () => index.applyResource(RULE, toAll)));
    removed.push(bench.sample(every, () => index.removeResource(RULE, toAll.metadata.uid)));
  }
  return {
    "one ClusterSPIFFEID added that selects every pod": medianOf(added),
    "one ClusterSPIFFEID removed that selected every pod": medianOf(removed),
    "one ClusterSPIFFEID added or removed that selects none": bench.sample(
      { runs: FEW_SAMPLES, changes: 0 },
      (at) => {
        if (at % 2 === 0) index.applyResource(RULE, toNone);
        else index.removeResource(RULE, toNone.metadata.uid);
      },
    ),
  };
}

function placeEvents(bench: Bench, count: number): Record<string, Samples> {
  const { index, world } = bench;
  const inOne = { runs: FEW_SAMPLES, changes: 1, touches: count / world.shape.namespaces };
  const few = { runs: FEW_SAMPLES, changes: 1 };
  const { slice, without } = sampleSlice(world.shape);
  return {
    "one namespace relabelled": bench.sample(inOne, (at) => {
      const namespace = world.namespaces[at >> 1] as Namespace;
      index.applyNamespace(at % 2 === 0 ? relabelled(namespace, { team: "none" }) : namespace);
    }),
    "one node with 20 pods relabelled": bench.sample(few, (at) => {
      const node = world.nodes[at >> 1] as Node;
      index.applyNode(at % 2 === 0 ? relabelled(node, { [ZONE]: "elsewhere" }) : node);
    }),
    "one endpoint of an EndpointSlice added or removed": bench.sample(few, (at) =>
      index.applyEndpointSlice(at % 2 === 0 ? without : slice),
    ),
  };
}

/** A static entry by namespace and service account, which the parts of the cluster it names bound. */
function staticEvents(bench: Bench, count: number): Record<string, Samples> {
  const { index, world } = bench;
  index.applyResource(STATIC, nodesAliasObject(CLUSTER));
  const { metadata, spec } = storedPod(0, world.shape);
  const selectors = [`k8s:ns:${metadata.namespace}`, `k8s:sa:${spec.serviceAccountName}`];
  const entry = staticEntryObject("one", selectors);
  const inOne = { runs: FEW_SAMPLES, changes: 1, touches: count / world.shape.namespaces };
  return {
    "one ClusterStaticEntry added or removed": bench.sample(inOne, (at) => {
      if (at % 2 === 0) index.applyResource(STATIC, entry);
      else index.removeResource(STATIC, entry.metadata.uid);
    }),
  };
}

function relabelled<T extends KubeObject>(object: T, labels: Record<string, string>): T {
  const merged = { ...object.metadata.labels, ...labels };
  return { ...object, metadata: { ...object.metadata, labels: merged } };
}

function measure(count: number): IndexFigures {
  const world = makeWorld(count);
  const start = heap();
  populate(world, count);
  const withPods = heap();
  const rulesLast = buildRulesLast(new Bench(world));
  heap();
  const bench = new Bench(world);
  const { rulesHeap, ...podsLast } = buildPodsLast(bench);
  world.pods = [];
  world.slices = [];
  const built = heap();
  const { rss } = process.memoryUsage();
  const entries = range(count, (at) => bench.index.entriesOfPod(podUid(at)).length);
  warmUp();
  const events = allEvents(bench, count);
  bench.run(() => empty(bench.index));
  const retained = heap() - start;
  return {
    pods: count,
    entries: entries.reduce((sum, number) => sum + number, 0),
    build: { podsLast, rulesLast },
    events,
    memory: {
      projectedPods: withPods - start,
      rules: rulesHeap,
      entries: built - withPods - rulesHeap,
      retained,
      rss,
    },
  };
}

function allEvents(bench: Bench, count: number): Record<string, Samples> {
  return {
    ...podEvents(bench, count),
    ...ruleEvents(bench, count),
    ...placeEvents(bench, count),
    ...staticEvents(bench, count),
  };
}

/** Lets the compiler see every kind of event, so that small sizes are not charged for it. */
function warmUp(): void {
  const world = makeWorld(SAMPLES);
  populate(world, SAMPLES);
  const bench = new Bench(world);
  buildPodsLast(bench);
  allEvents(bench, SAMPLES);
}

function empty(index: RegistrationIndex): void {
  index.replacePods([]);
  index.replaceResources(RULE, []);
  index.replaceResources(STATIC, []);
  index.replaceEndpointSlices([]);
  index.replaceNodes([]);
  index.replaceNamespaces([]);
}

/** Bytes of live heap. */
function heap(): number {
  if (!globalThis.gc) throw new Error("run with node --expose-gc");
  for (let round = 0; round < 2; round += 1) globalThis.gc();
  return process.memoryUsage().heapUsed;
}

function medianOf(samples: readonly Samples[]): Samples {
  const times = samples.map((sample) => sample.median);
  const cpu = median(samples.map((sample) => sample.cpu));
  const podsTouched = samples[0]?.podsTouched ?? 0;
  return { median: median(times), p99: Math.max(...times), cpu, podsTouched };
}

if (import.meta.main) console.log(JSON.stringify(measure(Number(process.argv[2]))));
