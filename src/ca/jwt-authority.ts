import { createPrivateKey, createPublicKey, hash } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { errorMessage, SignetError } from "../core/errors.ts";
import type { JwtAuthority as JwtVerifier } from "../spiffe/bundle.ts";
import { createJwtKeyPair, fitsAlgorithm } from "./jwt-algorithm.ts";
import type { JwtAlgorithm } from "./jwt-algorithm.ts";
import { privateKeyPem } from "./key-pair.ts";
import { wholeSecond } from "./leaf.ts";
import type { JwtAuthorityMaterial } from "./record.ts";

/** A JWT authority ready to sign. */
export interface JwtAuthority {
  /** The `kid` of its tokens. */
  readonly id: string;
  readonly algorithm: JwtAlgorithm;
  /** What verifies its tokens, as bundles carry it. */
  readonly verifier: JwtVerifier;
  readonly privateKey: KeyObject;
  readonly notAfter: number;
}

export interface CreateJwtAuthorityOptions {
  readonly algorithm: JwtAlgorithm;
  readonly ttlMs: number;
  readonly now: number;
}

/**
 * Makes a JWT authority with a fresh key, named by the key's thumbprint (RFC 7638).
 * Throws INVALID_ARGUMENT when the lifetime is shorter than a second.
 */
export async function createJwtAuthority(
  options: CreateJwtAuthorityOptions,
): Promise<JwtAuthorityMaterial> {
  const { algorithm, ttlMs, now } = options;
  if (!(ttlMs >= 1000))
    throw new SignetError("INVALID_ARGUMENT", `an authority cannot live for ${ttlMs} ms`);
  const { privateKey, publicKey } = await createJwtKeyPair(algorithm);
  return {
    id: thumbprint(publicKey),
    algorithm,
    privateKey: privateKeyPem(privateKey),
    notAfter: wholeSecond(now + ttlMs),
  };
}

/**
 * Makes a stored JWT authority ready to sign, after checking that its parts fit: a key that the algorithm can be
 * used with, and its thumbprint as the ID. Throws MALFORMED with the authority's ID and the first thing that does
 * not fit; never shows the key.
 */
export function loadJwtAuthority(material: JwtAuthorityMaterial): JwtAuthority {
  const { id, algorithm, notAfter } = material;
  try {
    const privateKey = readPrivateKey(material.privateKey);
    if (!fitsAlgorithm(privateKey, algorithm)) {
      throw new SignetError("MALFORMED", `private key cannot be used with ${algorithm}`);
    }
    const publicKey = createPublicKey(privateKey);
    if (thumbprint(publicKey) !== id) {
      throw new SignetError("MALFORMED", "ID is not the thumbprint of the key");
    }
    const verifier = verifierOf(publicKey, id, algorithm);
    return { id, algorithm, verifier, privateKey, notAfter };
  } catch (error) {
    throw new SignetError("MALFORMED", `JWT authority ${id}: ${errorMessage(error)}`);
  }
}

function verifierOf(publicKey: KeyObject, kid: string, alg: JwtAlgorithm): JwtVerifier {
  const { kty = "", ...members } = publicKey.export({ format: "jwk" });
  return { kid, kty, alg, ...members };
}

/** RFC 7638 §3: the SHA-256 of the members that make up the key, in the order of their names. */
function thumbprint(publicKey: KeyObject): string {
  const members = Object.entries(publicKey.export({ format: "jwk" }));
  const sorted = members.toSorted(([a], [b]) => (a < b ? -1 : 1));
  return hash("sha256", JSON.stringify(Object.fromEntries(sorted)), "base64url");
}

function readPrivateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // The cause stays here: it is about key bytes.
    throw new SignetError("MALFORMED", "private key cannot be read");
  }
}
