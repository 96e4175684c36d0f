import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  deniedDelay,
  LONGEST_SLEEP_MS,
  nextRenewalTime,
  pickDue,
  renewalTime,
  renewalTimeout,
  retryDelay,
  sleepTime,
} from "../../src/agent/schedule.ts";

const itemDueAt = (dueAt: number) => ({ dueAt, expiresAt: 0 });
const YEAR = 365 * 86_400_000;
const ttls = fc.integer({ min: 10_000, max: YEAR });
const chances = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
/** How a CA that dates back by 10 s answers at `now`. */
const issuedAt = (now: number, ttl: number) => ({ notBefore: now - 10_000, notAfter: now + ttl });

test("a fresh SVID is renewed at half-life ± 10 %", () => {
  fc.assert(
    fc.property(ttls, chances, (ttl, chance) => {
      const due = nextRenewalTime(issuedAt(0, ttl), 0, () => chance);
      expect(due).toBeGreaterThanOrEqual(ttl * 0.45 - 1);
      expect(due).toBeLessThanOrEqual(ttl * 0.55 + 1);
    }),
  );
});

test("an SVID that is taken over later keeps to the half-life of its issue", () => {
  fc.assert(
    fc.property(ttls, chances, chances, (ttl, chance, age) => {
      const due = renewalTime(issuedAt(0, ttl), age * ttl, () => chance);
      // Up to a minute of a lifetime counts as backdating.
      expect(due).toBeLessThanOrEqual(Math.min(ttl, 60_000) / 2 + ttl * 0.55 + 1);
      expect(due).toBeLessThan(ttl);
      expect(due).toBeGreaterThanOrEqual(ttl * 0.45 - 10_000);
    }),
  );
});

test("a node whose clock runs ahead does not renew without pause", () => {
  fc.assert(
    fc.property(ttls, chances, chances, (ttl, skew, chance) => {
      const now = skew * (ttl - 1);
      const due = nextRenewalTime(issuedAt(0, ttl), now, () => chance);
      expect(due - now).toBeGreaterThanOrEqual(Math.max(1000, (ttl - now) / 4));
    }),
  );
});

test("a node whose clock runs behind still renews before the expiry", () => {
  fc.assert(
    fc.property(ttls, fc.integer({ min: 0, max: YEAR }), chances, (ttl, behind, chance) => {
      const due = nextRenewalTime(issuedAt(behind, ttl), 0, () => chance);
      expect(due).toBeLessThan(behind + ttl);
    }),
  );
});

test("an SVID that is past its half-life is due", () => {
  expect(renewalTime(issuedAt(0, 3_600_000), 2_400_000, () => 0.5)).toBeLessThan(2_400_000);
});

test("renewals of pods that started together are spread over their window", () => {
  let seed = 1;
  const random = (): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed / 2_147_483_647;
  };
  const buckets = Array.from({ length: 10 }, () => 0);
  for (let i = 0; i < 10_000; i++) {
    const share = nextRenewalTime(issuedAt(0, 3_600_000), 0, random) / 3_600_000;
    const bucket = Math.min(9, Math.floor((share - 0.45) * 100));
    buckets[bucket] = (buckets[bucket] ?? 0) + 1;
  }
  for (const count of buckets) expect(count).toBeGreaterThan(800);
});

test("failures are retried from 1 s up to 60 s", () => {
  const delays = [0, 1, 2, 3, 10, 1000].map((attempt) => retryDelay(attempt, YEAR, () => 0.5));
  expect(delays).toEqual([1000, 2000, 4000, 8000, 60_000, 60_000]);
});

test("a retry never takes more than a quarter of what is left", () => {
  const attempts = fc.integer({ min: 0, max: 100 });
  const remainders = fc.integer({ min: 1000, max: YEAR });
  fc.assert(
    fc.property(attempts, remainders, chances, (attempt, remaining, chance) => {
      const delay = retryDelay(attempt, remaining, () => chance);
      expect(delay).toBeGreaterThanOrEqual(250);
      expect(delay).toBeLessThanOrEqual(Math.max(250, remaining / 4));
    }),
  );
});

test("an expired SVID is asked for once a minute at the slowest", () => {
  expect(retryDelay(0, -5, () => 0.5)).toBe(1000);
  expect(retryDelay(50, 0, () => 0.5)).toBe(60_000);
});

test("a refused pod is asked for again while its SVID lives, after 5 minutes and a bit at the latest", () => {
  fc.assert(
    fc.property(fc.integer({ min: -YEAR, max: YEAR }), chances, (remaining, chance) => {
      const delay = deniedDelay(remaining, () => chance);
      expect(delay).toBeGreaterThanOrEqual(1000);
      expect(delay).toBeLessThanOrEqual(330_000);
      expect(remaining <= 4000 || delay < remaining / 2).toBe(true);
    }),
  );
});

test("an SVID is renewed before it expires when the operator answers one try of four", () => {
  const failures = fc.integer({ min: 0, max: 3 });
  fc.assert(
    fc.property(ttls, failures, chances, chances, (ttl, failing, chance, slowness) => {
      let now = nextRenewalTime(issuedAt(0, ttl), 0, () => chance);
      for (let attempt = 0; attempt < failing; attempt++) {
        now += (slowness * ttl) / 40;
        now += retryDelay(attempt, ttl - now, () => chance);
      }
      expect(now).toBeLessThan(ttl);
    }),
  );
});

test("at least three more tries fit before the expiry after any failure", () => {
  const attempts = fc.integer({ min: 0, max: 20 });
  const remainders = fc.integer({ min: 2000, max: YEAR });
  fc.assert(
    fc.property(attempts, remainders, chances, (attempt, remaining, chance) => {
      let left = remaining;
      for (let i = 0; i < 3; i++) left -= retryDelay(attempt + i, left, () => chance);
      expect(left).toBeGreaterThan(0);
    }),
  );
});

test("a renewal may take 10 s, and less for short lives", () => {
  expect(renewalTimeout(1_800_000)).toBe(10_000);
  expect(renewalTimeout(20_000)).toBe(5000);
  expect(renewalTimeout(4000)).toBe(2000);
  expect(renewalTimeout(-1)).toBe(10_000);
});

test("what expires first is picked first, and no more than is free", () => {
  const item = fc.record({
    dueAt: fc.integer({ min: 0, max: 20 }),
    expiresAt: fc.integer({ min: 0, max: 100 }),
  });
  fc.assert(
    fc.property(fc.array(item), fc.integer({ min: -1, max: 16 }), (items, free) => {
      const picked = pickDue(items, 10, free);
      const due = items.filter(({ dueAt }) => dueAt <= 10);
      expect(picked).toHaveLength(Math.min(due.length, Math.max(0, free)));
      const first = due.map(({ expiresAt }) => expiresAt).toSorted((a, b) => a - b);
      expect(picked.map(({ expiresAt }) => expiresAt)).toEqual(first.slice(0, picked.length));
    }),
  );
});

test("the scheduler sleeps until the first is due, and looks at the clock now and then", () => {
  expect(sleepTime([500, 200].map(itemDueAt), 100)).toBe(100);
  expect(sleepTime([Infinity].map(itemDueAt), 100)).toBe(LONGEST_SLEEP_MS);
  expect(sleepTime([50].map(itemDueAt), 100)).toBe(0);
});
