import { backoffDelay, type BackoffOptions } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { KubeClient, Selection } from "./client.ts";
import { startListing, stepReflector } from "./reflector-state.ts";
import type { Blame, ReflectorInput, ReflectorOutput, ReflectorState } from "./reflector-state.ts";
import { resourceName, type Resource } from "./resources.ts";
import { isExpired, retryAfterMs } from "./status.ts";
import type { KubeObject, WatchEvent } from "./types.ts";

/** Hears the state of a resource, in order; should not throw (an error is logged, and the handler goes on). */
export interface ReflectorHandler<T> {
  /** The complete state: whatever is not in `objects` is gone. */
  replace(objects: readonly T[]): void;
  apply(object: T): void;
  remove(object: T): void;
}

export interface ReflectorOptions<T extends KubeObject> extends Selection {
  readonly client: KubeClient;
  readonly resource: Resource;
  /** Cuts each object down before it is kept; an object it throws on is left out and logged. */
  readonly project?: (raw: T) => T;
  readonly handler: ReflectorHandler<T>;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 ≤ random() < 1. */
  readonly random: () => number;
  /** Objects per page; 100 when left out: parsing larger pages takes more memory than all that is kept. */
  readonly pageSize?: number;
  /** `synced` resolves, with nothing, when the resource does not exist (a CRD that is not installed). */
  readonly optional?: boolean;
  readonly backoff?: BackoffOptions;
}

/** A running list-and-watch. */
export interface Reflector {
  /** Resolves when the handler has heard its first complete list; rejects with CANCELLED when stopped before. */
  readonly synced: Promise<void>;
  /** When the API server last confirmed the state (list, event, bookmark, regular end), in ms since the epoch. */
  lastSync(): number | undefined;
  /** Stops; the handler hears nothing after the promise resolves. */
  stop(): Promise<void>;
}

const DEFAULT_BACKOFF: BackoffOptions = { initialMs: 250, maxMs: 30_000, jitter: 0.5 };
const SHORTEST_WATCH_S = 300;

/** Keeps `handler` equal to the API server's state of `resource` until stopped, whatever breaks in between. */
export function startReflector<T extends KubeObject>(options: ReflectorOptions<T>): Reflector {
  const log = options.log.child({ resource: resourceName(options.resource) });
  const reflector = new RunningReflector<T>(options, log);
  const running = reflector.run();
  return {
    synced: reflector.synced,
    lastSync: () => reflector.lastSync,
    async stop() {
      reflector.abort();
      await running;
    },
  };
}

class RunningReflector<T extends KubeObject> {
  lastSync: number | undefined;
  readonly synced: Promise<void>;
  readonly #options: ReflectorOptions<T>;
  readonly #log: Log;
  readonly #stop = new AbortController();
  readonly #settle: PromiseWithResolvers<void>;
  #state: ReflectorState<T> = startListing();
  #missing = false;

  constructor(options: ReflectorOptions<T>, log: Log) {
    this.#options = options;
    this.#log = log;
    this.#settle = Promise.withResolvers<void>();
    this.synced = this.#settle.promise;
    // Whoever waits hears of it; nobody has to wait.
    this.synced.catch(() => undefined);
  }

  abort(): void {
    const reason = `the reflector of ${resourceName(this.#options.resource)} was stopped`;
    this.#stop.abort(new SignetError("CANCELLED", reason));
  }

