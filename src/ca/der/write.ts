import { SignetError } from "../../core/errors.ts";
import { encodeOid } from "./oid.ts";
import { contextTag, TAG } from "./tag.ts";

const PRINTABLE = /^[A-Za-z0-9 '()+,\-./:=?]*$/;
// eslint-disable-next-line no-control-regex
const IA5 = /^[\x00-\x7f]*$/;
const EARLIEST_UTC_TIME = Date.UTC(1950, 0, 1);
const FIRST_GENERALIZED_TIME = Date.UTC(2050, 0, 1);
const END_OF_TIME = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** One DER element: the tag, the length in its shortest definite form (X.690 §10.1) and the contents joined. */
export function element(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  let length = 0;
  for (const content of contents) length += content.length;
  const lengthBytes = length < 0x80 ? 0 : Math.ceil((32 - Math.clz32(length)) / 8);
  const out = Buffer.allocUnsafe(2 + lengthBytes + length);
  out[0] = tag;
  out[1] = lengthBytes === 0 ? length : 0x80 | lengthBytes;
  if (lengthBytes > 0) out.writeUIntBE(length, 2, lengthBytes);
  let offset = 2 + lengthBytes;
  for (const content of contents) {
    out.set(content, offset);
    offset += content.length;
  }
  return out;
}

export function sequence(...elements: readonly Uint8Array[]): Buffer {
  return element(TAG.SEQUENCE, ...elements);
}

/** A SET OF: its elements sorted by their encodings, as DER asks (X.690 §11.6). */
export function setOf(...elements: readonly Uint8Array[]): Buffer {
  return element(TAG.SET, ...elements.toSorted((a, b) => Buffer.compare(a, b)));
}

/** A non-negative INTEGER, from a number or from big-endian bytes, in its shortest form (X.690 §8.3). */
export function integer(value: number | Uint8Array): Buffer {
  const bytes = typeof value === "number" ? bigEndian(value) : value;
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const magnitude = bytes.subarray(start);
  const first = magnitude[0];
  if (first === undefined || first >= 0x80) return element(TAG.INTEGER, Buffer.of(0), magnitude);
  return element(TAG.INTEGER, magnitude);
}

export function boolean(value: boolean): Buffer {
  return element(TAG.BOOLEAN, Buffer.of(value ? 0xff : 0x00));
}

/** A BIT STRING of whole bytes. */
export function bitString(bytes: Uint8Array): Buffer {
  return element(TAG.BIT_STRING, Buffer.of(0), bytes);
}

/** A BIT STRING of named bits, bit 0 first, without trailing zero bits (X.690 §11.2.2). */
export function namedBits(bits: readonly number[]): Buffer {
  const highest = Math.max(-1, ...bits);
  const bytes = Buffer.alloc(Math.floor(highest / 8) + 1);
  for (const bit of bits) {
    const index = Math.floor(bit / 8);
    bytes[index] = (bytes[index] ?? 0) | (0x80 >> (bit % 8));
  }
  return element(TAG.BIT_STRING, Buffer.of(bytes.length * 8 - (highest + 1)), bytes);
}

export function octetString(bytes: Uint8Array): Buffer {
  return element(TAG.OCTET_STRING, bytes);
}

export function nullValue(): Buffer {
  return element(TAG.NULL);
}

export function oid(dotted: string): Buffer {
  return element(TAG.OID, encodeOid(dotted));
}

export function utf8String(text: string): Buffer {
  return element(TAG.UTF8_STRING, Buffer.from(text, "utf8"));
}

/** A PrintableString (X.680 §41.4). Throws INVALID_ARGUMENT for a character outside its set. */
export function printableString(text: string): Buffer {
  if (!PRINTABLE.test(text)) throw unfit(text, "PrintableString");
  return element(TAG.PRINTABLE_STRING, Buffer.from(text, "latin1"));
}

/** The content of an IA5String. Throws INVALID_ARGUMENT for a character outside ASCII. */
export function ia5(text: string): Buffer {
  if (!IA5.test(text)) throw unfit(text, "IA5String");
  return Buffer.from(text, "latin1");
}

export function ia5String(text: string): Buffer {
  return element(TAG.IA5_STRING, ia5(text));
}

/**
 * A Time (RFC 5280 §4.1.2.5) of milliseconds since the epoch, cut to the whole second: UTCTime through
 * 2049, GeneralizedTime after. Throws INVALID_ARGUMENT outside the years 1950 to 9999.
 */
export function time(ms: number): Buffer {
  if (!(ms >= EARLIEST_UTC_TIME && ms <= END_OF_TIME)) {
    throw new SignetError("INVALID_ARGUMENT", `a certificate cannot hold the time ${ms} ms`);
  }
  const digits = `${new Date(ms)
    .toISOString()
    .replaceAll(/[^0-9]/g, "")
    .slice(0, 14)}Z`;
  return ms < FIRST_GENERALIZED_TIME
    ? element(TAG.UTC_TIME, Buffer.from(digits.slice(2), "latin1"))
    : element(TAG.GENERALIZED_TIME, Buffer.from(digits, "latin1"));
}

/** Context tag `[number]` around whole elements (EXPLICIT, or IMPLICIT over a constructed type). */
export function contextConstructed(number: number, ...elements: readonly Uint8Array[]): Buffer {
  return element(contextTag(number, "constructed"), ...elements);
}

/** Context tag `[number]` in place of a primitive type's own tag (IMPLICIT). */
export function contextPrimitive(number: number, content: Uint8Array): Buffer {
  return element(contextTag(number, "primitive"), content);
}

function bigEndian(value: number): Buffer {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`${value} is not a non-negative integer`);
  }
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
}

function unfit(text: string, type: string): SignetError {
  const shown = JSON.stringify(text.slice(0, 80));
  return new SignetError("INVALID_ARGUMENT", `${shown} holds a character that ${type} cannot`);
}
