import { createPublicKey, X509Certificate } from "node:crypto";
import { SignetError, errorMessage } from "../core/errors.ts";
import { MAX_AUTHORITIES, MAX_KEY_ID_BYTES } from "./bundle.ts";
import type { JwtAuthority } from "./bundle.ts";
import type { TrustDomain } from "./trust-domain.ts";

/** What a SPIFFE bundle document says of a trust domain. */
export interface BundleDocument {
  readonly trustDomain: TrustDomain;
  /** CA certificates in DER, in their order; none means that no X509-SVID of the trust domain is valid. */
  readonly x509Authorities: readonly Buffer[];
  /** Keys of JWT-SVIDs, in their order; of several with one key ID the last. */
  readonly jwtAuthorities: readonly JwtAuthority[];
  readonly sequence: bigint | undefined;
  /** Seconds. */
  readonly refreshHint: number | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads a SPIFFE bundle in JSON (Trust Domain and Bundle §4). Keys of an unknown `kty`, `crv` or `use`, and X.509
 * entries without a certificate, are passed over, as the standard demands. Throws MALFORMED for what is no
 * bundle, for an entry whose certificate or key cannot be read or is not a CA's, and for more than nodes take.
 */
export function parseBundleDocument(text: string, trustDomain: TrustDomain): BundleDocument {
  const root = parseJson(text);
  const { keys } = root;
  if (!Array.isArray(keys)) throw malformed('"keys" must be an array of JWKs');
  const x509Authorities: Buffer[] = [];
  const jwtAuthorities = new Map<string, JwtAuthority>();
  for (const [at, key] of keys.entries()) {
    if (!isFields(key)) throw malformed(`keys[${at}] is not a JWK`);
    if (!KEY_TYPES.get(key["use"])?.has(key["kty"])) continue;
    if (key["use"] === "x509-svid") x509Authorities.push(...readCertificate(key, at));
    else readJwtKey(key, at, jwtAuthorities);
  }
  if (Math.max(x509Authorities.length, jwtAuthorities.size) > MAX_AUTHORITIES) {
    throw malformed(`"keys" holds more than ${MAX_AUTHORITIES} authorities of one kind`);
  }
  const sequence = readSequence(root["spiffe_sequence"]);
  const refreshHint = readRefreshHint(root["spiffe_refresh_hint"]);
  return {
    trustDomain,
    x509Authorities,
    jwtAuthorities: [...jwtAuthorities.values()],
    sequence,
    refreshHint,
  };
}

/** By use: a CA may have an Ed25519 key (RFC 8037 §2), which no algorithm of JWT-SVIDs uses. */
const KEY_TYPES: ReadonlyMap<unknown, ReadonlySet<unknown>> = new Map([
  ["x509-svid", new Set<unknown>(["EC", "RSA", "OKP"])],
  ["jwt-svid", new Set<unknown>(["EC", "RSA"])],
]);
/** Those of the algorithms that JWT-SVIDs may be signed with. */
const CURVES: ReadonlySet<unknown> = new Set(["P-256", "P-384", "P-521"]);
const LARGEST_SEQUENCE = 2n ** 64n - 1n;

/** A number as it is written. */
class NumberText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

function parseJson(text: string): Fields {
  let root: unknown;
  try {
    root = JSON.parse(text, readNumber);
  } catch (error) {
    throw malformed(`it is not JSON: ${errorMessage(error)}`);
  }
  if (!isFields(root)) throw malformed("it is not a JSON object");
  return root;
}

/** Sequences have 64 bits: as a number their last digits would be lost (Trust Domain and Bundle §4.1.1). */
function readNumber(key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (key !== "spiffe_sequence" || typeof value !== "number") return value;
  return new NumberText(context?.source ?? "");
}

function readSequence(value: unknown): bigint | undefined {
  if (value === undefined || value === null) return undefined;
  if (value instanceof NumberText && /^\d{1,20}$/.test(value.text)) {
    const sequence = BigInt(value.text);
    if (sequence <= LARGEST_SEQUENCE) return sequence;
  }
  throw malformed('"spiffe_sequence" must be an integer of 64 bits');
}

function readRefreshHint(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw malformed('"spiffe_refresh_hint" must be a whole number of seconds');
}

function readCertificate({ x5c }: Fields, at: number): Buffer[] {
  const first: unknown = Array.isArray(x5c) ? x5c[0] : undefined;
  if (typeof first !== "string" || first === "") return [];
  const certificate = parseCertificate(first, at);
  if (!certificate.ca) throw malformed(`keys[${at}].x5c[0] is not a CA certificate`);
  return [certificate.raw];
}

function parseCertificate(base64: string, at: number): X509Certificate {
  try {
    return new X509Certificate(Buffer.from(base64, "base64"));
  } catch (error) {
    throw malformed(`keys[${at}].x5c[0] is not a certificate: ${errorMessage(error)}`);
  }
}

function readJwtKey(key: Fields, at: number, into: Map<string, JwtAuthority>): void {
  const { kid, kty, crv, alg } = key;
  if (kty === "EC" && !CURVES.has(crv)) return;
  if (typeof kid !== "string" || kid === "") {
    throw malformed(`keys[${at}].kid is missing; keys of JWT-SVIDs are found by it`);
  }
  if (Buffer.byteLength(kid) > MAX_KEY_ID_BYTES) {
    throw malformed(`keys[${at}].kid is longer than ${MAX_KEY_ID_BYTES} bytes`);
  }
  try {
    // Written anew, so that a private part that somebody left in goes no further.
    const members = createPublicKey({ key, format: "jwk" }).export({ format: "jwk" });
    const known = { kid, kty: String(kty), ...members };
    into.set(kid, typeof alg === "string" ? { ...known, alg } : known);
  } catch (error) {
    throw malformed(`keys[${at}] is not a public key: ${errorMessage(error)}`);
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function malformed(problem: string): SignetError {
  return new SignetError("MALFORMED", `the bundle cannot be used: ${problem}`);
}
