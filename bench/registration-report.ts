import { median, quantile } from "./median.ts";
import type { Usage } from "./registration-operator.ts";
import { COHORT, RULES, SHAPE } from "./registration-setup.ts";

/** What was measured with one number of pods; times in milliseconds. */
export interface Figures {
  readonly pods: number;
  readonly readyMs: number;
  readonly started: Usage;
  readonly connected: Usage;
  /** Milliseconds of CPU per second. */
  readonly rest: { readonly alone: number; readonly withAgents: number };
  readonly rule: RuleTimes;
  readonly pod: { readonly told: readonly number[]; readonly answered: readonly number[] };
  readonly namespace: { readonly pods: number; readonly told: readonly number[] };
  readonly end: Usage;
}

export interface RuleTimes {
  readonly pods: number;
  /** The first that names a field of pods that no other rule names. */
  readonly newField: number;
  /** From the API server's answer to the last agent that was told. */
  readonly applied: number[];
  readonly status: number[];
  readonly removed: number[];
}

/** What many new pods cost while the operator runs. */
export interface StormFigures {
  readonly pods: number;
  readonly ms: number;
  readonly cpuMs: number;
  readonly statusWrites: number;
  readonly otherWrites: number;
  readonly statusLagMs: number;
}

const MIB = 1024 * 1024;

/** The lines that are printed. */
export function report(figures: readonly Figures[]): string[] {
  const row = (label: string, cell: (figure: Figures) => string): string =>
    `  ${label.padEnd(62)}${figures.map((figure) => cell(figure).padStart(20)).join("")}`;
  return [
    `Operator on a real API server, ${SHAPE.nodes} nodes with agents, ${SHAPE.namespaces} namespaces, ${RULES} ClusterSPIFFEIDs`,
    row("", ({ pods }) => `${count(pods)} pods`),
    row("process start to ready", ({ readyMs }) => ms(readyMs)),
    row("resident after the start: now, highest", ({ started }) => memory(started)),
    row("resident with all agents connected", ({ connected }) => memory(connected)),
    row("resident after all that follows", ({ end }) => memory(end)),
    row(
      "CPU at rest, ms/s: alone, with all agents",
      ({ rest }) => `${rest.alone.toFixed(1)}, ${rest.withAgents.toFixed(1)}`,
    ),
    row("late ClusterSPIFFEID selects", ({ rule }) => `${count(rule.pods)} pods`),
    row("  applied: answer to last agent told (median, worst of 3)", ({ rule }) =>
      both(rule.applied, 1),
    ),
    row("  applied: answer to true status", ({ rule }) => both(rule.status, 1)),
    row("  removed: answer to last agent told", ({ rule }) => both(rule.removed, 1)),
    row("  applied, naming a field that no pod is cached with", ({ rule }) => ms(rule.newField)),
    row("one pod: request to agent told (median, p99 of 100)", ({ pod }) => both(pod.told, 0.99)),
    row("  of which to the API server's answer", ({ pod }) => both(pod.answered, 0.99)),
    row("namespace relabelled, pods in it", ({ namespace }) => count(namespace.pods)),
    row("  request to last agent told (median, worst of 6)", ({ namespace }) =>
      both(namespace.told, 1),
    ),
  ];
}

export function stormLines(storm: StormFigures): string[] {
  return [
    `${count(storm.pods)} pods created while it runs (${count(COHORT)} were there), all selected by one ClusterSPIFFEID`,
    `  first request to last agent told   ${ms(storm.ms)}, ${count(storm.pods / (storm.ms / 1000))} pods a second`,
    `  operator's CPU                     ${(storm.cpuMs / storm.pods).toFixed(2)} ms a pod`,
    `  status writes                      ${storm.statusWrites} (${(storm.statusWrites / (storm.ms / 1000)).toFixed(1)} a second)`,
    `  other writes                       ${storm.otherWrites}`,
    `  status true after the last pod     ${ms(storm.statusLagMs)}`,
  ];
}

function both(times: readonly number[], q: number): string {
  return `${ms(median(times))}, ${ms(quantile(times, q))}`;
}

function memory({ rss, peakRss }: Usage): string {
  const highest = Number.isNaN(peakRss) ? "?" : Math.round(peakRss / MIB);
  return `${Math.round(rss / MIB)}, ${highest} MiB`;
}

function ms(value: number): string {
  return value >= 10_000
    ? `${(value / 1000).toFixed(1)} s`
    : `${value.toFixed(value < 100 ? 1 : 0)} ms`;
}

function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
