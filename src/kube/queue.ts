import { backoffDelay, type BackoffOptions } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { errorMessage } from "../core/errors.ts";
import type { Log } from "../core/log.ts";

export interface ReconcileResult {
  /** Run again after this, when nothing adds the key before. */
  readonly requeueAfterMs?: number;
}

export interface QueueOptions {
  /** Brings what `key` names to its desired state. Throwing means: again, later. */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<ReconcileResult | void>;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** How many different keys run at once; 1 when left out. */
  readonly workers?: number;
  /** Per key, by failures in a row; 50 ms to 5 min when left out. */
  readonly backoff?: BackoffOptions;
  /** Errors that no retry mends: the key rests until it is added again. */
  readonly isTerminal?: (error: unknown) => boolean;
}

/**
 * Keys that wait for work: each at most once, and none runs twice at the same time; a key added while it runs, runs
 * once more.
 */
export interface Queue {
  add(key: string): void;
  /** Adds `key` after `ms`; of several such delays the shortest counts. */
  addAfter(key: string, ms: number): void;
  /** Keys that are ready but not running. */
  readonly length: number;
  /** Keys that run at this moment. */
  readonly running: number;
  /** Begins to work; keys may be added before. */
  start(): void;
  /** Aborts the signal of running reconciles, waits for them, drops the rest. */
  stop(): Promise<void>;
}

const DEFAULT_BACKOFF: BackoffOptions = { initialMs: 50, maxMs: 300_000, jitter: 0.2 };

/** Makes a queue; it does nothing until started. */
export function createQueue(options: QueueOptions): Queue {
  return new WorkQueue(options);
}

interface Delay {
  readonly dueAt: number;
  readonly cancel: AbortController;
}

class WorkQueue implements Queue {
  readonly #options: QueueOptions;
  readonly #ready = new Set<string>();
  readonly #running = new Map<string, Promise<void>>();
  /** Added while running. */
  readonly #again = new Set<string>();
  readonly #delays = new Map<string, Delay>();
  readonly #failures = new Map<string, number>();
  readonly #stop = new AbortController();
  #started = false;
  #woken = false;

  constructor(options: QueueOptions) {
    this.#options = options;
  }

  get length(): number {
    return this.#ready.size;
  }

  get running(): number {
    return this.#running.size;
  }

  add(key: string): void {
    if (this.#stop.signal.aborted) return;
    this.#cancelDelay(key);
    if (this.#running.has(key)) this.#again.add(key);
    else this.#ready.add(key);
    this.#wake();
  }

  addAfter(key: string, ms: number): void {
    if (this.#stop.signal.aborted) return;
    const { clock } = this.#options;
    const dueAt = clock.now() + ms;
    const waiting = this.#delays.get(key);
    if (this.#ready.has(key) || (waiting && waiting.dueAt <= dueAt)) return;
    waiting?.cancel.abort();
    const delay = { dueAt, cancel: new AbortController() };
    this.#delays.set(key, delay);
    clock.sleep(ms, delay.cancel.signal).then(
      () => this.add(key),
      () => undefined,
    );
  }

  start(): void {
    this.#started = true;
    this.#wake();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#ready.clear();
    for (const key of this.#delays.keys()) this.#cancelDelay(key);
    await Promise.all(this.#running.values());
  }

  #cancelDelay(key: string): void {
    this.#delays.get(key)?.cancel.abort();
    this.#delays.delete(key);
  }

  /** Dispatches when the caller is done: what it adds in one go is one batch. */
  #wake(): void {
    if (this.#woken) return;
    this.#woken = true;
    queueMicrotask(() => {
      this.#woken = false;
      this.#dispatch();
    });
  }

  #dispatch(): void {
    const { workers = 1 } = this.#options;
    if (!this.#started || this.#stop.signal.aborted) return;
    for (const key of this.#ready) {
      if (this.#running.size >= workers) return;
      this.#ready.delete(key);
      // Noted first: a reconcile may add its own key before it waits for anything.
      this.#running.set(key, Promise.resolve());
      this.#running.set(key, this.#run(key));
    }
  }

  async #run(key: string): Promise<void> {
    try {
      const result = await this.#options.reconcile(key, this.#stop.signal);
      this.#failures.delete(key);
      if (result?.requeueAfterMs !== undefined) this.addAfter(key, result.requeueAfterMs);
    } catch (error) {
      this.#fail(key, error);
    }
    this.#running.delete(key);
    if (this.#again.delete(key)) this.add(key);
    this.#wake();
  }

  #fail(key: string, error: unknown): void {
    const { log, random, backoff = DEFAULT_BACKOFF, isTerminal } = this.#options;
    if (this.#stop.signal.aborted) return;
    if (isTerminal?.(error) === true) {
      this.#failures.delete(key);
      log.error({ key, error: errorMessage(error) }, "reconcile failed for good");
      return;
    }
    const attempt = this.#failures.get(key) ?? 0;
    this.#failures.set(key, attempt + 1);
    const retryInMs = backoffDelay(attempt, backoff, random);
    log.warn({ key, attempt, retryInMs, error: errorMessage(error) }, "reconcile failed");
    this.addAfter(key, retryInMs);
  }
}
