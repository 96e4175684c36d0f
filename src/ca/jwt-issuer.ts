import { randomBytes } from "node:crypto";
import { SignetError } from "../core/errors.ts";
import { isMemberOf, parseSpiffeId } from "../spiffe/id.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import { createJwsSigner } from "./jwt-algorithm.ts";
import type { JwtAuthority } from "./jwt-authority.ts";

/** What a JWT-SVID is asked for with. */
export interface JwtSvidRequest {
  readonly spiffeId: string;
  /** At least one, none empty (JWT-SVID §3.2). */
  readonly audiences: readonly string[];
  /** Wanted lifetime in milliseconds, at least a second; the authority's own end cuts it. */
  readonly ttlMs: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Claims beside the registered ones, which always win. */
  readonly claims?: Readonly<Record<string, string>>;
}

/** An issued JWT-SVID with what the audit log names it by. */
export interface IssuedJwtSvid {
  /** JWS in compact form: a secret. */
  readonly token: string;
  /** Milliseconds since the epoch, of whole seconds. */
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** The token's `jti`. */
  readonly tokenId: string;
  readonly authorityId: string;
}

/** Signs JWT-SVIDs with one authority. */
export interface JwtIssuer {
  readonly authority: JwtAuthority;
  /**
   * Issues a JWT-SVID. Throws INVALID_SPIFFE_ID, INVALID_ARGUMENT (audience, lifetime) or FAILED_PRECONDITION
   * (the authority has expired). An ES256 authority signs within the call, any other on the thread pool.
   */
  issue(request: JwtSvidRequest): Promise<IssuedJwtSvid>;
}

export interface JwtIssuerOptions {
  readonly trustDomain: TrustDomain;
  /** The `iss` of every token. */
  readonly issuer: string;
}

const SECOND_MS = 1000;
/** 128 bits: no two tokens of a trust domain share their ID. */
const TOKEN_ID_BYTES = 16;

/** Makes the issuer of an authority; keep it as long as the authority is active. */
export function createJwtIssuer(
  authority: JwtAuthority,
  { trustDomain, issuer }: JwtIssuerOptions,
): JwtIssuer {
  const { id: kid, algorithm: alg } = authority;
  const sign = createJwsSigner(authority.privateKey, alg);
  // No header beside these three (JWT-SVID §2).
  const header = encodePart({ alg, kid, typ: "JWT" });
  return {
    authority,
    async issue(request) {
      const { iat, exp } = lifetimeOf(request, authority.notAfter);
      const sub = subjectOf(request.spiffeId, trustDomain);
      const aud = audiencesOf(request);
      const jti = randomBytes(TOKEN_ID_BYTES).toString("base64url");
      const payload = encodePart({ ...request.claims, iss: issuer, sub, aud, iat, exp, jti });
      const signed = `${header}.${payload}`;
      const signature = sign(Buffer.from(signed));
      const bytes = signature instanceof Promise ? await signature : signature;
      return {
        token: `${signed}.${bytes.toString("base64url")}`,
        issuedAt: iat * SECOND_MS,
        expiresAt: exp * SECOND_MS,
        tokenId: jti,
        authorityId: kid,
      };
    },
  };
}

function encodePart(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}

function subjectOf(uri: string, trustDomain: TrustDomain): string {
  const id = parseSpiffeId(uri);
  if (id.path === "" || !isMemberOf(id, trustDomain)) {
    throw new SignetError(
      "INVALID_SPIFFE_ID",
      `the subject of a JWT-SVID must be a workload of trust domain ${trustDomain}: ${JSON.stringify(uri)}`,
    );
  }
  return id.uri;
}

/** Always a list, also of one: what every reader of RFC 7519 §4.1.3 takes. */
function audiencesOf({ audiences }: JwtSvidRequest): string[] {
  if (audiences.length === 0 || audiences.includes("")) {
    throw new SignetError(
      "INVALID_ARGUMENT",
      "a JWT-SVID needs an audience, and none that is empty",
    );
  }
  return [...audiences];
}

/** In seconds, as tokens count. */
function lifetimeOf(
  { now, ttlMs }: JwtSvidRequest,
  authorityEnd: number,
): { readonly iat: number; readonly exp: number } {
  if (!(ttlMs >= SECOND_MS)) {
    throw new SignetError("INVALID_ARGUMENT", `a JWT-SVID cannot live for ${ttlMs} ms`);
  }
  const iat = Math.floor(now / SECOND_MS);
  const exp = Math.floor(Math.min(now + ttlMs, authorityEnd) / SECOND_MS);
  if (exp * SECOND_MS <= now) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      `the JWT authority expired at ${new Date(authorityEnd).toISOString()}`,
    );
  }
  return { iat, exp };
}
