import { compactVerify, decodeProtectedHeader, importJWK } from "jose";
import type { CryptoKey } from "jose";
import { SignetError } from "../core/errors.ts";
import type { Bundle, JwtAuthority } from "../spiffe/bundle.ts";
import { parseSpiffeId } from "../spiffe/id.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import { checkClaims, parseClaims } from "./jwt-claims.ts";
import type { Claims } from "./jwt-claims.ts";
import { verificationKey } from "./jwt-keys.ts";

/** JWT-SVID §2.1; anything else is refused before it is looked at. */
const ALGORITHMS = new Set([
  ...["RS256", "RS384", "RS512"],
  ...["ES256", "ES384", "ES512"],
  ...["PS256", "PS384", "PS512"],
]);
/** JWT-SVID §2.3: absent, or one of these. */
const TYPES = new Set<unknown>([undefined, "JWT", "JOSE"]);

export interface Validation {
  /** The name that the token must be meant for. */
  readonly audience: string;
  /** The bundle of a trust domain, undefined for one that is not trusted. */
  readonly bundleOf: (trustDomain: string) => Bundle | undefined;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface ValidJwtSvid {
  readonly id: SpiffeId;
  readonly claims: Claims;
}

/**
 * Validates a JWT-SVID (JWT-SVID §4, RFC 7519 §7.2): compact form, allowed algorithm and type, a `kid` that the
 * bundle of the subject's own trust domain has, signature, times and audience. A token without `kid` is refused,
 * as SPIRE and go-spiffe do. Throws INVALID_ARGUMENT with the rule that is broken; never shows the token.
 */
export type ValidateJwtSvid = (token: string, validation: Validation) => Promise<ValidJwtSvid>;

/** Makes a validator that remembers the keys it has imported, as long as the bundles live. */
export function jwtSvidValidator(): ValidateJwtSvid {
  const imported = new WeakMap<JwtAuthority, Map<string, Promise<CryptoKey | undefined>>>();
  const importOnce = (key: JwtAuthority, alg: string): Promise<CryptoKey | undefined> => {
    const byAlgorithm = imported.get(key) ?? new Map<string, Promise<CryptoKey | undefined>>();
    imported.set(key, byAlgorithm);
    const known = byAlgorithm.get(alg) ?? importKey(key, alg);
    byAlgorithm.set(alg, known);
    return known;
  };
  return async (token, { audience, bundleOf, now }) => {
    const { alg, kid } = checkHeader(token);
    const claims = parseClaims(token);
    const id = subject(claims);
    const bundle = bundleOf(id.trustDomain);
    if (bundle === undefined) throw invalid(`no bundle of trust domain ${id.trustDomain} is known`);
    const candidates = bundle.jwtAuthorities.filter((key) => key.kid === kid);
    if (candidates.length === 0) {
      throw invalid(`the bundle of ${id.trustDomain} has no JWT key ${JSON.stringify(kid)}`);
    }
    const keys = await Promise.all(candidates.map((key) => importOnce(key, alg)));
    if (!(await isSignedByAny(token, keys, alg))) throw invalid("signature is not valid");
    checkClaims(claims, { audience, now });
    return { id, claims };
  };
}

function checkHeader(token: string): { alg: string; kid: string } {
  if (token.split(".").length !== 3) throw invalid("it is not a JWS in compact form");
  const { alg, kid, typ, crit } = header(token);
  if (typeof alg !== "string" || !ALGORITHMS.has(alg)) {
    throw invalid("its algorithm is none of those that JWT-SVIDs may have");
  }
  if (!TYPES.has(typ)) throw invalid('its "typ" must be JWT or JOSE when present');
  if (crit !== undefined) throw invalid('it has critical headers ("crit") that are not understood');
  if (typeof kid !== "string" || kid === "") throw invalid('its header has no "kid"');
  return { alg, kid };
}

function header(token: string): Record<string, unknown> {
  try {
    return decodeProtectedHeader(token);
  } catch {
    throw invalid("its header cannot be read");
  }
}

function subject({ sub }: Claims): SpiffeId {
  if (typeof sub !== "string") throw invalid('it has no subject ("sub")');
  try {
    return parseSpiffeId(sub);
  } catch {
    throw invalid("its subject is not a SPIFFE ID");
  }
}

/** The key for one algorithm; undefined when it is of another kind or curve, or names another algorithm. */
async function importKey(key: JwtAuthority, alg: string): Promise<CryptoKey | undefined> {
  const usable = verificationKey(key);
  if (usable === undefined || (usable.alg !== undefined && usable.alg !== alg)) return undefined;
  const { kty, crv, x, y, n, e } = usable;
  try {
    const material = kty === "EC" ? { kty, crv, x, y } : { kty, n, e };
    return (await importJWK(material as { kty: string }, alg)) as CryptoKey;
  } catch {
    return undefined;
  }
}

async function isSignedByAny(
  token: string,
  keys: readonly (CryptoKey | undefined)[],
  alg: string,
): Promise<boolean> {
  for (const key of keys) {
    if (key === undefined) continue;
    const verified = await compactVerify(token, key, { algorithms: [alg] }).catch(() => undefined);
    if (verified !== undefined) return true;
  }
  return false;
}

function invalid(rule: string): SignetError {
  return new SignetError("INVALID_ARGUMENT", `the JWT-SVID is not valid: ${rule}`);
}
