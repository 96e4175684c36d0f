import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from "jose";
import type { JWTPayload } from "jose";
import { createPublicKey } from "node:crypto";
import type { JwtAuthority } from "../../src/spiffe/bundle.ts";

/** A JWT authority on a library that Signet does not sign with. */
export interface TestJwtAuthority {
  readonly kid: string;
  readonly algorithm: string;
  /** SubjectPublicKeyInfo in DER, as it travels to agents. */
  readonly publicKey: Buffer;
  /** As it stands in a bundle. */
  readonly jwk: JwtAuthority;
  /** A JWS in compact form with header alg, kid, typ, or what `header` says instead. */
  sign(claims: JWTPayload, header?: Readonly<Record<string, unknown>>): Promise<string>;
}

/** Makes an authority with a fresh key. */
export async function testJwtAuthority(
  kid: string,
  algorithm = "ES256",
): Promise<TestJwtAuthority> {
  const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true });
  const { kty = "", ...members } = await exportJWK(publicKey);
  const spki = createPublicKey(await exportSPKI(publicKey));
  return {
    kid,
    algorithm,
    publicKey: spki.export({ type: "spki", format: "der" }),
    jwk: { ...members, kty, kid, alg: algorithm },
    sign: (claims, header = {}) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: algorithm, kid, typ: "JWT", ...header })
        .sign(privateKey),
  };
}
