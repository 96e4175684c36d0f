export interface BackoffOptions {
  /** First delay in milliseconds. */
  readonly initialMs: number;
  /** No delay is longer than this. */
  readonly maxMs: number;
  /** Growth per attempt; 2 when left out. */
  readonly factor?: number;
  /** Share of the delay that is random, 0 to 1; 0.2 when left out. */
  readonly jitter?: number;
}

/**
 * The delay in milliseconds before attempt `attempt` (0 = the first retry): exponential, capped,
 * spread by ± half the jitter so that many clients do not come back at the same moment.
 */
export function backoffDelay(
  attempt: number,
  options: BackoffOptions,
  random: () => number,
): number {
  const { initialMs, maxMs, factor = 2, jitter = 0.2 } = options;
  const base = Math.min(maxMs, initialMs * factor ** Math.min(attempt, 64));
  return Math.max(0, Math.round(base * (1 + jitter * (random() - 0.5))));
}
