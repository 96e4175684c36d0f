import { randomBytes } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { KubeClient } from "./client.ts";
import { LruMap } from "./lru.ts";
import { EVENTS } from "./resources.ts";
import { TokenBucket, type TokenBucketOptions } from "./token-bucket.ts";
import type { KubeEvent } from "./types.ts";

/** The object that an event is about. */
export interface EventSubject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  /** Cluster-scoped objects have none; their events go to `default`. */
  readonly namespace?: string;
  readonly uid: string;
}

export interface EventNote {
  readonly type: "Normal" | "Warning";
  /** One word in CamelCase, at most 128 bytes. */
  readonly reason: string;
  /** For people; cut to 1024 bytes. */
  readonly message: string;
}

export interface EventRecorderOptions {
  readonly client: Pick<KubeClient, "create" | "patch">;
  /** Who speaks, e.g. the operator's name. */
  readonly component: string;
  /** Which instance of it, e.g. the pod's name. */
  readonly instance: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Per object; 25 at once and one every 5 min when left out. */
  readonly perObject?: TokenBucketOptions;
  /** All events together; 50 at once and 10 a second when left out. */
  readonly overall?: TokenBucketOptions;
}

/** Writes core/v1 Events, the same one again as a higher count; events are a courtesy and may be dropped. */
export interface EventRecorder {
  /** Notes an event and returns at once; never throws. */
  record(subject: EventSubject, note: EventNote): void;
  /** Resolves when nothing waits to be written. */
  flush(): Promise<void>;
  /** Events that were not written: over a limit, or refused by the API server. */
  readonly dropped: number;
}

interface Series {
  readonly subject: EventSubject;
  readonly note: EventNote;
  readonly firstAt: number;
  lastAt: number;
  count: number;
  /** Name of the Event object, once it has been created. */
  name: string | undefined;
}

const MAX_MESSAGE_BYTES = 1024;
const MAX_REASON_BYTES = 128;
const MAX_NAME_LENGTH = 253;
const MAX_SERIES = 4096;
const MAX_PENDING = 1000;
const RETRY_MS = [1000, 4000] as const;
const PER_OBJECT: TokenBucketOptions = { burst: 25, refillMs: 300_000 };
const OVERALL: TokenBucketOptions = { burst: 50, refillMs: 100 };

/** Makes a recorder; it has nothing to stop, and holds no more than a few thousand events. */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new Recorder(options);
}

class Recorder implements EventRecorder {
  dropped = 0;
  readonly #options: EventRecorderOptions;
  readonly #series = new LruMap<string, Series>(MAX_SERIES);
  readonly #buckets = new LruMap<string, TokenBucket>(MAX_SERIES);
  readonly #pending = new Set<Series>();
  readonly #overall: TokenBucket;
  #writing: Promise<void> | undefined;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#overall = new TokenBucket(options.overall ?? OVERALL, options.clock.now());
  }

  record(subject: EventSubject, note: EventNote): void {
    const now = this.#options.clock.now();
    const limit = this.#options.perObject ?? PER_OBJECT;
    const bucket = this.#buckets.getOrAdd(subject.uid, () => new TokenBucket(limit, now));
    if (bucket.take(now) > 0 || this.#pending.size >= MAX_PENDING) {
      this.dropped += 1;
      return;
    }
    const key = JSON.stringify([subject.uid, note.type, note.reason, note.message]);
    const series = this.#series.getOrAdd(key, () => newSeries(subject, note, now));
    series.count += 1;
    series.lastAt = now;
    this.#pending.add(series);
    this.#writing ??= this.#writeAll();
  }

  async flush(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  async #writeAll(): Promise<void> {
    // Gives callers that note several things in a row the time to do so.
    await Promise.resolve();
    for (const series of this.#pending) {
      this.#pending.delete(series);
      await this.#write(series);
    }
    this.#writing = undefined;
  }

  async #write(series: Series): Promise<void> {
    const { clock, log } = this.#options;
    try {
      for (let wait = this.#overall.take(clock.now()); wait > 0;) {
        await clock.sleep(wait);
        wait = this.#overall.take(clock.now());
      }
      await this.#send(series);
    } catch (error) {
      this.dropped += 1;
      const { kind, namespace, name } = series.subject;
      const { reason } = series.note;
      log.warn({ kind, namespace, name, reason, error: errorMessage(error) }, "event not written");
    }
  }

  async #send(series: Series): Promise<void> {
    for (const retryMs of RETRY_MS) {
      try {
        return await this.#sendOnce(series);
      } catch (error) {
        if (!isSignetError(error, "UNAVAILABLE", "ALREADY_EXISTS")) throw error;
        await this.#options.clock.sleep(retryMs);
      }
    }
    await this.#sendOnce(series);
  }

  async #sendOnce(series: Series): Promise<void> {
    const { client } = this.#options;
    if (series.name !== undefined && (await this.#raiseCount(series, series.name))) return;
    const event = this.#eventOf(series);
    await client.create<KubeEvent>(EVENTS, event);
    series.name = event.metadata.name;
  }

  /** False when the Event has expired (an hour after its last change) and must be made anew. */
  async #raiseCount(series: Series, name: string): Promise<boolean> {
    const body = { count: series.count, lastTimestamp: timestamp(series.lastAt) };
    const namespace = series.subject.namespace ?? "default";
    try {
      await this.#options.client.patch(
        EVENTS,
        { namespace, name },
        { patch: { type: "merge", body } },
      );
      return true;
    } catch (error) {
      if (isSignetError(error, "NOT_FOUND")) return false;
      throw error;
    }
  }

  #eventOf(series: Series): Omit<KubeEvent, "metadata"> & {
    metadata: { name: string; namespace: string };
  } {
    const { component, instance } = this.#options;
    const { subject, note, count } = series;
    return {
      metadata: { name: eventName(subject.name), namespace: subject.namespace ?? "default" },
      involvedObject: { ...subject },
      type: note.type,
      reason: note.reason,
      message: note.message,
      count,
      firstTimestamp: timestamp(series.firstAt),
      lastTimestamp: timestamp(series.lastAt),
      source: { component },
      reportingComponent: component,
      reportingInstance: instance,
    };
  }
}

function newSeries(subject: EventSubject, note: EventNote, now: number): Series {
  const cut = {
    type: note.type,
    reason: truncateUtf8(note.reason, MAX_REASON_BYTES),
    message: truncateUtf8(note.message, MAX_MESSAGE_BYTES),
  };
  return { subject, note: cut, firstAt: now, lastAt: now, count: 0, name: undefined };
}

/** `text` cut to at most `maxBytes` of UTF-8, ending in `...` when something is missing; never half a character. */
export function truncateUtf8(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text, "utf8");
  if (bytes.length <= maxBytes) return bytes.toString("utf8");
  let end = maxBytes - 3;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return `${bytes.subarray(0, end).toString("utf8")}...`;
}

/** Unique in its namespace: the subject's name and 64 random bits. */
function eventName(subject: string): string {
  const suffix = randomBytes(8).toString("hex");
  const stem = subject.slice(0, MAX_NAME_LENGTH - suffix.length - 1).replace(/[^a-z0-9]+$/, "");
  return `${stem}.${suffix}`;
}

/** `metav1.Time`: RFC 3339 to the second. */
function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
