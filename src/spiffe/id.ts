import { SignetError } from "../core/errors.ts";
import { parseTrustDomain } from "./trust-domain.ts";
import type { TrustDomain } from "./trust-domain.ts";

/** SPIFFE-ID §2.3: implementations generate no longer IDs than this. */
export const MAX_SPIFFE_ID_BYTES = 2048;

const SCHEME = "spiffe://";
const SEGMENT = /^[A-Za-z0-9._-]+$/;

/** A parsed SPIFFE ID; `path` is empty or begins with a slash. */
export interface SpiffeId {
  readonly uri: string;
  readonly trustDomain: TrustDomain;
  readonly path: string;
}

/**
 * Parses an SPIFFE ID (SPIFFE-ID §2), as strict as the standard: no percent-encoding, no empty or dot
 * segments, no trailing slash. Throws INVALID_SPIFFE_ID with the rule that is broken and the offending part.
 */
export function parseSpiffeId(uri: string): SpiffeId {
  if (uri.length > MAX_SPIFFE_ID_BYTES) {
    throw invalid(uri.slice(0, 80), `SPIFFE ID is longer than ${MAX_SPIFFE_ID_BYTES} bytes`);
  }
  if (!uri.startsWith(SCHEME)) throw invalid(uri, 'SPIFFE ID must begin with "spiffe://"');
  const slash = uri.indexOf("/", SCHEME.length);
  const end = slash === -1 ? uri.length : slash;
  const trustDomain = parseTrustDomain(uri.slice(SCHEME.length, end));
  const path = uri.slice(end);
  checkPath(uri, path);
  return { uri, trustDomain, path };
}

/** Joins a trust domain and a path that begins with a slash; throws INVALID_SPIFFE_ID like `parseSpiffeId`. */
export function spiffeId(trustDomain: TrustDomain, path: string): SpiffeId {
  return parseSpiffeId(`${SCHEME}${trustDomain}${path}`);
}

/** Tells whether the SPIFFE ID lies in the trust domain. */
export function isMemberOf(id: SpiffeId, trustDomain: TrustDomain): boolean {
  return id.trustDomain === trustDomain;
}

function checkPath(uri: string, path: string): void {
  if (path === "") return;
  if (path.endsWith("/")) throw invalid(uri, "path cannot have a trailing slash");
  for (const segment of path.slice(1).split("/")) {
    if (segment === "") throw invalid(uri, "path cannot contain empty segments");
    if (segment === "." || segment === "..") throw invalid(uri, "path cannot contain dot segments");
    if (!SEGMENT.test(segment)) {
      throw invalid(
        uri,
        `path segment ${JSON.stringify(segment)} may hold only letters, digits, dots, dashes and underscores`,
      );
    }
  }
}

function invalid(uri: string, rule: string): SignetError {
  return new SignetError("INVALID_SPIFFE_ID", `${rule}: ${JSON.stringify(uri)}`);
}
