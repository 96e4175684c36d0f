import { OID } from "./der/oid.ts";
import { oid, printableString, sequence, setOf, utf8String } from "./der/write.ts";

/** RFC 5280 appendix A.1: ub-common-name. */
const MAX_COMMON_NAME = 64;

const COMMON_NAME = oid(OID.commonName);
const SERIAL_NUMBER = oid(OID.serialNumber);
const ORGANIZATION = sequence(
  setOf(sequence(oid(OID.organizationName), utf8String("Signet"))),
).subarray(2);

export interface NameFields {
  /** Left out of the name when it is longer than 64 characters, the bound of X.520. */
  readonly commonName?: string | undefined;
  readonly serialNumber?: string;
}

/** A distinguished name (RFC 5280 §4.1.2.4) in DER: O=Signet, then the common name and serialNumber where given. */
export function distinguishedName({ commonName, serialNumber }: NameFields): Buffer {
  const attributes = [ORGANIZATION];
  if (commonName !== undefined && commonName.length <= MAX_COMMON_NAME) {
    attributes.push(setOf(sequence(COMMON_NAME, utf8String(commonName))));
  }
  if (serialNumber !== undefined) {
    attributes.push(setOf(sequence(SERIAL_NUMBER, printableString(serialNumber))));
  }
  return sequence(...attributes);
}

/** Tells whether a distinguished name in DER has no attribute at all. */
export function isEmptyName(name: Buffer): boolean {
  return name.length === 2;
}
