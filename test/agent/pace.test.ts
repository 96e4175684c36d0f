import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  FULL_PACE,
  look,
  MAX_RUNNING,
  MAX_URGENT,
  MIN_RUNNING,
  paceAfter,
} from "../../src/agent/pace.ts";
import type { Outcome, Pace } from "../../src/agent/pace.ts";
import { LONGEST_SLEEP_MS } from "../../src/agent/schedule.ts";

/** The pace after works that ran one after the other. */
function after(pace: Pace, ...works: readonly { took: number; isDone: boolean }[]): Pace {
  let now = 0;
  return works.reduce((before, { took, isDone }) => {
    const startedAt = now;
    now += took;
    return paceAfter(before, { startedAt, endedAt: now, isDone });
  }, pace);
}

const times = <T>(n: number, one: T): T[] => Array.from({ length: n }, () => one);
const fast = { took: 10, isDone: true };
const late = { took: 10_000, isDone: false };

test("answers that do not come in time slow a node down to one call at a time", () => {
  expect(after(FULL_PACE, late).limit).toBe(MAX_RUNNING / 2);
  expect(after(FULL_PACE, ...times(10, late)).limit).toBe(MIN_RUNNING);
});

test("what ran at the same time slows a node down once", () => {
  const together = times(16, { startedAt: 0, endedAt: 10_000, isDone: false });
  const pace = together.reduce((before, outcome) => paceAfter(before, outcome), FULL_PACE);
  expect(pace.limit).toBe(MAX_RUNNING / 2);
});

test("renewals that come fast bring the full pace back, one more for each round", () => {
  const slow = after(FULL_PACE, ...times(10, late));
  expect(after(slow, fast).limit).toBe(2);
  expect(after(slow, fast, fast, fast).limit).toBeCloseTo(2.9, 1);
  expect(after(slow, ...times(200, fast)).limit).toBe(MAX_RUNNING);
});

test("calls that fail at once leave a node a few at a time", () => {
  expect(after(FULL_PACE, ...times(20, { took: 5, isDone: false })).limit).toBe(4);
});

test("calls that fail after a while change nothing", () => {
  const slow = after(FULL_PACE, ...times(10, late));
  for (const pace of [slow, FULL_PACE]) {
    expect(after(pace, ...times(20, { took: 1500, isDone: false })).limit).toBe(pace.limit);
  }
});

test("an operator that always takes 9 s is not one that has too much to do", () => {
  expect(after(FULL_PACE, ...times(50, { took: 9000, isDone: true })).limit).toBe(MAX_RUNNING);
});

test("an operator that becomes slow has too much to do, until it stays so", () => {
  const known = after(FULL_PACE, ...times(20, fast));
  expect(after(known, ...times(10, { took: 5000, isDone: true })).limit).toBe(MIN_RUNNING);
  const used = after(known, ...times(300, { took: 5000, isDone: true }));
  expect(used.limit).toBeGreaterThan(MAX_RUNNING / 2);
});

test("a clock that was set back does not keep a node from slowing down", () => {
  const before = paceAfter(FULL_PACE, { startedAt: 1e9, endedAt: 1e9 + 10_000, isDone: false });
  expect(paceAfter(before, { startedAt: 0, endedAt: 10_000, isDone: false }).limit).toBe(4);
});

test("whatever comes of the works, a pace stays between one and sixteen", () => {
  const work = fc.record({
    startedAt: fc.integer({ min: -1e12, max: 1e12 }),
    endedAt: fc.integer({ min: -1e12, max: 1e12 }),
    isDone: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(work, { maxLength: 200 }), (outcomes: Outcome[]) => {
      const pace = outcomes.reduce((before, outcome) => paceAfter(before, outcome), FULL_PACE);
      expect(pace.limit).toBeGreaterThanOrEqual(MIN_RUNNING);
      expect(pace.limit).toBeLessThanOrEqual(MAX_RUNNING);
      expect(pace.knownMs).toBeGreaterThanOrEqual(0);
    }),
  );
});

const item = fc.record({
  dueAt: fc.oneof(fc.integer({ min: 0, max: 2000 }), fc.constant(Infinity)),
  expiresAt: fc.oneof(fc.integer({ min: 0, max: 100_000 }), fc.constant(-Infinity)),
});

test("a look starts the most urgent of what is due, as many as may run, and then sleeps for no longer than 10 s", () => {
  const paces = fc.record({
    limit: fc.oneof(
      fc.double({ min: MIN_RUNNING, max: MAX_RUNNING, noNaN: true }),
      fc.constant(MAX_RUNNING),
    ),
    knownMs: fc.oneof(fc.integer({ min: 0, max: 10_000 }), fc.constant(Infinity)),
    loweredAt: fc.constant(-Infinity),
  });
  const known = fc.record({
    now: fc.constant(1000),
    running: fc.integer({ min: 0, max: 70 }),
    pace: paces,
  });
  fc.assert(
    fc.property(fc.array(item, { maxLength: 120 }), known, (items, { now, running, pace }) => {
      const { start, sleepMs } = look(items, { now, running, pace });
      const due = items.filter(({ dueAt }) => dueAt <= now);
      const order = due.map(({ expiresAt }) => expiresAt).toSorted((a, b) => a - b);
      expect(start.map(({ expiresAt }) => expiresAt)).toEqual(order.slice(0, start.length));
      const least = Math.min(due.length, Math.max(0, Math.floor(pace.limit) - running));
      expect(start.length).toBeGreaterThanOrEqual(least);
      expect(start.length).toBeLessThanOrEqual(Math.max(0, MAX_URGENT - running));
      expect(start.length === least || pace.limit >= MAX_RUNNING).toBe(true);
      const isHeldBack = start.length < due.length;
      const next = items.filter(({ dueAt }) => dueAt > now).map(({ dueAt }) => dueAt - now);
      const sleep = isHeldBack ? 1000 : Math.min(LONGEST_SLEEP_MS, ...next);
      expect(sleepMs).toBe(sleep);
    }),
  );
});

test("while the operator is slow but able, as many run as have to", () => {
  const due = times(40, { dueAt: 0, expiresAt: 30_000 });
  const pace = { ...FULL_PACE, knownMs: 9000 };
  // Each of two rounds of 9 s has to take half of them.
  expect(look(due, { now: 0, running: 0, pace }).start).toHaveLength(18);
  expect(look(due, { now: 9000, running: 0, pace }).start).toHaveLength(30);
  const expired = times(40, { dueAt: 0, expiresAt: -1 });
  expect(look(expired, { now: 0, running: 0, pace }).start).toHaveLength(MAX_RUNNING);
  const urgent = times(500, { dueAt: 0, expiresAt: 30_000 });
  expect(look(urgent, { now: 0, running: 10, pace }).start).toHaveLength(MAX_URGENT - 10);
});
