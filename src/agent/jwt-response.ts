import { errorMessage, SignetError } from "../core/errors.ts";
import type { IssueJwtResponse, JwtSvid } from "../rpc/gen/signet/agent/v1/agent_pb.js";
import type { Bundle } from "../spiffe/bundle.ts";
import { isMemberOf, parseSpiffeId } from "../spiffe/id.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import { MAX_SVIDS } from "../spiffe/svid.ts";
import { keyIdOf } from "./token-schedule.ts";

/** A longer token is refused. */
const MAX_TOKEN_BYTES = 256 * 1024;

/** A JWT-SVID of one of a pod's identities, checked. */
export interface IssuedJwt {
  readonly entryId: string;
  readonly revision: string;
  readonly spiffeId: string;
  /** JWS compact serialization. */
  readonly token: string;
  /** Of the key that signed it. */
  readonly keyId: string;
  /** Empty when none. */
  readonly hint: string;
  /** Milliseconds since the epoch, as the token itself says. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** Checks form, signature, times and one audience of a JWT-SVID (JWT-SVID §4). Throws INVALID_ARGUMENT. */
export type VerifyJwt = (
  token: string,
  against: {
    readonly audience: string;
    readonly bundleOf: (trustDomain: string) => Bundle | undefined;
    readonly now: number;
  },
) => Promise<{ readonly id: SpiffeId; readonly claims: Readonly<Record<string, unknown>> }>;

/** What was asked for, and what the answer is checked with. */
export interface JwtContext {
  readonly audiences: readonly string[];
  /** Undefined when all identities were asked for. */
  readonly spiffeId: string | undefined;
  readonly bundle: Bundle;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly verify: VerifyJwt;
}

/**
 * The JWT-SVIDs in an answer of the operator. Nothing of it is believed unchecked: each must verify against the
 * trust bundle, have the subject that it is said to have and exactly the audiences that were asked for, and live.
 * Throws MALFORMED or INVALID_SPIFFE_ID; never shows a token.
 */
export async function jwtSvidsFrom(
  { svids }: IssueJwtResponse,
  context: JwtContext,
): Promise<readonly IssuedJwt[]> {
  if (svids.length === 0) throw refused("holds no JWT-SVID");
  if (svids.length > MAX_SVIDS) throw refused(`holds more than ${MAX_SVIDS} JWT-SVIDs`);
  return Promise.all(svids.map((svid) => jwtSvidFrom(svid, context)));
}

async function jwtSvidFrom(message: JwtSvid, context: JwtContext): Promise<IssuedJwt> {
  const { spiffeId, token, entryId, revision, hint } = message;
  if (Buffer.byteLength(token) > MAX_TOKEN_BYTES) throw refused("holds a token that is too long");
  const id = parseSpiffeId(spiffeId);
  if (!isMemberOf(id, context.bundle.trustDomain)) {
    throw refused(`holds a token of the foreign SPIFFE ID ${id.uri}`);
  }
  if (context.spiffeId !== undefined && context.spiffeId !== id.uri) {
    throw refused(`holds a token of ${id.uri}, which was not asked for`);
  }
  const claims = await verifiedClaims(token, context);
  if (claims["sub"] !== id.uri) throw refused("holds a token of another subject than it says");
  checkAudiences(claims["aud"], context.audiences);
  const times = {
    issuedAt: issueTime(claims, context.now),
    expiresAt: milliseconds(claims["exp"]),
  };
  return {
    entryId,
    revision,
    spiffeId: id.uri,
    token,
    keyId: keyIdOf(token) ?? "",
    hint,
    ...times,
  };
}

async function verifiedClaims(
  token: string,
  { verify, audiences, bundle, now }: JwtContext,
): Promise<Readonly<Record<string, unknown>>> {
  const bundleOf = (name: string): Bundle | undefined =>
    name === bundle.trustDomain ? bundle : undefined;
  try {
    return (await verify(token, { audience: audiences[0] ?? "", bundleOf, now })).claims;
  } catch (error) {
    throw refused(`holds a token that does not verify: ${errorMessage(error)}`);
  }
}

function checkAudiences(aud: unknown, asked: readonly string[]): void {
  const told = new Set<unknown>(Array.isArray(aud) ? aud : [aud]);
  if (told.size === new Set(asked).size && asked.every((name) => told.has(name))) return;
  throw refused("holds a token for other audiences than were asked for");
}

/** A token that does not say when it was issued came just now. */
function issueTime({ iat }: Readonly<Record<string, unknown>>, now: number): number {
  return typeof iat === "number" ? milliseconds(iat) : now;
}

function milliseconds(seconds: unknown): number {
  return Math.round(Number(seconds) * 1000);
}

function refused(fact: string): SignetError {
  return new SignetError("MALFORMED", `answer of the operator ${fact}`);
}
