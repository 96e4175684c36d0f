import type { Limits } from "../template/limits.ts";

/**
 * What rendering one field for one pod may cost: tighter than a template's own bounds, because a custom resource may
 * select every pod of a cluster. The longest valid result, a SPIFFE ID, has 2048 bytes.
 */
export const RENDER_LIMITS: Partial<Limits> = {
  outputBytes: 8192,
  workBytes: 262_144,
  steps: 10_000,
  depth: 250,
};

/** What nearly every rendering keeps within, in a few microseconds: one that does not is costly. */
export const CHEAP_LIMITS: Partial<Limits> = { workBytes: 16_384, steps: 500, depth: 100 };

/**
 * Costly renderings of one rule in one go; then other work has its turn, because everybody waits meanwhile. At a
 * few milliseconds each this is as long as anyone should.
 */
export const MOST_COSTLY = 16;
