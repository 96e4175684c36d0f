import { createHash } from "node:crypto";
import { createLocalJWKSet, errors, jwtVerify } from "jose";
import type { JSONWebKeySet, JWTPayload } from "jose";
import { z } from "zod";
import type { Clock } from "../core/clock.ts";
import { SignetError } from "../core/errors.ts";

/** What a pod-bound service-account token says once its signature was checked. */
export interface TokenClaims {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
  /** Absent on clusters that do not bind tokens to nodes (before Kubernetes 1.30). */
  readonly nodeName: string | undefined;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** The API server's token issuer and the public keys it signs with. */
export interface SigningKeys {
  readonly issuer: string;
  readonly jwks: JSONWebKeySet;
}

export interface TokenVerifier {
  /** The claims of a valid token; throws UNAUTHENTICATED with the reason, UNAVAILABLE when keys cannot be had. */
  verify(token: string): Promise<TokenClaims>;
}

export interface TokenVerifierOptions {
  readonly audience: string;
  /** Reads the keys from the API server. */
  readonly fetchKeys: () => Promise<SigningKeys>;
  readonly clock: Clock;
}

/** Larger than any service-account token; keeps a caller from making us hash megabytes. */
const MAX_TOKEN_CHARS = 16 * 1024;
/** An unknown key ID or issuer makes us ask again, but not more often than this. */
const REFETCH_MS = 5000;
/** Keys older than this are asked for again, so that one that was withdrawn is not trusted for ever. */
const MAX_AGE_MS = 300_000;
/** Seconds that the API server's clock may differ from ours: its tokens are valid from the second they are made. */
const LEEWAY_S = 30;
/** Verified tokens that are remembered until they expire: an agent shows the same one for most of an hour. */
const MAX_REMEMBERED = 10_000;

const boundClaims = z.object({
  exp: z.number(),
  "kubernetes.io": z.object({
    namespace: z.string().min(1),
    serviceaccount: z.object({ name: z.string().min(1) }),
    pod: z.object({ name: z.string().min(1), uid: z.string().min(1) }),
    node: z.object({ name: z.string().min(1) }).optional(),
  }),
});

type LocalKeys = {
  readonly issuer: string;
  readonly resolve: ReturnType<typeof createLocalJWKSet>;
};

/** Verifies projected service-account tokens against the API server's published keys, without a call per token. */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { clock } = options;
  const remembered = new Map<string, TokenClaims>();
  let keys: LocalKeys | undefined;
  let fetching: Promise<LocalKeys> | undefined;
  let fetchedAt = Number.NEGATIVE_INFINITY;

  const fetchAgain = (): Promise<LocalKeys> => {
    if (fetching) return fetching;
    fetchedAt = clock.now();
    fetching = loadKeys(options.fetchKeys)
      .then((next) => {
        keys = next;
        remembered.clear();
        return next;
      })
      .finally(() => (fetching = undefined));
    return fetching;
  };
  const currentKeys = async (renew: boolean): Promise<LocalKeys> => {
    const age = Math.abs(clock.now() - fetchedAt);
    if (keys === undefined || (renew && (fetching || age >= REFETCH_MS))) return fetchAgain();
    // In the background: keys that cannot be read now are no reason to refuse what the last ones verify.
    if (age >= MAX_AGE_MS) fetchAgain().catch(() => undefined);
    return keys;
  };

  const check = async (token: string, renew: boolean): Promise<JWTPayload> => {
    const { issuer, resolve } = await currentKeys(renew);
    const currentDate = new Date(clock.now());
    const rules = { issuer, audience: options.audience, currentDate, clockTolerance: LEEWAY_S };
    return (await jwtVerify(token, resolve, rules)).payload;
  };

  const verifySignature = async (token: string): Promise<JWTPayload> => {
    try {
      return await check(token, false).catch((error: unknown) => {
        if (isOutdated(error)) return check(token, true);
        throw error;
      });
    } catch (error) {
      throw asUnauthenticated(error);
    }
  };

  return {
    async verify(token) {
      if (token === "")
        throw new SignetError("UNAUTHENTICATED", "no service-account token came with the call");
      if (token.length > MAX_TOKEN_CHARS)
        throw new SignetError("UNAUTHENTICATED", "token is too long");
      const digest = createHash("sha256").update(token).digest("base64");
      const known = remembered.get(digest);
      if (known && known.expiresAt > clock.now()) return known;
      const claims = readClaims(await verifySignature(token));
      // The leeway is for tokens that are too young, never for those that are over.
      if (claims.expiresAt <= clock.now()) {
        throw new SignetError("UNAUTHENTICATED", "token is not valid: it has expired");
      }
      if (remembered.size >= MAX_REMEMBERED) forgetOldest(remembered);
      remembered.delete(digest);
      remembered.set(digest, claims);
      return claims;
    },
  };
}

/** Whether newer keys could make the token valid: its key or its issuer is not known. */
function isOutdated(error: unknown): boolean {
  if (error instanceof errors.JWKSNoMatchingKey) return true;
  return error instanceof errors.JWTClaimValidationFailed && error.claim === "iss";
}

async function loadKeys(fetchKeys: () => Promise<SigningKeys>): Promise<LocalKeys> {
  try {
    const { issuer, jwks } = await fetchKeys();
    return { issuer, resolve: createLocalJWKSet(jwks) };
  } catch (error) {
    throw new SignetError("UNAVAILABLE", "the API server's token keys cannot be read", {
      cause: error,
    });
  }
}

function readClaims(payload: JWTPayload): TokenClaims {
  const parsed = boundClaims.safeParse(payload);
  if (!parsed.success) {
    throw new SignetError(
      "UNAUTHENTICATED",
      "token is not bound to a pod: it carries no pod claim",
    );
  }
  const bound = parsed.data["kubernetes.io"];
  return {
    namespace: bound.namespace,
    serviceAccount: bound.serviceaccount.name,
    podName: bound.pod.name,
    podUid: bound.pod.uid,
    nodeName: bound.node?.name,
    expiresAt: parsed.data.exp * 1000,
  };
}

function asUnauthenticated(error: unknown): SignetError {
  if (error instanceof SignetError) return error;
  const reason = error instanceof errors.JOSEError ? error.message : "it cannot be read";
  return new SignetError("UNAUTHENTICATED", `token is not valid: ${reason}`, { cause: error });
}

function forgetOldest(remembered: Map<string, TokenClaims>): void {
  const oldest = remembered.keys().next();
  if (!oldest.done) remembered.delete(oldest.value);
}
