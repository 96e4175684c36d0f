import { OID } from "./der/oid.ts";
import {
  boolean,
  contextPrimitive,
  ia5,
  namedBits,
  octetString,
  oid,
  sequence,
} from "./der/write.ts";

/** Bits of the KeyUsage extension (RFC 5280 §4.2.1.3). */
export const KEY_USAGE = {
  digitalSignature: 0,
  keyEncipherment: 2,
  keyAgreement: 4,
  keyCertSign: 5,
  cRLSign: 6,
} as const;
export type KeyUsage = keyof typeof KEY_USAGE;

const CRITICAL = boolean(true);
const CA_TRUE = sequence(boolean(true));
/** cA is FALSE by default, and DER leaves defaults out. */
const CA_FALSE = sequence();

const SUBJECT_KEY_IDENTIFIER = oid(OID.subjectKeyIdentifier);
const AUTHORITY_KEY_IDENTIFIER = oid(OID.authorityKeyIdentifier);
const SUBJECT_ALT_NAME = oid(OID.subjectAltName);
const KEY_USAGE_OID = oid(OID.keyUsage);
const BASIC_CONSTRAINTS = oid(OID.basicConstraints);

/** ExtKeyUsage with serverAuth and clientAuth (X509-SVID §4.4). */
export const TLS_EXT_KEY_USAGE = extension(
  oid(OID.extKeyUsage),
  sequence(oid(OID.serverAuth), oid(OID.clientAuth)),
);

/** BasicConstraints, critical, without a path length (RFC 5280 §4.2.1.9). */
export function basicConstraints(isCa: boolean): Buffer {
  return criticalExtension(BASIC_CONSTRAINTS, isCa ? CA_TRUE : CA_FALSE);
}

/** KeyUsage, critical (X509-SVID §4.3). */
export function keyUsage(usages: readonly KeyUsage[]): Buffer {
  return criticalExtension(KEY_USAGE_OID, namedBits(usages.map((usage) => KEY_USAGE[usage])));
}

/** SubjectKeyIdentifier, never critical (RFC 5280 §4.2.1.2). */
export function subjectKeyIdentifier(identifier: Buffer): Buffer {
  return extension(SUBJECT_KEY_IDENTIFIER, octetString(identifier));
}

/** AuthorityKeyIdentifier with the key identifier alone, never critical (RFC 5280 §4.2.1.1). */
export function authorityKeyIdentifier(identifier: Buffer): Buffer {
  return extension(AUTHORITY_KEY_IDENTIFIER, sequence(contextPrimitive(0, identifier)));
}

/** SubjectAltName of one URI, first, and DNS names; critical when the subject is empty (RFC 5280 §4.2.1.6). */
export function subjectAltName(
  uri: string,
  dnsNames: readonly string[],
  isSubjectEmpty: boolean,
): Buffer {
  const names = sequence(
    contextPrimitive(6, ia5(uri)),
    ...dnsNames.map((name) => contextPrimitive(2, ia5(name))),
  );
  return isSubjectEmpty
    ? criticalExtension(SUBJECT_ALT_NAME, names)
    : extension(SUBJECT_ALT_NAME, names);
}

function extension(id: Buffer, value: Buffer): Buffer {
  return sequence(id, octetString(value));
}

function criticalExtension(id: Buffer, value: Buffer): Buffer {
  return sequence(id, CRITICAL, octetString(value));
}
