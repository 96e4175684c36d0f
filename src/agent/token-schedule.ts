import type { FileToken, Volume, WorkloadIdentity } from "../csi/ports.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import type { Random } from "./schedule.ts";

/** Share of half a lifetime that renewals of tokens are spread over, to each side. */
const SPREAD = 0.1;
const MIN_GAP_MS = 1000;

/** The lifetime of a token; milliseconds since the epoch. */
export interface TokenLifetime {
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** What the renewal of a volume's tokens is planned with. */
export interface TokenMoment {
  readonly volume: Pick<Volume, "jwtAudiences">;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly random: Random;
}

/** Half of a token's lifetime; milliseconds since the epoch. A clock that lags does not make it later. */
export function tokenHalfLife({ issuedAt, expiresAt }: TokenLifetime, now: number): number {
  const start = Math.min(issuedAt, now);
  return start + (expiresAt - start) / 2;
}

/**
 * When the tokens of a volume should be renewed: half of the lifetime ± 10 % of the first one, now when one is
 * missing, is of another identity than the default one or is not verified by the bundle, never for a volume without tokens.
 */
export function tokensDue(
  identity: Pick<WorkloadIdentity, "svids" | "tokens" | "bundle">,
  { volume, now, random }: TokenMoment,
): number {
  const due = volume.jwtAudiences.map((audience) => {
    const token = tokenFor(identity, audience);
    if (token === undefined) return now;
    const start = Math.min(token.issuedAt, now);
    const half = tokenHalfLife(token, now) - start;
    return Math.round(start + half * (1 + SPREAD * (2 * random() - 1)));
  });
  return due.reduce((first, at) => Math.min(first, at), Infinity);
}

/**
 * When tokens that came just now should be renewed: as `tokensDue`, but never at once, so that a node whose
 * clock runs ahead does not renew without pause. One that is missing or of another identity waits a second only.
 */
export function nextTokensDue(
  identity: Pick<WorkloadIdentity, "svids" | "tokens" | "bundle">,
  moment: TokenMoment,
): number {
  const isWhole = moment.volume.jwtAudiences.every((audience) => tokenFor(identity, audience));
  const left = isWhole ? tokensExpiry(identity.tokens) - moment.now : 0;
  const gap = Math.max(MIN_GAP_MS, Math.ceil(left / 4));
  return Math.max(tokensDue(identity, moment), moment.now + gap);
}

/** The token of the default identity for an audience, if the bundle verifies it. */
function tokenFor(
  { svids, tokens, bundle }: Pick<WorkloadIdentity, "svids" | "tokens" | "bundle">,
  audience: string,
): FileToken | undefined {
  const spiffeId = svids[0]?.spiffeId;
  return tokens.find(
    (token) =>
      token.audience === audience && token.spiffeId === spiffeId && isSignedWithin(token, bundle),
  );
}

/** When the first token expires; in the past when there is none. */
export function tokensExpiry(tokens: readonly FileToken[]): number {
  if (tokens.length === 0) return -Infinity;
  return tokens.reduce((first, { expiresAt }) => Math.min(first, expiresAt), Infinity);
}

/** Tells whether the bundle still has the key that a token names. */
export function isSignedWithin({ token }: Pick<FileToken, "token">, bundle: Bundle): boolean {
  const kid = keyIdOf(token);
  return bundle.jwtAuthorities.some((authority) => authority.kid === kid);
}

/** The `kid` of a JWS in its compact form; undefined when it has none. */
export function keyIdOf(token: string): string | undefined {
  try {
    const [header = ""] = token.split(".", 1);
    const { kid } = JSON.parse(Buffer.from(header, "base64url").toString()) as { kid?: unknown };
    return typeof kid === "string" ? kid : undefined;
  } catch {
    return undefined;
  }
}
