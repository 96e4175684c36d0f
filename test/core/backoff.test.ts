import fc from "fast-check";
import { expect, it } from "vitest";
import { backoffDelay } from "../../src/core/backoff.ts";

it("doubles from the first delay and never passes the longest by more than half the jitter", () => {
  const options = { initialMs: 100, maxMs: 1000, jitter: 0 };
  const delays = [0, 1, 2, 3, 4, 5].map((attempt) => backoffDelay(attempt, options, () => 0.5));
  expect(delays).toEqual([100, 200, 400, 800, 1000, 1000]);
});

it("stays within the jitter for any attempt and any random number", () => {
  fc.assert(
    fc.property(fc.nat(10_000), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, random) => {
      const delay = backoffDelay(attempt, { initialMs: 10, maxMs: 500, jitter: 0.2 }, () => random);
      const exact = Math.min(500, 10 * 2 ** Math.min(attempt, 64));
      expect(delay).toBeGreaterThanOrEqual(Math.floor(exact * 0.9));
      expect(delay).toBeLessThanOrEqual(Math.ceil(exact * 1.1));
    }),
  );
});
