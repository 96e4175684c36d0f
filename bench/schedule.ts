/**
 * The renewal schedule in simulated time: how the renewals of pods that started together spread, what an operator
 * sees when it comes back, and what one decision costs. Usage: node bench/schedule.ts
 */
import { FULL_PACE, look } from "../src/agent/pace.ts";
import {
  binned,
  HALF_LIFE_ONLY,
  herd,
  peakToMean,
  SCHEDULE,
  seeded,
  simulate,
} from "../test/agent/simulation.ts";
import type { Policy } from "../test/agent/simulation.ts";
import { median } from "./median.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const COUNT = 20_000;
/** Nodes of 110 volumes that stand for 5,000, with an operator that is as much slower. */
const NODES = 8;
const SHARE = 4000 / 5000;
const GENERATIONS = [1, 2, 3, 5, 10, 24, 48];
const BAR = 40;

/** Runs the benchmark, a few seconds, and gives its lines. */
export function run(): Promise<string[]> {
  return Promise.resolve([
    "Schedule: renewals of 20,000 pods that started together, 1 h SVIDs",
    ...spread(),
    "Schedule: 5,000 nodes of 110 pods when an operator of 4,000 renewals a second comes back",
    ...recovery(),
    "Schedule: one decision of the loop",
    ...decisions(),
  ]);
}

function spread(): string[] {
  const day = { count: COUNT, ttlMs: HOUR, forMs: DAY };
  const alone = herd({ ...day, parts: false, random: seeded(1) });
  const parting = herd({ ...day, parts: true, random: seeded(1) });
  return [
    `  fullest minute, times the mean, of half-hour   ${GENERATIONS.map((g) => `${g}`.padStart(5)).join(" ")}`,
    `  half-life ± 10 % alone                         ${peaks(alone)}`,
    `  each at a moment of its own first              ${peaks(parting)}`,
    `  renewals of one pod in the day: ${perPod(alone)} alone, ${perPod(parting)} with it`,
    "  renewals in each 5 minutes of the first two hours: alone | with it",
    ...histogram(alone, parting),
  ];
}

function peaks(perSecond: readonly number[]): string {
  const minutes = binned(perSecond, 60);
  const peak = (generation: number): string =>
    peakToMean(minutes.slice((generation - 1) * 30, generation * 30)).toFixed(1);
  return GENERATIONS.map((generation) => peak(generation).padStart(5)).join(" ");
}

function perPod(perSecond: readonly number[]): string {
  return (perSecond.reduce((a, b) => a + b, 0) / COUNT).toFixed(1);
}

function histogram(alone: readonly number[], parting: readonly number[]): string[] {
  const [left, right] = [alone, parting].map((one) => binned(one, 300).slice(0, 24));
  if (!left || !right) return [];
  const most = Math.max(...left, ...right);
  const bar = (value: number): string => "#".repeat(Math.round((value / most) * BAR));
  return left.map((value, i) => {
    const minute = `${i * 5}`.padStart(3);
    return `  ${minute} min ${bar(value).padEnd(BAR)} | ${bar(right[i] ?? 0)}`.trimEnd();
  });
}

function recovery(): string[] {
  const policies: [string, Policy][] = [
    ["paced", SCHEDULE],
    ["16 at a time", HALF_LIFE_ONLY],
  ];
  return [10 * MINUTE, 50 * MINUTE, 65 * MINUTE].flatMap((awayMs) =>
    policies.map(([name, policy]) => comeback(awayMs, name, policy)),
  );
}

function comeback(awayMs: number, name: string, policy: Policy): string {
  const to = MINUTE + awayMs;
  const forMs = to + 15 * MINUTE;
  const report = simulate({
    nodes: NODES,
    volumes: 110,
    ttlMs: HOUR,
    forMs,
    startMs: "long ago",
    operator: {
      rate: SHARE * NODES,
      deadShare: 1,
      answerMs: 5,
      away: { from: MINUTE, to, failsMs: 5 },
    },
    policy,
    random: seeded(2),
  });
  const back = report.calls.slice(to / SECOND);
  const scale = 5000 / NODES;
  const last = (report.recoveredAt - to) / SECOND;
  const isWell = report.overdueAtEnd <= NODES;
  return [
    `  away ${awayMs / MINUTE} min, ${name}:`.padEnd(28),
    isWell ? `well after ${last.toFixed(0)} s` : "not well after 15 min",
    `fullest second ${Math.round(Math.max(...back) * scale)} calls`,
    `${Math.round(report.timeouts * scale)} in vain`,
    `${Math.round(report.expiredAtEnd * scale)} expired 15 min later`,
  ].join("  ");
}

function decisions(): string[] {
  return [110, 1000, 10_000].map((size) => {
    const random = seeded(size);
    const items = (due: number) =>
      Array.from({ length: size }, (_, i) => {
        const dueAt = i < due ? 0 : 1e6 + random() * 1e6;
        return { dueAt, expiresAt: 2e6 + random() * 1e6 };
      });
    const [idle, one, all] = [0, 1, size].map((due) => microseconds(items(due)));
    return `  ${size} volumes: ${idle} µs when none is due, ${one} µs when one is, ${all} µs when all are`;
  });
}

function microseconds(items: readonly { dueAt: number; expiresAt: number }[]): string {
  const rounds = Array.from({ length: 200 }, () => {
    const start = performance.now();
    look(items, { now: 1000, running: 0, pace: FULL_PACE });
    return (performance.now() - start) * 1000;
  });
  return median(rounds).toFixed(1);
}

if (import.meta.main) console.log((await run()).join("\n"));