  async run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const state = this.#state;
      try {
        if (state.phase === "list") await this.#list(state.next);
        else await this.#watch(state.resourceVersion);
      } catch (error) {
        if (!signal.aborted) await this.#fail(error);
      }
    }
    this.#settle.reject(signal.reason);
  }

  async #list(next: string | undefined): Promise<void> {
    const { client, resource, namespace, labelSelector, fieldSelector } = this.#options;
    const list = await client.list<T>(resource, {
      namespace,
      labelSelector,
      fieldSelector,
      continue: next,
      limit: this.#options.pageSize ?? 100,
      signal: this.#stop.signal,
    });
    if (this.#stop.signal.aborted) return;
    const items = list.items.map((raw) => this.#project(raw)).filter((item) => item !== undefined);
    const { resourceVersion, continue: following } = list.metadata;
    this.#missing = false;
    this.#step({ type: "page", items, next: following || undefined, resourceVersion });
    if (this.#state.phase === "watch") {
      this.#log.debug({ resourceVersion }, "list complete");
      this.#settle.resolve();
    }
  }

  async #watch(resourceVersion: string): Promise<void> {
    const { client, resource, namespace, labelSelector, fieldSelector, random } = this.#options;
    const startedAt = this.#options.clock.now();
    const timeoutSeconds = Math.round(SHORTEST_WATCH_S * (1 + random()));
    const watch = { namespace, labelSelector, fieldSelector, resourceVersion, timeoutSeconds };
    for await (const event of client.watch<T>(resource, watch, this.#stop.signal)) {
      if (this.#stop.signal.aborted) return;
      this.#step(this.#inputOf(event));
    }
    this.#step({ type: "ended", lastedMs: this.#options.clock.now() - startedAt });
    if (this.#state.attempt > 0) await this.#pause(0);
  }

  #inputOf(event: WatchEvent<T>): ReflectorInput<T> {
    const { resourceVersion } = event.object.metadata;
    if (event.type === "BOOKMARK") return { type: "bookmark", resourceVersion };
    const object = this.#project(event.object);
    // What cannot be kept must not stay in an older form either.
    if (object === undefined) return { type: "removed", object: event.object, resourceVersion };
    return { type: event.type === "DELETED" ? "removed" : "applied", object, resourceVersion };
  }

  #project(raw: T): T | undefined {
    const { project } = this.#options;
    if (!project) return raw;
    try {
      return project(raw);
    } catch (error) {
      const { namespace, name } = raw.metadata;
      this.#log.error({ namespace, name, error: errorMessage(error) }, "object left out");
      return undefined;
    }
  }

  #step(input: ReflectorInput<T>): void {
    const { state, output } = stepReflector(this.#state, input);
    this.#state = state;
    if (input.type !== "failed") this.lastSync = this.#options.clock.now();
    if (!output) return;
    try {
      emit(this.#options.handler, output);
    } catch (error) {
      this.#log.error({ error: errorMessage(error), err: error }, "handler failed on a change");
    }
  }

  async #fail(error: unknown): Promise<void> {
    const { phase } = this.#state;
    const blame = blameFor(error);
    this.#step({ type: "failed", blame });
    this.#report(error, phase, blame === "expired");
    if (this.#state.attempt > 0) await this.#pause(retryAfterMs(error));
  }

  #report(error: unknown, phase: string, expired: boolean): void {
    const fields = { phase, attempt: this.#state.attempt, error: errorMessage(error) };
    if (phase === "list" && !expired && isSignetError(error, "NOT_FOUND")) {
      if (!this.#missing)
        this.#log.warn(fields, "the API server does not have this resource (yet)");
      this.#missing = true;
      if (this.#options.optional === true) this.#settle.resolve();
    } else if (expired) {
      this.#log.info(fields, "resource version expired; listing again");
    } else {
      this.#log.warn(fields, "list or watch failed; trying again");
    }
  }

  async #pause(atLeastMs: number): Promise<void> {
    const { clock, random, backoff = DEFAULT_BACKOFF } = this.#options;
    const ms = backoffDelay(this.#state.attempt - 1, backoff, random);
    await clock.sleep(Math.max(ms, atLeastMs), this.#stop.signal).catch(() => undefined);
  }
}

function blameFor(error: unknown): Blame {
  if (isExpired(error)) return "expired";
  const status = isSignetError(error) ? error.details["status"] : undefined;
  const doubtful = isSignetError(error, "INVALID_ARGUMENT", "MALFORMED", "RESOURCE_EXHAUSTED");
  return doubtful || status === 500 || status === 504 ? "version" : "server";
}

function emit<T>(handler: ReflectorHandler<T>, output: ReflectorOutput<T>): void {
  if (output.type === "replace") handler.replace(output.objects);
  else if (output.type === "apply") handler.apply(output.object);
  else handler.remove(output.object);
}
