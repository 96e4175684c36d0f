import { createPublicKey, X509Certificate } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { pemBlock } from "./pem.ts";
import type { TrustDomain } from "./trust-domain.ts";

/** More authorities of one kind in one bundle are refused. */
export const MAX_AUTHORITIES = 64;
export const MAX_KEY_ID_BYTES = 512;

/** A public key that verifies JWT-SVIDs: a JWK (RFC 7517 §4), found by its `kid`. */
export interface JwtAuthority {
  readonly kid: string;
  readonly kty: string;
  readonly alg?: string | undefined;
  readonly crv?: string | undefined;
  readonly x?: string | undefined;
  readonly y?: string | undefined;
  readonly n?: string | undefined;
  readonly e?: string | undefined;
}

/** What a trust domain's SVIDs are verified with. */
export interface Bundle {
  readonly trustDomain: TrustDomain;
  /** CA certificates in DER, oldest first. */
  readonly x509Authorities: readonly Buffer[];
  /** Oldest first. */
  readonly jwtAuthorities: readonly JwtAuthority[];
  /** Grows with every change of the bundle (Trust Domain and Bundle §4.1.2). */
  readonly sequence: number;
  /** Seconds between two looks of a consumer (Trust Domain and Bundle §4.1.3). */
  readonly refreshHint: number;
}

/** The bundle's CA certificates as PEM, in their order. */
export function bundlePem(bundle: Bundle): string {
  return bundle.x509Authorities.map((der) => pemBlock("CERTIFICATE", der)).join("");
}

/** The bundle as a SPIFFE bundle document (Trust Domain and Bundle §4): JSON with one JWK per authority. */
export function bundleDocument(bundle: Bundle): string {
  const keys = [...bundle.x509Authorities.map(x509Jwk), ...bundle.jwtAuthorities.map(jwtJwk)];
  return `${JSON.stringify(
    { keys, spiffe_sequence: bundle.sequence, spiffe_refresh_hint: bundle.refreshHint },
    undefined,
    2,
  )}\n`;
}

/** Tells whether two bundles hold the same authorities. */
export function sameAuthorities(a: Bundle, b: Bundle): boolean {
  return (
    a.x509Authorities.length === b.x509Authorities.length &&
    a.x509Authorities.every((der, i) => b.x509Authorities[i]?.equals(der)) &&
    isDeepStrictEqual(a.jwtAuthorities, b.jwtAuthorities)
  );
}

/** X509-SVID §6.1: no `kid`, and one certificate. */
function x509Jwk(der: Buffer): object {
  const spki = new X509Certificate(der).publicKey.export({ type: "spki", format: "pem" });
  const key = createPublicKey(spki).export({ format: "jwk" });
  return { use: "x509-svid", ...key, x5c: [der.toString("base64")] };
}

/** JWT-SVID §6.1: `use` and `kid`. */
function jwtJwk({ kid, ...key }: JwtAuthority): object {
  return { use: "jwt-svid", kid, ...key };
}
