import { TokenBucket } from "../kube/token-bucket.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import type { IssuedJwt } from "./jwt-response.ts";
import { tokenHalfLife } from "./token-schedule.ts";
import { fingerprint, isWanted } from "./workload.ts";
import type { Wanted } from "./workload.ts";

/** What one pod may keep and ask for. */
export interface JwtCacheLimits {
  /** Answers that are remembered. */
  readonly answers: number;
  /** Bytes of tokens and audiences that are remembered. */
  readonly bytes: number;
  /** Calls of the operator that run at one moment. */
  readonly calls: number;
  /** Calls of the operator a second, on average. */
  readonly callsPerSecond: number;
  /** Calls of the operator at once, after a quiet time. */
  readonly callBurst: number;
}

export const JWT_CACHE_LIMITS: JwtCacheLimits = {
  answers: 256,
  bytes: 1 << 20,
  calls: 64,
  callsPerSecond: 50,
  callBurst: 200,
};

/** What a pod's tokens have to agree with; a change makes a new object or text. */
export interface JwtGrant {
  readonly bundle: Bundle;
  readonly wanted: Wanted;
}

/** A clock that shows less than it did by more than this was set back. */
const SET_BACK_MS = 1000;

/** An answer of the operator. */
export interface Answer {
  readonly tokens: readonly IssuedJwt[];
  /** All identities of the pod were asked for, not one of them. */
  readonly ofAll: boolean;
  readonly bytes: number;
  readonly cameAt: number;
  readonly expiresAt: number;
  renewAt: number;
  failures: number;
  /** What the tokens were found to agree with. */
  agreesWith: JwtGrant;
}

/** The tokens of one pod, and what it asks for now. */
export interface PodTokens {
  /** The one used last is at the end. */
  readonly answers: Map<string, Answer>;
  readonly flights: Map<string, Promise<readonly IssuedJwt[]>>;
  readonly bucket: TokenBucket;
  bytes: number;
}

/** Nothing yet. */
export function emptyPod(
  { callBurst: burst, callsPerSecond }: JwtCacheLimits,
  now: number,
): PodTokens {
  const bucket = new TokenBucket({ burst, refillMs: 1000 / callsPerSecond }, now);
  return { answers: new Map(), flights: new Map(), bucket, bytes: 0 };
}

interface Recalled {
  readonly grant: JwtGrant | undefined;
  readonly now: number;
}

/** The answer to a question, if it lives and agrees with the grant; it counts as used last. */
export function recall(pod: PodTokens, key: string, { grant, now }: Recalled): Answer | undefined {
  const known = pod.answers.get(key);
  if (!known) return undefined;
  // A clock that was set back does not tell how long the tokens live.
  const isLiving = known.expiresAt > now && known.cameAt <= now + SET_BACK_MS;
  if (!isLiving || !grant || !stillAgrees(known, grant)) {
    forget(pod, key);
    return undefined;
  }
  pod.answers.delete(key);
  pod.answers.set(key, known);
  return known;
}

function stillAgrees(answer: Answer, grant: JwtGrant): boolean {
  const { bundle, wanted } = answer.agreesWith;
  if (bundle === grant.bundle && wanted === grant.wanted) return true;
  if (!agrees(answer, grant)) return false;
  answer.agreesWith = grant;
  return true;
}

/** Takes an answer away. */
export function forget(pod: PodTokens, key: string): void {
  pod.bytes -= pod.answers.get(key)?.bytes ?? 0;
  pod.answers.delete(key);
}

interface Remembered {
  readonly key: string;
  readonly tokens: readonly IssuedJwt[];
  readonly ofAll: boolean;
  readonly limits: JwtCacheLimits;
  readonly agreesWith: JwtGrant;
  readonly now: number;
}

/** Keeps an answer, and takes away those used longest ago when there are too many. */
export function remember(
  pod: PodTokens,
  { key, tokens, ofAll, limits, agreesWith, now }: Remembered,
): void {
  const bytes = tokens.reduce((sum, { token }) => sum + token.length, key.length);
  const expiresAt = tokens.reduce((first, token) => Math.min(first, token.expiresAt), Infinity);
  const renewAt = tokens.reduce(
    (first, token) => Math.min(first, tokenHalfLife(token, now)),
    Infinity,
  );
  forget(pod, key);
  pod.answers.set(key, {
    ...{ tokens, ofAll, bytes, expiresAt, renewAt, agreesWith },
    cameAt: now,
    failures: 0,
  });
  pod.bytes += bytes;
  for (const oldest of pod.answers.keys()) {
    if (pod.answers.size <= limits.answers && pod.bytes <= limits.bytes) break;
    forget(pod, oldest);
  }
}

/** Tells whether tokens are what a pod is entitled to, all of it where all was asked for, and verify. */
export function agrees(
  { tokens, ofAll }: Pick<Answer, "tokens" | "ofAll">,
  { bundle, wanted }: JwtGrant,
): boolean {
  if (ofAll && wanted !== undefined && fingerprint(tokens) !== wanted) return false;
  return tokens.every(
    (token) =>
      (wanted === undefined || isWanted(wanted, token)) &&
      bundle.jwtAuthorities.some(({ kid }) => kid === token.keyId),
  );
}
