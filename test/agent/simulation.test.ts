import { describe, expect, test } from "vitest";
import { MAX_RUNNING, MAX_URGENT } from "../../src/agent/pace.ts";
import {
  binned,
  HALF_LIFE_ONLY,
  herd,
  peakToMean,
  SCHEDULE,
  seeded,
  simulate,
} from "./simulation.ts";
import type { Policy, SimulatedOperator, SimulationOptions } from "./simulation.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const quick: SimulatedOperator = { rate: 2000, deadShare: 1, answerMs: 5 };
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

function fullNodes(options: Partial<SimulationOptions> & { ttlMs: number }) {
  const defaults = { nodes: 3, volumes: 110, startMs: SECOND, operator: quick, random: seeded(7) };
  return simulate({ ...defaults, forMs: 8 * options.ttlMs, ...options });
}

describe("with an operator that answers", () => {
  const ttls = [10 * SECOND, MINUTE, HOUR, DAY, 365 * DAY];
  test.each(ttls)("SVIDs of %d ms are renewed with 44 % of their lives left", (ttlMs) => {
    const { leastLeft, expired, expiredAtEnd, renewed } = fullNodes({
      ttlMs,
      nodes: 1,
      forMs: 4 * ttlMs,
    });
    expect(leastLeft).toBeGreaterThan(0.44);
    expect([expired, expiredAtEnd]).toEqual([0, 0]);
    // Four lives are eight half-lives; the first renewal is earlier.
    expect(sum(renewed)).toBeGreaterThan(110 * 6.5);
    expect(sum(renewed)).toBeLessThan(110 * 9.5);
  });

  test("that takes 9 s for each answer, no SVID of a node with room for it expires", () => {
    const slow = { ...quick, answerMs: 9000 };
    const cases = [
      { ttlMs: MINUTE, volumes: 30 },
      { ttlMs: 2 * MINUTE, volumes: 110 },
      { ttlMs: HOUR, volumes: 110 },
      { ttlMs: DAY, volumes: 110 },
    ];
    for (const one of cases) {
      const { expired, expiredAtEnd, mostRunning } = fullNodes({ ...one, operator: slow });
      expect([one, expired, expiredAtEnd]).toEqual([one, 0, 0]);
      expect(mostRunning).toBeLessThanOrEqual(MAX_RUNNING);
    }
  });

  test("that takes 9 s for each answer, a full node with lives of 60 s loses next to none", () => {
    const report = fullNodes({ ttlMs: MINUTE, operator: { ...quick, answerMs: 9000 } });
    // 37 have to run at once all the time for this.
    expect(report.mostRunning).toBeGreaterThan(MAX_RUNNING);
    expect(report.mostRunning).toBeLessThanOrEqual(MAX_URGENT);
    expect(report.expired).toBeLessThan(sum(report.renewed) / 100);
  });

  test("that fails half of the time, no SVID of a minute or more expires, and retries are bounded", () => {
    for (const ttlMs of [MINUTE, HOUR, DAY]) {
      const { calls, renewed, expired } = fullNodes({ ttlMs, operator: { ...quick, errors: 0.5 } });
      expect([ttlMs, expired]).toEqual([ttlMs, 0]);
      expect(sum(calls)).toBeLessThan(sum(renewed) * 2.2);
    }
  });

  test("that fails half of the time, of SVIDs of 10 s one in 500 is late", () => {
    const report = fullNodes({ ttlMs: 10 * SECOND, operator: { ...quick, errors: 0.5 } });
    expect(report.expired).toBeLessThan(sum(report.renewed) / 500);
  });
});

describe("pods that start at the same moment", () => {
  const day = { count: 20_000, ttlMs: HOUR, forMs: DAY, random: seeded(1) };
  /** Of each half-hour, how much more than the mean its fullest minute has. */
  const generations = (perSecond: readonly number[]): number[] => {
    const minutes = binned(perSecond, 60);
    return Array.from({ length: 48 }, (_, i) => peakToMean(minutes.slice(i * 30, i * 30 + 30)));
  };

  test("are renewed evenly from the first generation on", () => {
    const [first = NaN, ...later] = generations(herd({ ...day, parts: true }));
    expect(first).toBeLessThan(1.9);
    expect(Math.max(...later)).toBeLessThan(1.8);
    expect(Math.max(...later.slice(20))).toBeLessThan(1.3);
  });

  test("would stay together for hours by half-lives alone", () => {
    const peaks = generations(herd({ ...day, parts: false }));
    expect(peaks[1]).toBeGreaterThan(4);
    expect(peaks[8]).toBeGreaterThan(2);
  });

  test("and those that a new authority or entry renews at one moment part again after it", () => {
    const causeAt = 4 * HOUR;
    const perSecond = herd({ ...day, causeAt, parts: true });
    const after = generations(perSecond).slice(9);
    expect(perSecond[causeAt / SECOND]).toBeGreaterThan(10_000);
    expect(Math.max(...after)).toBeLessThan(2.2);
    const alone = generations(herd({ ...day, causeAt, parts: false })).slice(9);
    expect(Math.max(...alone)).toBeGreaterThan(4);
  });
});

