import { unlessAborted } from "../core/abort.ts";
import { backoffDelay } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { isSignetError, SignetError } from "../core/errors.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import { agrees, emptyPod, forget, JWT_CACHE_LIMITS, recall, remember } from "./jwt-answers.ts";
import type { JwtCacheLimits, JwtGrant, PodTokens } from "./jwt-answers.ts";
import type { IssuedJwt } from "./jwt-response.ts";

/** `stale`: past half of its life, handed out because no new one could be had in time. */
export type JwtCacheEvent = "hit" | "miss" | "renewed" | "stale" | "failed";

export interface JwtQuestion {
  /** At least one, in the caller's order, which the token keeps. */
  readonly audiences: readonly string[];
  /** Undefined for all identities of the pod. */
  readonly spiffeId: string | undefined;
}

export interface JwtAsker {
  /** What the pod is entitled to now; undefined when to nothing. */
  readonly grant: () => JwtGrant | undefined;
  /** Aborts when the caller goes away. */
  readonly signal: AbortSignal;
}

export interface JwtCacheOptions {
  /** Gets tokens from the operator; must end by itself. */
  readonly issue: (
    podUid: string,
    question: JwtQuestion,
    bundle: Bundle,
  ) => Promise<readonly IssuedJwt[]>;
  readonly limits?: Partial<JwtCacheLimits>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly count: (event: JwtCacheEvent) => void;
}

/** Tokens of the pods of a node, kept as long as they are fresh. */
export interface JwtCache {
  /**
   * Tokens for a pod, the default identity's first: remembered ones, new ones after half of their life, and those that
   * still live when the operator does not give new ones. One call at a time asks for the same. Throws what `issue`
   * throws, NO_IDENTITY without a grant, RESOURCE_EXHAUSTED when the pod asks too often, CANCELLED after an abort.
   */
  fetch(podUid: string, question: JwtQuestion, asker: JwtAsker): Promise<readonly IssuedJwt[]>;
  /** Forgets the tokens of a pod. */
  drop(podUid: string): void;
}

/** A caller with tokens that live waits no longer than this for new ones. */
const PATIENCE_MS = 2000;
/** After a failure, callers with tokens that live do not ask for new ones for a while. */
const RETRY = { initialMs: 1000, maxMs: 30_000 };

/** Makes an empty cache. */
export function jwtCache(options: JwtCacheOptions): JwtCache {
  const { clock, count } = options;
  const limits = { ...JWT_CACHE_LIMITS, ...options.limits };
  const pods = new Map<string, PodTokens>();
  return {
    async fetch(podUid, question, { grant, signal }) {
      const pod = pods.get(podUid) ?? emptyPod(limits, clock.now());
      pods.set(podUid, pod);
      const key = JSON.stringify([question.spiffeId ?? "", ...question.audiences]);
      const living = recall(pod, key, { grant: grant(), now: clock.now() });
      if (living && clock.now() < living.renewAt) {
        count("hit");
        return living.tokens;
      }
      if (!living) count("miss");
      const flight = inFlight(options, { pod, podUid, key, question, limits, grant });
      if (!living) return await unlessAborted(flight, signal, hasGone);
      const fresh = await unlessAborted(freshSoon(flight, clock), signal, hasGone);
      if (fresh) return fresh;
      // It may have ended while new ones were awaited.
      const still = recall(pod, key, { grant: grant(), now: clock.now() });
      if (!still) return await unlessAborted(flight, signal, hasGone);
      count("stale");
      return still.tokens;
    },
    drop: (podUid) => void pods.delete(podUid),
  };
}

interface Flight {
  readonly pod: PodTokens;
  readonly podUid: string;
  readonly key: string;
  readonly question: JwtQuestion;
  readonly limits: JwtCacheLimits;
  readonly grant: JwtAsker["grant"];
}

/** The call that runs for a question, begun unless there is one. */
function inFlight(options: JwtCacheOptions, flight: Flight): Promise<readonly IssuedJwt[]> {
  const { pod, key } = flight;
  const running = pod.flights.get(key);
  if (running) return running;
  const begun = ask(options, flight).finally(() => pod.flights.delete(key));
  pod.flights.set(key, begun);
  // Callers may all have gone.
  begun.catch(() => undefined);
  return begun;
}

async function ask(options: JwtCacheOptions, flight: Flight): Promise<readonly IssuedJwt[]> {
  const { clock, random, count } = options;
  const { pod, key } = flight;
  try {
    const tokens = await issueOnce(options, flight);
    count("renewed");
    return tokens;
  } catch (error) {
    count("failed");
    const isRefusal = isSignetError(error, "POD_GONE", "PERMISSION_DENIED");
    if (isRefusal) forget(pod, key);
    const living = pod.answers.get(key);
    if (living) {
      living.renewAt = clock.now() + backoffDelay(living.failures, RETRY, random);
      living.failures += 1;
    }
    throw error;
  }
}

async function issueOnce(
  { issue, clock }: JwtCacheOptions,
  { pod, podUid, key, question, limits, grant }: Flight,
): Promise<readonly IssuedJwt[]> {
  const before = grant();
  if (!before) throw new SignetError("NO_IDENTITY", "the pod has no identity");
  if (pod.flights.size >= limits.calls || pod.bucket.take(clock.now()) > 0) {
    const rate = `${limits.calls} at once or ${limits.callsPerSecond} a second`;
    const message = `one pod may not ask for more new tokens than ${rate}`;
    throw new SignetError("RESOURCE_EXHAUSTED", message);
  }
  const tokens = await issue(podUid, question, before.bundle);
  const after = grant();
  // A replica that lags may still name an entry as it was: good enough to hand out, not to keep.
  const ofAll = question.spiffeId === undefined;
  if (after && agrees({ tokens, ofAll }, after)) {
    remember(pod, { key, tokens, ofAll, limits, agreesWith: after, now: clock.now() });
  }
  return tokens;
}

/** What comes within the caller's patience; undefined when nothing does, or when the call fails. */
async function freshSoon(
  flight: Promise<readonly IssuedJwt[]>,
  clock: Clock,
): Promise<readonly IssuedJwt[] | undefined> {
  const over = new AbortController();
  const impatience = clock.sleep(PATIENCE_MS, over.signal).then(
    () => undefined,
    () => undefined,
  );
  try {
    return await Promise.race([flight.catch(() => undefined), impatience]);
  } finally {
    over.abort();
  }
}

function hasGone(): SignetError {
  return new SignetError("CANCELLED", "the caller has gone");
}
