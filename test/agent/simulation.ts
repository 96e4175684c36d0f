/**
 * Nodes and an operator in simulated time: the real schedule and pace, calls that queue at the operator, no network
 * and no waiting. 5,000 nodes are simulated by fewer and an operator that is as much slower.
 */
import { FULL_PACE, look, MAX_RUNNING, paceAfter } from "../../src/agent/pace.ts";
import type { Pace } from "../../src/agent/pace.ts";
import {
  LONGEST_SLEEP_MS,
  nextRenewalTime,
  pickDue,
  renewalTime,
  renewalTimeAfter,
  renewalTimeout,
  retryDelay,
} from "../../src/agent/schedule.ts";
import type { Random, Scheduled, Validity } from "../../src/agent/schedule.ts";

export const BACKDATING_MS = 10_000;
/** Sessions come back within this time after the operator did. */
const RECONNECT_MS = 2500;
/** What a failed volume waits at most after that, as in `withEntries`. */
const RECOVERY_MS = 1000;

/** Seconds that a report tells apart; what comes later counts in the last one. */
const LONGEST_REPORT_S = 200_000;

/** An SVID with less than this share of its lifetime left should have been renewed. */
const OVERDUE = 0.44;

/** Random numbers that are the same for the same seed. */
export function seeded(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** What the scheduler does; the others show what each part is good for. */
export interface Policy {
  /** Renewals off the schedule get a moment of their own; otherwise half-life ± 10 % always. */
  readonly parts: boolean;
  /** Nodes ask as fast as the operator answers; otherwise 16 at a time always. */
  readonly paces: boolean;
}
export const SCHEDULE: Policy = { parts: true, paces: true };
export const HALF_LIFE_ONLY: Policy = { parts: false, paces: false };

/** Times in milliseconds since the start. */
export interface Absence {
  readonly from: number;
  readonly to: number;
  /** After what a call fails meanwhile: 5 s when nothing answers, at once when the connection is refused. */
  readonly failsMs: number;
}

export interface SimulatedOperator {
  /** Renewals a second that it can sign. */
  readonly rate: number;
  /** What a call costs it whose caller has given up, as a share of one that it signs. */
  readonly deadShare: number;
  /** Milliseconds that an answer takes when nothing queues. */
  readonly answerMs: number;
  readonly away?: Absence;
  /** Share of the answers that are errors. */
  readonly errors?: number;
}

export interface SimulationOptions {
  readonly nodes: number;
  readonly volumes: number;
  readonly ttlMs: number;
  readonly forMs: number;
  /** When the pods start: all within this time, or long ago and independent of each other. */
  readonly startMs: number | "long ago";
  readonly operator: SimulatedOperator;
  readonly policy?: Policy;
  readonly random: Random;
}

export interface SimulationReport {
  /** Calls that reached the operator, by second. */
  readonly calls: number[];
  /** SVIDs that came, by second. */
  readonly renewed: number[];
  /** Calls that were not answered in time while the operator was there. */
  timeouts: number;
  /** Volumes whose SVID had expired when the next one came. */
  expired: number;
  /** Volumes that hold an expired SVID at the end. */
  expiredAtEnd: number;
  /** Volumes that hold an SVID at the end that should have been renewed long ago. */
  overdueAtEnd: number;
  /** When an SVID came last that was overdue; milliseconds since the start. */
  recoveredAt: number;
  /** The least share of its lifetime that an SVID had left when the next one came; negative for expired. */
  leastLeft: number;
  /** The most that ran at once on one node. */
  mostRunning: number;
}

interface SimulatedVolume extends Scheduled {
  validity: Validity;
  dueAt: number;
  expiresAt: number;
  attempt: number;
  running: boolean;
}

interface SimulatedNode {
  readonly volumes: SimulatedVolume[];
  pace: Pace;
  running: number;
  /** The next look that counts; others are stale. */
  lookAt: number;
}

type Step = () => void;

/** Runs the simulation to its end. */
export function simulate(options: SimulationOptions): SimulationReport {
  const { nodes, volumes, forMs, operator, random, policy = SCHEDULE } = options;
  const report = emptyReport(Math.min(LONGEST_REPORT_S, Math.ceil(forMs / 1000)));
  const agenda = timeline();
  const answer = queue(operator, random);
  for (let i = 0; i < nodes; i++) {
    const node: SimulatedNode = {
      volumes: Array.from({ length: volumes }, () => started(options)),
      pace: FULL_PACE,
      running: 0,
      lookAt: Infinity,
    };
    run(node, { ...options, policy, answer, agenda, report });
  }
  agenda.run(forMs);
  return report;
}

interface World extends SimulationOptions {
  readonly policy: Policy;
  readonly answer: ReturnType<typeof queue>;
  readonly agenda: Timeline;
  readonly report: SimulationReport;
}

function started({ ttlMs, startMs, random }: SimulationOptions): SimulatedVolume {
  const share = startMs === "long ago" ? random() / 2 : 0;
  const issuedAt = startMs === "long ago" ? -share * ttlMs : random() * startMs;
  const validity = issuedAtTime(issuedAt, ttlMs);
  return { validity, dueAt: 0, expiresAt: validity.notAfter, attempt: 0, running: false };
}

/** How a CA answers that dates back. */
export function issuedAtTime(now: number, ttlMs: number): Validity {
  return { notBefore: now - BACKDATING_MS, notAfter: now + ttlMs };
}

function run(node: SimulatedNode, world: World): void {
  const { agenda, operator, random, policy, ttlMs, startMs, report, forMs } = world;
  for (const volume of node.volumes) {
    const issuedAt = volume.validity.notAfter - ttlMs;
    volume.dueAt =
      startMs === "long ago" || !policy.parts
        ? nextRenewalTime(volume.validity, issuedAt, random)
        : renewalTime(volume.validity, issuedAt, random);
  }
  const look = (now: number): void => lookNow(node, now, { world, lookAgain });
  const lookAgain = (at: number): void => {
    if (at >= node.lookAt || at === Infinity) return;
    node.lookAt = at;
    agenda.at(at, () => {
      if (node.lookAt !== at) return;
      node.lookAt = Infinity;
      look(at);
    });
  };
  lookAgain(0);
  if (operator.away) {
    const back = operator.away.to + random() * RECONNECT_MS;
    agenda.at(back, () => {
      for (const volume of node.volumes) {
        if (volume.attempt === 0) continue;
        volume.attempt = 0;
        const soon = back + random() * RECOVERY_MS;
        volume.dueAt = Math.max(soon, renewalTime(volume.validity, back, random));
      }
      lookAgain(back);
    });
  }
  agenda.at(forMs, () => {
    const left = node.volumes.map(({ expiresAt }) => (expiresAt - forMs) / ttlMs);
    report.expiredAtEnd += left.filter((share) => share <= 0).length;
    report.overdueAtEnd += left.filter((share) => share < OVERDUE).length;
  });
}

interface Looking {
  readonly world: World;
  readonly lookAgain: (at: number) => void;
}

function lookNow(node: SimulatedNode, now: number, looking: Looking): void {
  const { policy, report } = looking.world;
  const waiting = node.volumes.filter(({ running }) => !running);
  const { start, sleepMs } = policy.paces
    ? look(waiting, { now, running: node.running, pace: node.pace })
    : {
        start: pickDue(waiting, now, MAX_RUNNING - node.running),
        sleepMs: LONGEST_SLEEP_MS,
      };
  for (const volume of start) call(node, volume, { ...looking, now });
  report.mostRunning = Math.max(report.mostRunning, node.running);
  // Nothing sets this clock, so that nobody has to look at it when nothing is held back.
  const isHeldBack = node.volumes.some(({ running, dueAt }) => !running && dueAt <= now);
  const next = node.volumes.reduce(
    (first, { running, dueAt }) => (running || dueAt <= now ? first : Math.min(first, dueAt)),
    isHeldBack ? now + sleepMs : Infinity,
  );
  looking.lookAgain(next);
}

function call(
  node: SimulatedNode,
  volume: SimulatedVolume,
  { world, lookAgain, now }: Looking & { now: number },
): void {
  const { agenda, random, ttlMs, policy, report, answer } = world;
  const deadline = now + renewalTimeout(volume.expiresAt - now);
  const { endsAt, result } = answer(now, deadline);
  volume.running = true;
  node.running += 1;
  if (result !== "away") count(report.calls, now);
  agenda.at(endsAt, () => {
    volume.running = false;
    node.running -= 1;
    const isDone = result === "renewed";
    node.pace = paceAfter(node.pace, { startedAt: now, endedAt: endsAt, isDone });
    if (isDone) {
      note(report, volume, endsAt);
      const validity = issuedAtTime(endsAt, ttlMs);
      volume.dueAt = policy.parts
        ? renewalTimeAfter(volume.validity, validity, { now: endsAt, random })
        : nextRenewalTime(validity, endsAt, random);
      Object.assign(volume, { validity, expiresAt: validity.notAfter, attempt: 0 });
    } else {
      if (result === "late") report.timeouts += 1;
      volume.dueAt = endsAt + retryDelay(volume.attempt, volume.expiresAt - endsAt, random);
      volume.attempt += 1;
    }
    lookAgain(endsAt);
  });
}

function note(report: SimulationReport, { validity, expiresAt }: SimulatedVolume, now: number) {
  const left = (expiresAt - now) / (expiresAt - validity.notBefore - BACKDATING_MS);
  count(report.renewed, now);
  report.leastLeft = Math.min(report.leastLeft, left);
  if (left <= 0) report.expired += 1;
  if (left < OVERDUE) report.recoveredAt = Math.max(report.recoveredAt, now);
}

/** An operator that answers one call after the other; a caller knows at once how its call will end. */
function queue({ rate, deadShare, answerMs, away, errors = 0 }: SimulatedOperator, random: Random) {
  const costMs = 1000 / rate;
  let freeAt = 0;
  return (now: number, deadline: number) => {
    if (away && now >= away.from && now < away.to) {
      return { endsAt: Math.min(now + away.failsMs, deadline), result: "away" as const };
    }
    const startsAt = Math.max(now, freeAt);
    freeAt = startsAt + (startsAt > deadline ? costMs * deadShare : costMs);
    const endsAt = startsAt + costMs + answerMs;
    if (endsAt > deadline) return { endsAt: deadline, result: "late" as const };
    return { endsAt, result: random() < errors ? ("error" as const) : ("renewed" as const) };
  };
}

interface Timeline {
  at(time: number, step: Step): void;
  /** Takes all steps until `end`, in the order of their times. */
  run(end: number): void;
}

/** A binary heap of steps. */
function timeline(): Timeline {
  const heap: { time: number; step: Step }[] = [];
  const timeOf = (i: number): number => heap[i]?.time ?? Infinity;
  const swap = (a: number, b: number): void => {
    const [x, y] = [heap[a], heap[b]];
    if (x && y) [heap[a], heap[b]] = [y, x];
  };
  const sink = (from: number): void => {
    let i = from;
    for (;;) {
      const child = timeOf(2 * i + 2) < timeOf(2 * i + 1) ? 2 * i + 2 : 2 * i + 1;
      if (timeOf(child) >= timeOf(i)) return;
      swap(i, child);
      i = child;
    }
  };
  return {
    at(time, step) {
      let i = heap.push({ time, step }) - 1;
      for (let up = (i - 1) >> 1; i > 0 && timeOf(i) < timeOf(up); up = (i - 1) >> 1) {
        swap(i, up);
        i = up;
      }
    },
    run(end) {
      for (let first = heap[0]; first && first.time <= end; first = heap[0]) {
        swap(0, heap.length - 1);
        heap.pop();
        sink(0);
        first.step();
      }
    },
  };
}

function emptyReport(seconds: number): SimulationReport {
  const zeros = (): number[] => Array.from({ length: seconds + 1 }, () => 0);
  return {
    calls: zeros(),
    renewed: zeros(),
    timeouts: 0,
    expired: 0,
    expiredAtEnd: 0,
    overdueAtEnd: 0,
    recoveredAt: 0,
    leastLeft: 1,
    mostRunning: 0,
  };
}

function count(perSecond: number[], now: number): void {
  const second = Math.min(perSecond.length - 1, Math.floor(now / 1000));
  perSecond[second] = (perSecond[second] ?? 0) + 1;
}

export interface HerdOptions {
  readonly count: number;
  readonly ttlMs: number;
  readonly forMs: number;
  /** How long after the start each SVID is asked for by a common cause: all at once, whatever their schedule is. */
  readonly causeAt?: number;
  readonly parts: boolean;
  readonly random: Random;
}

/** Renewals by second of SVIDs that are all issued at the start, with an operator that answers at once. */
export function herd(options: HerdOptions): number[] {
  const { count: size, ttlMs, forMs, causeAt = Infinity, parts, random } = options;
  const renewals = Array.from({ length: Math.ceil(forMs / 1000) }, () => 0);
  for (let i = 0; i < size; i++) {
    let validity = issuedAtTime(0, ttlMs);
    let at = parts ? renewalTime(validity, 0, random) : nextRenewalTime(validity, 0, random);
    let hasCause = true;
    while (at < forMs) {
      if (hasCause && at >= causeAt) {
        at = causeAt;
        hasCause = false;
      }
      count(renewals, at);
      const next = issuedAtTime(at, ttlMs);
      const moment = { now: at, random };
      at = parts ? renewalTimeAfter(validity, next, moment) : nextRenewalTime(next, at, random);
      validity = next;
    }
  }
  return renewals;
}

/** Sums over `size` neighbours each. */
export function binned(values: readonly number[], size: number): number[] {
  return Array.from({ length: Math.floor(values.length / size) }, (_, i) =>
    values.slice(i * size, (i + 1) * size).reduce((a, b) => a + b, 0),
  );
}

/** How many times the mean the highest value is. */
export function peakToMean(values: readonly number[]): number {
  return (Math.max(...values) * values.length) / values.reduce((a, b) => a + b, 0);
}