describe("when the operator comes back", () => {
  const FROM = MINUTE;
  /** Of an operator that signs 4,000 a second for 5,000 nodes, what one node gets. */
  const SHARE = 4000 / 5000;
  /** What the operator needs to sign for all: 550,000 volumes, or 110 of each node. */
  const AT_FULL_SPEED = (110 / SHARE) * SECOND;
  const outage = (awayMs: number, options: Partial<SimulationOptions> = {}) => {
    const { nodes = 10 } = options;
    const to = FROM + awayMs;
    const away = { from: FROM, to, failsMs: 5 };
    const report = simulate({
      nodes,
      volumes: 110,
      ttlMs: HOUR,
      forMs: to + 20 * MINUTE,
      startMs: "long ago",
      operator: { rate: SHARE * nodes, deadShare: 1, answerMs: 5, away },
      random: seeded(2),
      ...options,
    });
    const since = to / SECOND;
    return { ...report, recoveredAfter: report.recoveredAt - to, back: report.calls.slice(since) };
  };

  test("after 10 minutes, nobody's SVID has expired and no call was in vain", () => {
    const report = outage(10 * MINUTE);
    expect([report.expired, report.overdueAtEnd]).toEqual([0, 0]);
    expect(report.timeouts).toBe(0);
    expect(report.recoveredAfter).toBeLessThan(AT_FULL_SPEED);
  });

  test.each([
    { awayMs: 50 * MINUTE, nodes: 8 },
    { awayMs: 6 * HOUR, nodes: 2 },
  ])("after $awayMs ms, all is well as soon as it can be", ({ awayMs, nodes }) => {
    const report = outage(awayMs, { nodes });
    expect(report.recoveredAfter).toBeLessThan(AT_FULL_SPEED * 1.1);
    expect([report.expiredAtEnd, report.overdueAtEnd]).toEqual([0, 0]);
    expect(report.timeouts).toBeLessThan(nodes);
    // One call for each volume, and a few that had begun or came around again.
    expect(sum(report.back.slice(0, 200))).toBeLessThan(nodes * 110 * 1.15);
    expect(Math.max(...report.back)).toBeLessThan(SHARE * nodes * 10);
  });

  test("after an outage longer than the lives, what was renewed at once parts again", () => {
    const forMs = FROM + 65 * MINUTE + 3 * HOUR;
    const peak = (policy: Policy): number => {
      const { back } = outage(65 * MINUTE, { nodes: 6, forMs, policy });
      return peakToMean(binned(back, 120).slice(3, 63));
    };
    expect(peak(SCHEDULE)).toBeLessThan(2.5);
    expect(peak({ ...SCHEDULE, parts: false })).toBeGreaterThan(3);
  });

  test("an operator that never catches up is why nodes pace themselves", () => {
    const paced = outage(50 * MINUTE);
    const unpaced = outage(50 * MINUTE, { policy: { ...SCHEDULE, paces: false } });
    expect(paced.expiredAtEnd).toBe(0);
    expect(unpaced.expiredAtEnd).toBeGreaterThan(10 * 50);
    expect(sum(unpaced.back)).toBeGreaterThan(sum(paced.back) * 2);
  });

  test("what can be saved is saved: an outage that ends in time costs nobody's SVID", () => {
    // The first expires half an hour after the start: 4 minutes are left for what needs 2.3.
    const report = outage(25 * MINUTE);
    expect([report.expired, report.expiredAtEnd]).toEqual([0, 0]);
    expect(report.recoveredAfter).toBeLessThan(4 * MINUTE);
  });

  test("one node alone is well again within seconds after any outage", () => {
    const alone = { nodes: 1, operator: { rate: 1000, deadShare: 1, answerMs: 5 } };
    for (const awayMs of [10 * MINUTE, 6 * HOUR]) {
      const away = { from: FROM, to: FROM + awayMs, failsMs: 5000 };
      const report = outage(awayMs, { ...alone, operator: { ...alone.operator, away } });
      expect(report.recoveredAfter).toBeLessThan(6 * SECOND);
    }
  });
});

test("the old way and the new ask equally often when nothing happens", () => {
  const options = { nodes: 2, ttlMs: HOUR, startMs: "long ago", forMs: 24 * HOUR } as const;
  const calls = [SCHEDULE, HALF_LIFE_ONLY].map((policy) =>
    sum(fullNodes({ ...options, policy }).calls),
  );
  expect((calls[0] ?? NaN) / (calls[1] ?? NaN)).toBeCloseTo(1, 1);
});
