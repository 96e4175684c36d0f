import { SignetError } from "../core/errors.ts";
import { isMemberOf, parseSpiffeId } from "../spiffe/id.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import { createSerial } from "./certificate.ts";
import type { CertificateFields } from "./certificate.ts";
import { uniqueDnsNames } from "./dns-name.ts";
import {
  authorityKeyIdentifier,
  basicConstraints,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
  TLS_EXT_KEY_USAGE,
} from "./extensions.ts";
import { distinguishedName, isEmptyName } from "./name.ts";
import { parsePublicKey } from "./public-key.ts";
import type { KeyAlgorithm } from "./public-key.ts";

/** What an X509-SVID is asked for with. */
export interface X509SvidRequest {
  readonly spiffeId: string;
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKey: Buffer;
  readonly dnsNames: readonly string[];
  /** Wanted lifetime in milliseconds, at least a second; the authority's own end cuts it. */
  readonly ttlMs: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** How long before `now` it begins to be valid, for clocks that lag; 10 s when left out. */
  readonly backdateMs?: number;
}

/** What a leaf takes from the authority that signs it. */
export interface LeafIssuer {
  readonly trustDomain: TrustDomain;
  readonly subject: Buffer;
  readonly keyIdentifier: Buffer;
  readonly notAfter: number;
}

export const DEFAULT_BACKDATE_MS = 10_000;
const SECOND_MS = 1000;

const NOT_A_CA = basicConstraints(false);
const EC_USAGE = keyUsage(["digitalSignature", "keyAgreement"]);
const LEAF_USAGE: Readonly<Record<KeyAlgorithm, Buffer>> = {
  "ec-p256": EC_USAGE,
  "ec-p384": EC_USAGE,
  rsa: keyUsage(["digitalSignature", "keyEncipherment"]),
};

/**
 * Decides the content of an X509-SVID (X509-SVID §2, §3.1, §4): one URI SAN in the issuer's trust domain
 * with a path, a common name only from the first DNS name, and an end no later than the issuer's.
 * Throws INVALID_SPIFFE_ID, INVALID_ARGUMENT (key, DNS name, lifetime) or FAILED_PRECONDITION
 * (the issuer has expired).
 */
export function leafFields(request: X509SvidRequest, issuer: LeafIssuer): CertificateFields {
  const id = workloadId(request.spiffeId, issuer.trustDomain);
  const key = parsePublicKey(request.publicKey);
  const dnsNames = uniqueDnsNames(request.dnsNames);
  const subject = distinguishedName({ commonName: dnsNames[0] });
  return {
    serial: createSerial(),
    issuer: issuer.subject,
    subject,
    ...leafValidity(request, issuer.notAfter),
    spki: key.spki,
    extensions: [
      LEAF_USAGE[key.algorithm],
      TLS_EXT_KEY_USAGE,
      NOT_A_CA,
      subjectKeyIdentifier(key.keyIdentifier),
      authorityKeyIdentifier(issuer.keyIdentifier),
      subjectAltName(id.uri, dnsNames, isEmptyName(subject)),
    ],
  };
}

function workloadId(uri: string, trustDomain: TrustDomain): SpiffeId {
  const id = parseSpiffeId(uri);
  if (id.path === "") {
    throw new SignetError(
      "INVALID_SPIFFE_ID",
      `the SPIFFE ID of an X509-SVID must have a path: ${JSON.stringify(uri)}`,
    );
  }
  if (!isMemberOf(id, trustDomain)) {
    throw new SignetError(
      "INVALID_SPIFFE_ID",
      `SPIFFE ID ${JSON.stringify(uri)} is not in trust domain ${JSON.stringify(trustDomain)}`,
    );
  }
  return id;
}

function leafValidity(
  { now, ttlMs, backdateMs = DEFAULT_BACKDATE_MS }: X509SvidRequest,
  issuerEnd: number,
): { notBefore: number; notAfter: number } {
  if (!(ttlMs >= SECOND_MS) || !(backdateMs >= 0)) {
    throw new SignetError(
      "INVALID_ARGUMENT",
      `an X509-SVID cannot live for ${ttlMs} ms and begin ${backdateMs} ms early`,
    );
  }
  if (now >= issuerEnd) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      `the X.509 authority expired at ${new Date(issuerEnd).toISOString()}`,
    );
  }
  return {
    notBefore: wholeSecond(now - backdateMs),
    notAfter: wholeSecond(Math.min(now + ttlMs, issuerEnd)),
  };
}

/** Cuts a time in milliseconds to the second that a certificate can hold. */
export function wholeSecond(ms: number): number {
  return Math.floor(ms / SECOND_MS) * SECOND_MS;
}
