import { constants, generateKeyPair, sign } from "node:crypto";
import type { KeyObject, SignKeyObjectInput } from "node:crypto";
import { promisify } from "node:util";
import type { KeyPair } from "./key-pair.ts";

/** The algorithms that JWT-SVIDs may be signed with (JWT-SVID §2.1, RFC 7518 §3.1). */
export const JWT_ALGORITHMS = [
  "ES256",
  "ES384",
  "ES512",
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
] as const;
export type JwtAlgorithm = (typeof JWT_ALGORITHMS)[number];

/** Signs the bytes of a JWS: at once where that is fast, otherwise on the thread pool. */
export type JwsSigner = (bytes: Buffer) => Buffer | Promise<Buffer>;

type Curve = "P-256" | "P-384" | "P-521";

/** RFC 7518 §3.3, §3.5: at least 2048 bits, whatever the hash. */
const RSA_BITS = 2048;
const CURVES: Readonly<Partial<Record<JwtAlgorithm, Curve>>> = {
  ES256: "P-256",
  ES384: "P-384",
  ES512: "P-521",
};
/** OpenSSL's names of the curves. */
const CURVE_NAMES: Readonly<Record<Curve, string>> = {
  "P-256": "prime256v1",
  "P-384": "secp384r1",
  "P-521": "secp521r1",
};

const generate = promisify(generateKeyPair);
const signOnPool = promisify<string, Buffer, SignKeyObjectInput, Buffer>(sign);

/** Makes a key pair for an algorithm, on the thread pool: the algorithm's own curve, or RSA of 2048 bits. */
export function createJwtKeyPair(algorithm: JwtAlgorithm): Promise<KeyPair> {
  const namedCurve = CURVES[algorithm];
  return namedCurve === undefined
    ? generate("rsa", { modulusLength: RSA_BITS })
    : generate("ec", { namedCurve });
}

/** Tells whether an algorithm can be used with a key: its own curve, or RSA of at least 2048 bits. */
export function fitsAlgorithm(key: KeyObject, algorithm: JwtAlgorithm): boolean {
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  const curve = CURVES[algorithm];
  if (curve === undefined) return key.asymmetricKeyType === "rsa" && modulusLength >= RSA_BITS;
  return key.asymmetricKeyType === "ec" && namedCurve === CURVE_NAMES[curve];
}

/** Makes a signer of a key that fits the algorithm. Only P-256 takes less time than a trip to the thread pool. */
export function createJwsSigner(key: KeyObject, algorithm: JwtAlgorithm): JwsSigner {
  const hash = `sha${algorithm.slice(2)}`;
  const input = signInput(key, algorithm);
  if (algorithm === "ES256") return (bytes) => sign(hash, bytes, input);
  return (bytes) => signOnPool(hash, bytes, input);
}

function signInput(key: KeyObject, algorithm: JwtAlgorithm): SignKeyObjectInput {
  // RFC 7518 §3.4: R and S side by side instead of in DER.
  if (algorithm.startsWith("ES")) return { key, dsaEncoding: "ieee-p1363" };
  if (algorithm.startsWith("RS")) return { key };
  // RFC 7518 §3.5: a salt as long as the hash.
  const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_DIGEST: saltLength } = constants;
  return { key, padding, saltLength };
}
