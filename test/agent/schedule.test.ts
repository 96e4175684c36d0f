import * as fc from "fast-check";
import { expect, test } from "vitest";
import {
  deniedDelay,
  LONGEST_SLEEP_MS,
  nextRenewalTime,
  pickDue,
  renewalTime,
  renewalTimeAfter,
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
      // Up to a minute of a lifetime counts as backdating.
      const old = Math.max(Math.min(60_000, ttl / 2 + 5000) + 1, age * ttl);
      const due = renewalTime(issuedAt(0, ttl), old, () => chance);
      expect(due).toBeLessThanOrEqual(Math.min(ttl, 60_000) / 2 + ttl * 0.55 + 1);
      expect(due).toBeLessThan(ttl);
      expect(due).toBeGreaterThanOrEqual(ttl * 0.45 - 10_000);
    }),
  );
});

test("a fresh SVID that is taken over is renewed at any time up to 55 % of its lifetime", () => {
  expect(renewalTime(issuedAt(0, 100_000), 0, () => 0)).toBe(10_000);
  expect(renewalTime(issuedAt(0, 100_000), 0, () => 1)).toBe(55_000);
});

test("a renewal is planned between now and the expiry, in whole milliseconds, and later for a later now", () => {
  const times = fc.tuple(ttls, fc.integer({ min: 0, max: 120_000 }), chances, chances, chances);
  fc.assert(
    fc.property(times, ([ttl, backdating, chance, first, second]) => {
      const validity = { notBefore: -backdating, notAfter: ttl };
      const moments = [first, second].map((share) => Math.floor(share * (ttl - 2000)));
      const [early = 0, late = 0] = moments.toSorted((a, b) => a - b);
      const random = (): number => chance;
      const plans = [
        (now: number) => nextRenewalTime(validity, now, random),
        (now: number) => renewalTimeAfter(undefined, validity, { now, random }),
        (now: number) => renewalTimeAfter(validity, validity, { now: now + 1, random }),
      ];
      for (const plan of plans) {
        const due = plan(late);
        expect(Number.isSafeInteger(due)).toBe(true);
        expect(due).toBeGreaterThan(late);
        expect(due).toBeLessThan(ttl);
      }
      const adoptions = [early, late].map((now) => renewalTime(validity, now, random));
      expect(adoptions[0]).toBeLessThanOrEqual(adoptions[1] ?? NaN);
      expect(nextRenewalTime(validity, early, random)).toBeLessThanOrEqual(
        nextRenewalTime(validity, late, random) + 1,
      );
    }),
  );
});

test("what was renewed on its schedule keeps to half-lives, anything else gets a moment of its own", () => {
  const ttl = 3_600_000;
  const before = issuedAt(0, ttl);
  const delayAt = (now: number, replaced: typeof before | undefined) =>
    renewalTimeAfter(replaced, issuedAt(now, ttl), { now, random: () => 0 }) - now;
  for (const share of [0.45, 0.5, 0.55, 0.58])
    expect(delayAt(share * ttl, before)).toBeCloseTo(0.45 * ttl);
  for (const share of [0.01, 0.4, 0.65, 0.99, 7])
    expect(delayAt(share * ttl, before)).toBeCloseTo(0.1 * ttl);
  expect(delayAt(0, undefined)).toBeCloseTo(0.1 * ttl);
});

test("a clock that runs behind is no reason to renew more often", () => {
  const replaced = issuedAt(100_000, 3_600_000);
  const next = issuedAt(200_000, 3_600_000);
  const due = renewalTimeAfter(replaced, next, { now: 0, random: () => 0 });
  expect(due).toBeCloseTo(0.45 * 3_550_000);
});

test("a short-lived SVID that was renewed after a few tries is still on its schedule", () => {
  const replaced = issuedAt(0, 10_000);
  const due = renewalTimeAfter(replaced, issuedAt(9000, 10_000), { now: 9000, random: () => 0 });
  expect(due).toBe(13_500);
});

test("a node whose clock runs ahead does not renew without pause", () => {
  fc.assert(
    fc.property(ttls, chances, chances, (ttl, skew, chance) => {
      const now = Math.floor(skew * (ttl - 1));
      const due = nextRenewalTime(issuedAt(0, ttl), now, () => chance);
      expect(due - now).toBeGreaterThanOrEqual(Math.max(1000, (ttl - now) / 4));
    }),
  );
});

test("a node whose clock runs behind renews before the others see the SVID expired", () => {
  fc.assert(
    fc.property(ttls, fc.integer({ min: 10_001, max: YEAR }), chances, (ttl, behind, chance) => {
      for (const plan of [nextRenewalTime, renewalTime]) {
        const due = plan(issuedAt(behind, ttl), 0, () => chance);
        expect(due).toBeGreaterThanOrEqual(1000);
        expect(due).toBeLessThanOrEqual(Math.max(1000, ttl * 0.55 + 10_000 / 2));
        expect(due).toBeLessThan(ttl);
      }
    }),
  );
});

test("an SVID that has expired when it comes, by the node's clock, is renewed by its lifetime", () => {
  const due = nextRenewalTime(issuedAt(0, 3_600_000), 4_000_000, () => 0.5);
  expect(due - 4_000_000).toBeGreaterThan(1_700_000);
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

test("a renewal may take 10 s, for short lives half of what is left, but never less than 5 s", () => {
  expect(renewalTimeout(1_800_000)).toBe(10_000);
  expect(renewalTimeout(15_000)).toBe(7500);
  expect(renewalTimeout(4000)).toBe(5000);
  expect(renewalTimeout(-1)).toBe(10_000);
});

test("three tries that are not answered in time begin before an SVID of a minute or more expires", () => {
  const longer = fc.integer({ min: 60_000, max: YEAR });
  fc.assert(
    fc.property(longer, chances, (ttl, chance) => {
      let now = nextRenewalTime(issuedAt(0, ttl), 0, () => chance);
      for (let attempt = 0; attempt < 2; attempt++) {
        now += renewalTimeout(ttl - now);
        now += retryDelay(attempt, ttl - now, () => chance);
      }
      expect(now).toBeLessThan(ttl);
    }),
  );
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
      expect(new Set(picked).size).toBe(picked.length);
      for (const one of picked) expect(due).toContain(one);
    }),
  );
});

test("the scheduler sleeps until the first is due, and looks at the clock now and then", () => {
  expect(sleepTime([500, 200].map(itemDueAt), 100)).toBe(100);
  expect(sleepTime([Infinity].map(itemDueAt), 100)).toBe(LONGEST_SLEEP_MS);
  expect(sleepTime([50].map(itemDueAt), 100)).toBe(0);
});

test("no sleep is longer than the longest, however far away everything is", () => {
  const anyTime = fc.oneof(
    fc.integer({ min: -YEAR, max: 100 * YEAR }),
    fc.constantFrom(Infinity, -Infinity, Number.MAX_SAFE_INTEGER),
  );
  fc.assert(
    fc.property(fc.array(anyTime), fc.integer({ min: 0, max: YEAR }), (times, now) => {
      const ms = sleepTime(times.map(itemDueAt), now);
      expect(ms).toBeGreaterThanOrEqual(0);
      expect(ms).toBeLessThanOrEqual(LONGEST_SLEEP_MS);
      for (const at of times) expect(ms).toBeLessThanOrEqual(Math.max(0, at - now));
    }),
  );
});
