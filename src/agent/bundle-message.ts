import { createHash, createPublicKey } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import { errorMessage, SignetError } from "../core/errors.ts";
import { BundleSchema } from "../rpc/gen/signet/agent/v1/agent_pb.js";
import type {
  Bundle as BundleMessage,
  JwtAuthority as JwtAuthorityMessage,
} from "../rpc/gen/signet/agent/v1/agent_pb.js";
import { MAX_AUTHORITIES, MAX_KEY_ID_BYTES } from "../spiffe/bundle.ts";
import type { Bundle, JwtAuthority } from "../spiffe/bundle.ts";
import { parseTrustDomain } from "../spiffe/trust-domain.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import { parseCertificate } from "./chain.ts";

const CURVES = new Set(["P-256", "P-384", "P-521"]);
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 8192;
/** JWT-SVID §2.1, or unsaid. */
const ALGORITHMS = /^(?:(?:RS|ES|PS)(?:256|384|512))?$/;
/** Bundles that are remembered. */
const MAX_REMEMBERED = 1024;

/** Reads the bundles in messages of the operator; equal ones become one object, however many pods get them. */
export interface BundleReader {
  /** The bundle of the own trust domain. Throws MALFORMED when it is another's, or has no X.509 authority. */
  own(message: BundleMessage): Bundle;
  /** A bundle of another trust domain, perhaps without authorities. Throws MALFORMED or INVALID_SPIFFE_ID. */
  foreign(message: BundleMessage): Bundle;
}

/** Makes a reader that remembers the last bundle of each trust domain. */
export function bundleReader(trustDomain: TrustDomain): BundleReader {
  const remembered = new Map<string, { readonly digest: string; readonly bundle: Bundle }>();
  const read = (message: BundleMessage, name: TrustDomain): Bundle => {
    const digest = createHash("sha256").update(toBinary(BundleSchema, message)).digest("base64");
    const known = remembered.get(name);
    if (known?.digest === digest) return known.bundle;
    const bundle = bundleFrom(message, name);
    remembered.delete(name);
    remembered.set(name, { digest, bundle });
    const [oldest] = remembered.keys();
    if (remembered.size > MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest);
    return bundle;
  };
  return {
    own(message) {
      if (message.trustDomain !== trustDomain) {
        throw refused(message, "belongs to another trust domain");
      }
      if (message.x509Authorities.length === 0) throw refused(message, "has no X.509 authority");
      return read(message, trustDomain);
    },
    foreign(message) {
      const name = parseTrustDomain(message.trustDomain);
      if (name === trustDomain) throw refused(message, "is no foreign one");
      return read(message, name);
    },
  };
}

function bundleFrom(message: BundleMessage, trustDomain: TrustDomain): Bundle {
  const counts = [message.x509Authorities.length, message.jwtAuthorities.length];
  if (counts.some((count) => count > MAX_AUTHORITIES)) {
    throw refused(message, `has more than ${MAX_AUTHORITIES} authorities`);
  }
  const x509Authorities = message.x509Authorities.map((der) => {
    if (!parseCertificate(der).ca) {
      throw refused(message, "has an authority that is not a CA certificate");
    }
    return Buffer.from(der);
  });
  const jwtAuthorities = message.jwtAuthorities.flatMap((key) => jwtAuthorityFrom(key, message));
  const ids = new Set(jwtAuthorities.map(({ kid }) => kid));
  if (ids.size < jwtAuthorities.length) throw refused(message, "has two JWT keys of one ID");
  const { refreshHint } = message;
  const sequence = Number(message.sequence);
  return { trustDomain, x509Authorities, jwtAuthorities, sequence, refreshHint };
}

/** A key that no JWT-SVID can be signed with, or found by, is left out: one odd key must not cost the others. */
function jwtAuthorityFrom(
  { keyId: kid, publicKey, algorithm }: JwtAuthorityMessage,
  message: BundleMessage,
): JwtAuthority[] {
  if (Buffer.byteLength(kid) > MAX_KEY_ID_BYTES) throw refused(message, "has a JWT key of long ID");
  const key = parseKey(publicKey, message);
  if (kid === "" || !ALGORITHMS.test(algorithm) || !isStrong(key)) return [];
  const { kty = "", crv, x, y, n, e } = key.export({ format: "jwk" });
  const alg = algorithm === "" ? {} : { alg: algorithm };
  return [kty === "EC" ? { kid, kty, ...alg, crv, x, y } : { kid, kty, ...alg, n, e }];
}

/** Takes SubjectPublicKeyInfo only, so that a private key goes no further. */
function parseKey(der: Uint8Array, message: BundleMessage): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(der), format: "der", type: "spki" });
  } catch (error) {
    throw refused(message, `has a JWT key that cannot be read: ${errorMessage(error)}`);
  }
}

function isStrong(key: KeyObject): boolean {
  if (key.asymmetricKeyType === "ec") return CURVES.has(key.export({ format: "jwk" }).crv ?? "");
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  return key.asymmetricKeyType === "rsa" && bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS;
}

function refused({ trustDomain }: BundleMessage, fact: string): SignetError {
  const name = JSON.stringify(trustDomain.slice(0, 255));
  return new SignetError("MALFORMED", `bundle of trust domain ${name} ${fact}`);
}
