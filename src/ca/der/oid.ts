import { SignetError } from "../../core/errors.ts";

/** Object identifiers by the names of the standards that define them. */
export const OID = {
  // RFC 5480, RFC 8017, RFC 5758
  ecPublicKey: "1.2.840.10045.2.1",
  prime256v1: "1.2.840.10045.3.1.7",
  secp384r1: "1.3.132.0.34",
  rsaEncryption: "1.2.840.113549.1.1.1",
  sha256WithRsaEncryption: "1.2.840.113549.1.1.11",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  ecdsaWithSha384: "1.2.840.10045.4.3.3",
  // X.520 attributes
  commonName: "2.5.4.3",
  serialNumber: "2.5.4.5",
  organizationName: "2.5.4.10",
  // RFC 5280 §4.2.1
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

const MAX_OID_BYTES = 64;

/** The content octets of an OBJECT IDENTIFIER (X.690 §8.19). Throws RangeError when `dotted` is none. */
export function encodeOid(dotted: string): Buffer {
  const arcs = dotted.split(".").map(Number);
  const [root = -1, second = -1, ...rest] = arcs;
  const secondLimit = root === 2 ? Number.MAX_SAFE_INTEGER - 80 : 39;
  if (
    !arcs.every((arc) => Number.isSafeInteger(arc) && arc >= 0) ||
    root > 2 ||
    second > secondLimit ||
    second < 0
  ) {
    throw new RangeError(`${JSON.stringify(dotted)} is not an object identifier`);
  }
  return Buffer.from([root * 40 + second, ...rest].flatMap(base128));
}

/** The dotted form of an OBJECT IDENTIFIER's content octets. Throws MALFORMED when they are not minimal or too long. */
export function decodeOid(content: Buffer): string {
  if (content.length === 0 || content.length > MAX_OID_BYTES) throw malformed("has a bad length");
  const subidentifiers: number[] = [];
  let value = 0;
  let inside = false;
  for (const byte of content) {
    if (!inside && byte === 0x80) throw malformed("is padded");
    value = value * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(value)) throw malformed("has an arc that is too large");
    inside = byte >= 0x80;
    if (!inside) {
      subidentifiers.push(value);
      value = 0;
    }
  }
  if (inside) throw malformed("ends inside an arc");
  const [first = 0, ...rest] = subidentifiers;
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - root * 40, ...rest].join(".");
}

function base128(arc: number): number[] {
  const digits = [arc % 128];
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) {
    digits.unshift((rest % 128) | 0x80);
  }
  return digits;
}

function malformed(rule: string): SignetError {
  return new SignetError("MALFORMED", `object identifier ${rule}`);
}
