/**
 * The registration index alone, without an API server, at three sizes of cluster: what it costs to build, what one
 * event costs, and memory. Figures per event should not grow with the cluster. Usage: node bench/registration.ts [PODS...]
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import type { IndexFigures, Samples, Spent } from "./registration-index.ts";

const SIZES = [1000, 10_000, 100_000];
const LONGEST_MS = 600_000;
const MIB = 1024 * 1024;
const LABEL_WIDTH = 56;
const COLUMN_WIDTH = 22;

/** Runs the benchmark, about 90 s, and gives its lines. */
export async function run(sizes: readonly number[] = SIZES): Promise<string[]> {
  const figures: IndexFigures[] = [];
  for (const pods of sizes) figures.push(await measure(pods));
  return [
    "Registration index, 1,000 ClusterSPIFFEIDs, 200 namespaces, 20 pods a node (one thread, nothing but the index)",
    row("", [...sizes.map((pods) => `${count(pods)} pods`), "growth"]),
    ...sizeRows(figures),
    "Median and p99 of one event, from the call to what the agents are told",
    ...eventRows(figures),
  ];
}

/** Each size has a process of its own, so that one's garbage is not the other's pause. */
async function measure(pods: number): Promise<IndexFigures> {
  const script = join(import.meta.dirname, "registration-index.ts");
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--expose-gc", script, String(pods)],
    { timeout: LONGEST_MS },
  );
  return JSON.parse(stdout) as IndexFigures;
}

function sizeRows(figures: readonly IndexFigures[]): string[] {
  const plain = (label: string, cell: (figure: IndexFigures) => string): string =>
    row(label, figures.map(cell));
  const perPod = (bytes: number, { pods }: IndexFigures): string => `${count(bytes / pods)} B`;
  return [
    plain("entries", ({ entries }) => count(entries)),
    plain("built (of which CPU), pods listed last", ({ build }) => spent(build.podsLast)),
    plain("built, ClusterSPIFFEIDs listed last", ({ build }) => spent(build.rulesLast)),
    plain("heap a pod, as watched and cut down", (it) => perPod(it.memory.projectedPods, it)),
    plain("heap a pod, what the index adds, entries included", (it) =>
      perPod(it.memory.entries, it),
    ),
    plain("heap of the 1,000 ClusterSPIFFEIDs and all nodes", ({ memory }) => mib(memory.rules)),
    plain("heap kept after everything was removed", ({ memory }) => mib(memory.retained)),
    plain("resident, of this process, once built", ({ memory }) => mib(memory.rss)),
  ];
}

function eventRows(figures: readonly IndexFigures[]): string[] {
  return Object.keys(figures[0]?.events ?? {}).flatMap((label) => {
    const samples = figures.flatMap(({ events }) => events[label] ?? []);
    const cells = samples.map(({ median, p99 }) => `${time(median)}, ${time(p99)}`);
    const most = Math.max(...samples.map(({ podsTouched }) => podsTouched));
    if (most <= 1) return [row(label, [...cells, growth(samples, ({ median }) => median)])];
    const cost = ({ cpu, podsTouched }: Samples): number => cpu / podsTouched;
    const each = samples.map((it) => `${count(it.podsTouched)} × ${time(cost(it))}`);
    return [
      row(label, cells),
      row("  pods it concerns × work for each", [...each, growth(samples, cost)]),
    ];
  });
}

/** How much more the largest size costs than the smallest. */
function growth(samples: readonly Samples[], cost: (sample: Samples) => number): string {
  const [first, last] = [samples[0], samples.at(-1)];
  return first && last ? `× ${(cost(last) / cost(first)).toFixed(1)}` : "";
}

function row(label: string, cells: readonly string[]): string {
  return `  ${label.padEnd(LABEL_WIDTH)}${cells.map((cell) => cell.padStart(COLUMN_WIDTH)).join("")}`;
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}

function spent({ ms, cpuMs }: Spent): string {
  return `${time(ms)} (${time(cpuMs)})`;
}

function time(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms >= 1) return `${ms.toFixed(1)} ms`;
  return `${(ms * 1000).toFixed(ms >= 0.01 ? 0 : 1)} µs`;
}

if (import.meta.main) {
  const sizes = process.argv.slice(2).map(Number);
  console.log((await run(sizes.length > 0 ? sizes : undefined)).join("\n"));
}
