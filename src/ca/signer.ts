import { sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { promisify } from "node:util";
import { SignetError } from "../core/errors.ts";
import { OID } from "./der/oid.ts";
import { nullValue, oid, sequence } from "./der/write.ts";

/** A private key made ready to sign certificates. */
export interface Signer {
  /** AlgorithmIdentifier of its signatures in DER. */
  readonly algorithm: Buffer;
  /** Signs at once where that is fast (P-256), otherwise on the thread pool. */
  sign(bytes: Buffer): Buffer | Promise<Buffer>;
}

const ECDSA_SHA256 = sequence(oid(OID.ecdsaWithSha256));
const ECDSA_SHA384 = sequence(oid(OID.ecdsaWithSha384));
const RSA_SHA256 = sequence(oid(OID.sha256WithRsaEncryption), nullValue());

const signOnPool = promisify<string, Buffer, KeyObject, Buffer>(sign);

/**
 * Makes a signer of a P-256, P-384 or RSA key: SHA-384 with P-384, SHA-256 with the others.
 * P-256 takes 25 µs, less than a trip to the pool; P-384 and RSA would hold up the event loop.
 * Throws INVALID_ARGUMENT for any other key.
 */
export function createSigner(privateKey: KeyObject): Signer {
  const curve = privateKey.asymmetricKeyDetails?.namedCurve;
  if (curve === "prime256v1") {
    return { algorithm: ECDSA_SHA256, sign: (bytes) => sign("sha256", bytes, privateKey) };
  }
  if (curve === "secp384r1") {
    return { algorithm: ECDSA_SHA384, sign: (bytes) => signOnPool("sha384", bytes, privateKey) };
  }
  if (privateKey.asymmetricKeyType === "rsa") {
    return { algorithm: RSA_SHA256, sign: (bytes) => signOnPool("sha256", bytes, privateKey) };
  }
  throw new SignetError("INVALID_ARGUMENT", "an authority's key must be P-256, P-384 or RSA");
}
