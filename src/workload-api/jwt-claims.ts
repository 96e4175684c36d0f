import type { JsonObject } from "@bufbuild/protobuf";
import { SignetError } from "../core/errors.ts";
import { REGISTERED_CLAIMS } from "../spiffe/jwt-svid.ts";

/** The claims of a token as they were written. */
export type Claims = JsonObject;

/** Clocks of issuers may run ahead of ours by this much; an expired token gets no such grace. */
const CLOCK_SKEW_S = 60;
/** Readers of claims nest no deeper: a common limit of protobuf parsers is 100 messages. */
const MAX_DEPTH = 32;

/** The payload of a compact JWS as claims, not verified. Throws INVALID_ARGUMENT. */
export function parseClaims(token: string): Claims {
  const payload = token.split(".")[1] ?? "";
  let claims: unknown;
  try {
    const bytes = Buffer.from(payload, "base64url");
    claims = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw invalid("its payload is not JSON");
  }
  if (typeof claims !== "object" || claims === null || Array.isArray(claims)) {
    throw invalid("its payload is not a JSON object");
  }
  if (depth(claims) > MAX_DEPTH) throw invalid(`its claims nest deeper than ${MAX_DEPTH} levels`);
  return claims as Claims;
}

/** Checks times and audience (JWT-SVID §3, RFC 7519 §4.1). Throws INVALID_ARGUMENT with the rule that is broken. */
export function checkClaims(
  claims: Claims,
  { audience, now }: { readonly audience: string; readonly now: number },
): void {
  const seconds = now / 1000;
  const { exp, nbf, iat } = claims;
  if (typeof exp !== "number") throw invalid('it has no expiry ("exp")');
  if (exp <= seconds) throw invalid("it has expired");
  for (const [name, time] of Object.entries({ nbf, iat })) {
    if (time === undefined) continue;
    if (typeof time !== "number") throw invalid(`"${name}" is not a number`);
    if (time > seconds + CLOCK_SKEW_S) throw invalid(`"${name}" lies in the future`);
  }
  const audiences = audiencesOf(claims);
  if (audiences.length === 0) throw invalid('it has no audience ("aud")');
  if (!audiences.includes(audience)) {
    throw invalid(`it is not meant for the audience ${JSON.stringify(audience)}`);
  }
}

/**
 * The claims as they are told to the workload: `aud` always as a list, and of a foreign trust domain only the
 * registered ones, because a private name means whatever its own trust domain decides (SPIFFE-ID §4.1).
 */
export function toldClaims(claims: Claims, { foreign }: { readonly foreign: boolean }): Claims {
  const told = foreign
    ? Object.fromEntries(Object.entries(claims).filter(([name]) => REGISTERED_CLAIMS.has(name)))
    : claims;
  return { ...told, aud: audiencesOf(claims) };
}

function audiencesOf({ aud }: Claims): string[] {
  const list = Array.isArray(aud) ? aud : [aud];
  return list.every((value) => typeof value === "string") ? list : [];
}

/** How deep a JSON value nests; walks in steps, since a recursion could be driven out of stack. */
function depth(value: unknown): number {
  let level: unknown[] = [value];
  let found = 0;
  while (level.length > 0 && found <= MAX_DEPTH) {
    found += 1;
    level = level.flatMap((item) =>
      typeof item === "object" && item !== null ? Object.values(item) : [],
    );
  }
  return found;
}

function invalid(rule: string): SignetError {
  return new SignetError("INVALID_ARGUMENT", `the JWT-SVID is not valid: ${rule}`);
}
