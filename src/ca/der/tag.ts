/** Identifier octets of the ASN.1 types that X.509 needs (X.690 §8.1.2); all are of the one-byte form. */
export const TAG = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  NULL: 0x05,
  OID: 0x06,
  UTF8_STRING: 0x0c,
  PRINTABLE_STRING: 0x13,
  IA5_STRING: 0x16,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
} as const;

const CONTEXT = 0x80;
const CONSTRUCTED = 0x20;
const HIGHEST_SHORT_NUMBER = 30;

/** The identifier octet of context-specific tag `[number]`, 0 to 30. */
export function contextTag(number: number, form: "primitive" | "constructed"): number {
  if (!Number.isInteger(number) || number < 0 || number > HIGHEST_SHORT_NUMBER) {
    throw new RangeError(`context tag ${number} has no one-byte form`);
  }
  return CONTEXT | (form === "constructed" ? CONSTRUCTED : 0) | number;
}
