import { X509Certificate } from "node:crypto";
import { errorMessage, SignetError } from "../core/errors.ts";

/** More certificates than this between a leaf and its root are refused. */
const MAX_CHAIN = 8;

/** A chain that leads from a leaf to one of the authorities. */
export interface ChainInput {
  /** DER certificates: leaf first, then intermediates. */
  readonly chain: readonly Buffer[];
  /** DER certificates that are trusted. */
  readonly authorities: readonly Buffer[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/**
 * The leaf of a chain that verifies: each certificate signed by the next, the last one by an authority,
 * no issuer that is not a CA, nothing expired (RFC 5280 §6.1). Beginnings of validity are not checked,
 * because clocks of nodes lag. Throws MALFORMED with the certificate that breaks it.
 */
export function verifyChain({ chain, authorities, now }: ChainInput): X509Certificate {
  if (chain.length > MAX_CHAIN) throw broken(`chain is longer than ${MAX_CHAIN} certificates`);
  const certificates = chain.map((der) => parseCertificate(der));
  const [leaf] = certificates;
  const last = certificates.at(-1);
  if (!leaf || !last) throw broken("chain is empty");
  if (leaf.ca) throw broken("leaf is a CA certificate");
  for (const [i, certificate] of certificates.entries()) {
    if (!expiresAfter(certificate, now)) throw broken(`certificate ${i} of the chain has expired`);
    const issuer = certificates[i + 1];
    if (issuer && !isIssuedBy(certificate, issuer)) {
      throw broken(`certificate ${i} of the chain is not signed by the one after it`);
    }
  }
  const anchored = authorities
    .map((der) => parseCertificate(der))
    .some((authority) => expiresAfter(authority, now) && isIssuedBy(last, authority));
  if (!anchored) throw broken("chain leads to no authority of the trust bundle");
  return leaf;
}

/** Tells whether `verifyChain` would accept. */
export function isVerifiable(input: ChainInput): boolean {
  try {
    verifyChain(input);
    return true;
  } catch {
    return false;
  }
}

/** Reads a DER certificate. Throws MALFORMED. */
export function parseCertificate(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der);
  } catch (error) {
    throw broken(`not a certificate: ${errorMessage(error)}`);
  }
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return issuer.ca && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function expiresAfter(certificate: X509Certificate, now: number): boolean {
  return certificate.validToDate.getTime() > now;
}

function broken(rule: string): SignetError {
  return new SignetError("MALFORMED", rule);
}
