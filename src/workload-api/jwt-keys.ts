import { createPublicKey } from "node:crypto";
import type { JsonWebKey } from "node:crypto";
import type { Bundle, JwtAuthority } from "../spiffe/bundle.ts";

const CURVES = new Set(["P-256", "P-384", "P-521"]);
const MIN_RSA_BITS = 2048;

/**
 * The key with the members that verify a signature, or undefined for one that no JWT-SVID can be signed with:
 * without `kid`, of another kind than the nine algorithms use, too short, or not a key at all.
 */
export function verificationKey(key: JwtAuthority): JwtAuthority | undefined {
  const { kid, kty, alg, crv, x, y, n, e } = key;
  const material = (kty === "EC" ? { kty, crv, x, y } : { kty, n, e }) as JsonWebKey;
  if (kid === "" || (kty === "EC" && !CURVES.has(crv ?? ""))) return undefined;
  if (kty !== "EC" && kty !== "RSA") return undefined;
  try {
    const bits = createPublicKey({ key: material, format: "jwk" }).asymmetricKeyDetails;
    if (kty === "RSA" && (bits?.modulusLength ?? 0) < MIN_RSA_BITS) return undefined;
    return { ...material, kty, kid, ...(alg === undefined ? {} : { alg }) };
  } catch {
    return undefined;
  }
}

/**
 * A bundle's token keys as a JWK Set in JSON (JWT-SVID §6.1). Keys that no JWT-SVID can be signed with are
 * left out: common clients refuse a whole response for one of them.
 */
export function jwtKeySet(bundle: Bundle): string {
  const keys = bundle.jwtAuthorities.flatMap((key) => {
    const { kty, kid, ...rest } = verificationKey(key) ?? {};
    return kid === undefined ? [] : [{ kty, use: "jwt-svid", kid, ...rest }];
  });
  return JSON.stringify({ keys });
}
