import { SignetError } from "../../core/errors.ts";
import { decodeOid } from "./oid.ts";
import { TAG } from "./tag.ts";

const HIGH_TAG_NUMBER = 0x1f;
const MAX_LENGTH_BYTES = 4;
const UTC_TIME = /^\d{12}Z$/;
const GENERALIZED_TIME = /^\d{14}Z$/;

interface DerElement {
  readonly tag: number;
  readonly content: Buffer;
  /** Tag, length and content: the bytes as they stood. */
  readonly encoded: Buffer;
}

/** Walks through the elements of one constructed value. Every method throws MALFORMED for what is not DER. */
export interface DerReader {
  /** The tag of the next element, or undefined at the end. */
  peek(): number | undefined;
  /** The next element, which must have `tag`. */
  read(tag: number): DerElement;
  /** A reader of the content of the next element, a SEQUENCE unless `tag` says otherwise. */
  enter(tag?: number): DerReader;
  /** A non-negative INTEGER as big-endian bytes, no longer than needed. */
  unsigned(): Buffer;
  boolean(): boolean;
  oid(): string;
  /** A BIT STRING of whole bytes. */
  bits(): Buffer;
  /** A UTCTime or GeneralizedTime as RFC 5280 §4.1.2.5 wants it, in milliseconds since the epoch. */
  time(): number;
  /** Nothing may follow. */
  end(): void;
}

/**
 * Reads DER strictly: one-byte tags, definite lengths in their shortest form, nothing beyond the buffer.
 * `what` names the value in errors. The caller bounds the size of `bytes`.
 */
export function derReader(bytes: Buffer, what: string): DerReader {
  let offset = 0;
  const bad = (rule: string): SignetError => malformed(what, rule);
  const read = (tag: number): DerElement => {
    const { headerBytes, length } = readHeader(bytes.subarray(offset), what);
    if (bytes[offset] !== tag) throw bad(`has tag ${bytes[offset]} where ${tag} should be`);
    const start = offset + headerBytes;
    if (length > bytes.length - start) throw bad("ends inside an element");
    const encoded = bytes.subarray(offset, start + length);
    offset = start + length;
    return { tag, content: encoded.subarray(headerBytes), encoded };
  };
  return {
    peek: () => bytes[offset],
    read,
    enter: (tag = TAG.SEQUENCE) => derReader(read(tag).content, what),
    unsigned: () => unsigned(read(TAG.INTEGER).content, what),
    boolean() {
      const { content } = read(TAG.BOOLEAN);
      if (content.length !== 1 || (content[0] !== 0x00 && content[0] !== 0xff)) {
        throw bad("has a BOOLEAN that is neither 00 nor FF");
      }
      return content[0] === 0xff;
    },
    oid: () => decodeOid(read(TAG.OID).content),
    bits() {
      const { content } = read(TAG.BIT_STRING);
      if (content[0] !== 0) throw bad("has a BIT STRING that is not of whole bytes");
      return content.subarray(1);
    },
    time() {
      const { tag, content } = read(
        bytes[offset] === TAG.UTC_TIME ? TAG.UTC_TIME : TAG.GENERALIZED_TIME,
      );
      return parseTime(tag, content.toString("latin1"), what);
    },
    end() {
      if (offset !== bytes.length) throw bad("has bytes after its end");
    },
  };
}

function readHeader(bytes: Buffer, what: string): { headerBytes: number; length: number } {
  const [tag, first] = bytes;
  if (tag === undefined || first === undefined)
    throw malformed(what, "ends where an element should be");
  if ((tag & HIGH_TAG_NUMBER) === HIGH_TAG_NUMBER)
    throw malformed(what, "has a tag of more than one byte");
  if (first < 0x80) return { headerBytes: 2, length: first };
  const count = first & 0x7f;
  if (count === 0) throw malformed(what, "has an indefinite length");
  if (count > MAX_LENGTH_BYTES || bytes.length < 2 + count)
    throw malformed(what, "has a length out of bounds");
  const length = bytes.readUIntBE(2, count);
  if (length < 0x80 || length < 2 ** (8 * (count - 1)))
    throw malformed(what, "has a length that is not minimal");
  return { headerBytes: 2 + count, length };
}

function unsigned(content: Buffer, what: string): Buffer {
  const [first, second] = content;
  if (first === undefined) throw malformed(what, "has an INTEGER without content");
  if (first >= 0x80) throw malformed(what, "has a negative INTEGER");
  if (first !== 0 || second === undefined) return content;
  if (second < 0x80) throw malformed(what, "has an INTEGER that is not minimal");
  return content.subarray(1);
}

function parseTime(tag: number, text: string, what: string): number {
  const isUtc = tag === TAG.UTC_TIME;
  if (!(isUtc ? UTC_TIME : GENERALIZED_TIME).test(text))
    throw malformed(what, "has a time of a form RFC 5280 forbids");
  const century = Number(text.slice(0, 2)) >= 50 ? "19" : "20";
  const full = isUtc ? century + text : text;
  const iso = full.replace(/^(....)(..)(..)(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6.000Z");
  const ms = Date.parse(iso);
  // Date.parse takes 30 February for 2 March: only what reads back the same is a date.
  if (Number.isNaN(ms) || new Date(ms).toISOString() !== iso)
    throw malformed(what, "has a time that does not exist");
  return ms;
}

function malformed(what: string, rule: string): SignetError {
  return new SignetError("MALFORMED", `${what} ${rule}`);
}
