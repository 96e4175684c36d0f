export interface TokenBucketOptions {
  /** How many may come at once. */
  readonly burst: number;
  /** How long one token takes to grow back, in milliseconds. */
  readonly refillMs: number;
}

/** A limit on how often something may happen. */
export class TokenBucket {
  readonly #options: TokenBucketOptions;
  #tokens: number;
  #filledAt: number;

  constructor(options: TokenBucketOptions, now: number) {
    this.#options = options;
    this.#tokens = options.burst;
    this.#filledAt = now;
  }

  /** Takes a token; gives 0, or, when there is none, how many milliseconds until there is one. */
  take(now: number): number {
    const { burst, refillMs } = this.#options;
    const grown = Math.max(0, now - this.#filledAt) / refillMs;
    this.#tokens = Math.min(burst, this.#tokens + grown);
    this.#filledAt = now;
    if (this.#tokens < 1) return Math.ceil((1 - this.#tokens) * refillMs);
    this.#tokens -= 1;
    return 0;
  }
}
