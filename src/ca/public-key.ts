import { createHash, ECDH } from "node:crypto";
import { errorMessage, SignetError } from "../core/errors.ts";
import { OID } from "./der/oid.ts";
import { derReader } from "./der/read.ts";
import type { DerReader } from "./der/read.ts";
import { TAG } from "./der/tag.ts";

/** The algorithms whose public keys are certified. */
export type KeyAlgorithm = "ec-p256" | "ec-p384" | "rsa";

/** A public key that passed `parsePublicKey`. */
export interface PublicKeyInfo {
  readonly algorithm: KeyAlgorithm;
  /** SubjectPublicKeyInfo in DER, as it was given. */
  readonly spki: Buffer;
  /** RFC 7093 §2 method 1: the leftmost 160 bits of the SHA-256 of the key's bits. */
  readonly keyIdentifier: Buffer;
}

const ACCEPTED =
  "accepted are P-256, P-384 and RSA keys of 2048 to 4096 bits as SubjectPublicKeyInfo in DER";
/** RSA-4096 takes 550 bytes. */
const MAX_SPKI_BYTES = 640;
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 4096;
const MIN_RSA_EXPONENT = 65_537;
/** Go reads no larger exponent. */
const MAX_RSA_EXPONENT = 0x7fff_ffff;
const KEY_IDENTIFIER_BYTES = 20;

const CURVES: Readonly<
  Record<string, { algorithm: KeyAlgorithm; curveName: string; pointBytes: number }>
> = {
  [OID.prime256v1]: { algorithm: "ec-p256", curveName: "prime256v1", pointBytes: 65 },
  [OID.secp384r1]: { algorithm: "ec-p384", curveName: "secp384r1", pointBytes: 97 },
};

/**
 * Reads a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) as strictly as every consumer of our certificates
 * might: named curve, uncompressed point on the curve, RSA with NULL parameters and a sane exponent.
 * Throws INVALID_ARGUMENT that says what is wrong and which keys are accepted.
 */
export function parsePublicKey(spki: Buffer): PublicKeyInfo {
  if (spki.length > MAX_SPKI_BYTES) throw refused(`has ${spki.length} bytes`);
  try {
    const { algorithm, bits } = readSpki(spki);
    return { algorithm, spki, keyIdentifier: keyIdentifier(bits) };
  } catch (error) {
    throw error instanceof SignetError && error.code === "INVALID_ARGUMENT"
      ? error
      : refused(`cannot be read (${errorMessage(error)})`);
  }
}

function keyIdentifier(bits: Buffer): Buffer {
  return createHash("sha256").update(bits).digest().subarray(0, KEY_IDENTIFIER_BYTES);
}

function readSpki(spki: Buffer): { algorithm: KeyAlgorithm; bits: Buffer } {
  const outer = derReader(spki, "SubjectPublicKeyInfo");
  const info = outer.enter();
  outer.end();
  const identifier = info.enter();
  const bits = info.bits();
  info.end();
  const oid = identifier.oid();
  if (oid === OID.ecPublicKey) return { algorithm: ecAlgorithm(identifier, bits), bits };
  if (oid !== OID.rsaEncryption) throw refused(`has algorithm ${oid}`);
  checkRsa(identifier, bits);
  return { algorithm: "rsa", bits };
}

function ecAlgorithm(identifier: DerReader, point: Buffer): KeyAlgorithm {
  if (identifier.peek() !== TAG.OID) throw refused("has curve parameters instead of a named curve");
  const curve = identifier.oid();
  identifier.end();
  const known = CURVES[curve];
  if (known === undefined) throw refused(`is on curve ${curve}`);
  if (point[0] !== 0x04 || point.length !== known.pointBytes) {
    throw refused("has a point that is not uncompressed");
  }
  checkOnCurve(point, known.curveName);
  return known.algorithm;
}

/** OpenSSL decodes the point, and refuses one off the curve; four times faster than making a KeyObject. */
function checkOnCurve(point: Buffer, curveName: string): void {
  try {
    ECDH.convertKey(point, curveName, undefined, undefined, "uncompressed");
  } catch {
    throw refused("has a point that is not on its curve");
  }
}

function checkRsa(identifier: DerReader, bits: Buffer): void {
  if (identifier.read(TAG.NULL).content.length > 0)
    throw refused("has RSA parameters that are not NULL");
  identifier.end();
  const outer = derReader(bits, "RSAPublicKey");
  const key = outer.enter();
  outer.end();
  const modulus = key.unsigned();
  const exponentBytes = key.unsigned();
  key.end();
  const modulusBits = modulus.length * 8 - (Math.clz32(modulus[0] ?? 0) - 24);
  if (modulusBits < MIN_RSA_BITS || modulusBits > MAX_RSA_BITS)
    throw refused(`is RSA of ${modulusBits} bits`);
  const exponent =
    exponentBytes.length > 4 ? Infinity : exponentBytes.readUIntBE(0, exponentBytes.length);
  const isOdd = ((modulus.at(-1) ?? 0) & 1) === 1 && exponent % 2 === 1;
  if (!isOdd || exponent < MIN_RSA_EXPONENT || exponent > MAX_RSA_EXPONENT) {
    throw refused("has an RSA modulus or exponent that is even, or an exponent out of bounds");
  }
}

function refused(rule: string): SignetError {
  return new SignetError("INVALID_ARGUMENT", `public key ${rule}; ${ACCEPTED}`);
}
