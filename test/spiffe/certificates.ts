import "reflect-metadata";
import * as peculiar from "@peculiar/x509";
import { createPublicKey, webcrypto } from "node:crypto";
import type { JsonWebKey } from "node:crypto";

export interface TestAuthority {
  readonly der: Buffer;
  /** Its public key, as a JWK has it. */
  readonly jwk: JsonWebKey;
}

const ALGORITHMS = {
  ed25519: { name: "Ed25519" },
  "ec-p256": { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  "rsa-2048": {
    name: "RSASSA-PKCS1-v1_5",
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: "SHA-256",
  },
};

/** A self-signed certificate of a trust domain, a CA's unless told otherwise, made without any code of Signet. */
export async function makeAuthority(
  keyType: keyof typeof ALGORITHMS = "ec-p256",
  trustDomain = "partner.example",
  isCa = true,
): Promise<TestAuthority> {
  const algorithm = ALGORITHMS[keyType];
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await peculiar.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: `O=${trustDomain}`,
    notBefore: new Date("2026-01-01T00:00:00Z"),
    notAfter: new Date("2036-01-01T00:00:00Z"),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new peculiar.BasicConstraintsExtension(isCa, undefined, true),
      new peculiar.KeyUsagesExtension(peculiar.KeyUsageFlags.keyCertSign, true),
      new peculiar.SubjectAlternativeNameExtension([
        { type: "url", value: `spiffe://${trustDomain}` },
      ]),
    ],
  });
  const spki = Buffer.from(certificate.publicKey.rawData);
  return {
    der: Buffer.from(certificate.rawData),
    jwk: createPublicKey({ key: spki, format: "der", type: "spki" }).export({ format: "jwk" }),
  };
}

/** The JWK of an X.509 authority in a bundle. */
export function x509Key({ der, jwk }: TestAuthority, ...more: TestAuthority[]): object {
  const x5c = [der, ...more.map((authority) => authority.der)].map((c) => c.toString("base64"));
  return { use: "x509-svid", ...jwk, x5c };
}

/** The JWK of a key of JWT-SVIDs in a bundle. */
export function jwtKey({ jwk }: TestAuthority, kid = "key-1"): object {
  return { use: "jwt-svid", kid, ...jwk };
}
