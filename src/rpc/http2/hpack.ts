import { SignetError } from "../../core/errors.ts";
import { STATIC_TABLE } from "./hpack-static-table.ts";
import { decodeHuffman } from "./huffman.ts";

/** One header; each character of `name` and `value` is one byte. */
export interface HeaderField {
  readonly name: string;
  readonly value: string;
  /** The sender wants it never to enter a table on its way. */
  readonly neverIndexed: boolean;
}

/** HTTP/2's initial size of the dynamic table (RFC 9113 §6.5.2), which our servers do not change. */
const TABLE_BYTES = 4096;
/** RFC 7541 §4.1: what an entry counts beyond its characters. */
const ENTRY_OVERHEAD = 32;
/** Longer numbers than this are of no use in a block that is bounded. */
const MAX_NUMBER = 1 << 24;

/** Decodes the header blocks of one direction of one connection, in their order (RFC 7541). */
export interface HpackDecoder {
  /** Throws MALFORMED for a block that is wrong, or that would grow to more than `maxListBytes`. */
  decode(block: Buffer): HeaderField[];
}

/** Makes a decoder with an empty table; `maxListBytes` counts names, values and 32 bytes a header. */
export function hpackDecoder(maxListBytes: number): HpackDecoder {
  const table = dynamicTable();
  return {
    decode(block) {
      const reader = blockReader(block);
      const fields: HeaderField[] = [];
      let size = 0;
      while (!reader.done()) {
        const field = readField(reader, table, fields.length === 0);
        if (field === undefined) continue;
        size += sizeOf(field);
        if (size > maxListBytes) throw malformed(`more than ${maxListBytes} bytes of headers`);
        fields.push(field);
      }
      return fields;
    },
  };
}

/** Encodes headers so that no table is needed: literals that are not indexed (RFC 7541 §6.2.2, §6.2.3). */
export function encodeLiterals(fields: readonly HeaderField[]): Buffer {
  return Buffer.concat(
    fields.flatMap(({ name, value, neverIndexed }) => [
      Buffer.from([neverIndexed ? 0x10 : 0x00]),
      ...[name, value].flatMap((text) => [encodeLength(text.length), Buffer.from(text, "latin1")]),
    ]),
  );
}

function encodeLength(length: number): Buffer {
  if (length < 0x7f) return Buffer.from([length]);
  const bytes = [0x7f];
  let rest = length - 0x7f;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  return Buffer.from([...bytes, rest]);
}

type Entry = Pick<HeaderField, "name" | "value">;

interface DynamicTable {
  get(index: number): Entry;
  add(entry: Entry): void;
  resize(bytes: number): void;
}

function dynamicTable(): DynamicTable {
  /** The newest first. */
  const entries: Entry[] = [];
  let used = 0;
  let limit = TABLE_BYTES;
  const evict = (): void => {
    while (used > limit) used -= sizeOf(entries.pop() as Entry);
  };
  return {
    get(index) {
      const [name, value] = STATIC_TABLE[index - 1] ?? [];
      if (name !== undefined && value !== undefined) return { name, value };
      const entry = entries[index - 1 - STATIC_TABLE.length];
      if (index === 0 || entry === undefined) throw malformed(`no header has the index ${index}`);
      return entry;
    },
    add(entry) {
      entries.unshift(entry);
      used += sizeOf(entry);
      evict();
    },
    resize(bytes) {
      if (bytes > TABLE_BYTES) throw malformed(`a table of ${bytes} bytes`);
      limit = bytes;
      evict();
    },
  };
}

/** Reads one header, or undefined for a change of the table's size, which may come only before the first one. */
function readField(
  reader: BlockReader,
  table: DynamicTable,
  first: boolean,
): HeaderField | undefined {
  const kind = reader.peek();
  if (kind & 0x80) return { ...table.get(reader.number(7)), neverIndexed: false };
  if ((kind & 0xe0) === 0x20) {
    if (!first) throw malformed("a change of the table's size after a header");
    table.resize(reader.number(5));
    return undefined;
  }
  const indexed = (kind & 0x40) !== 0;
  const index = reader.number(indexed ? 6 : 4);
  const name = index === 0 ? reader.text() : table.get(index).name;
  const entry = { name, value: reader.text() };
  if (indexed) table.add(entry);
  return { ...entry, neverIndexed: !indexed && (kind & 0x10) !== 0 };
}

interface BlockReader {
  done(): boolean;
  /** The next byte, without taking it. */
  peek(): number;
  /** A number whose first bits are the last `prefixBits` of the next byte (RFC 7541 §5.1). */
  number(prefixBits: number): number;
  /** A string (RFC 7541 §5.2). */
  text(): string;
}

function blockReader(block: Buffer): BlockReader {
  let at = 0;
  const byte = (): number => {
    const value = block[at];
    if (value === undefined) throw malformed("a block that ends within a header");
    at += 1;
    return value;
  };
  const number = (prefixBits: number): number => {
    const most = 2 ** prefixBits - 1;
    let value = byte() & most;
    if (value < most) return value;
    for (let scale = 1; ; scale *= 0x80) {
      const next = byte();
      value += (next & 0x7f) * scale;
      if (value > MAX_NUMBER || scale > MAX_NUMBER) throw malformed("a number that is too large");
      if (next < 0x80) return value;
    }
  };
  return {
    done: () => at >= block.length,
    peek: () => block[at] ?? 0,
    number,
    text() {
      const huffman = (block[at] ?? 0) >= 0x80;
      const length = number(7);
      if (at + length > block.length) throw malformed("a block that ends within a string");
      const bytes = block.subarray(at, at + length);
      at += length;
      return (huffman ? decodeHuffman(bytes) : bytes).toString("latin1");
    },
  };
}

function sizeOf({ name, value }: Entry): number {
  return name.length + value.length + ENTRY_OVERHEAD;
}

function malformed(what: string): SignetError {
  return new SignetError("MALFORMED", `HPACK: ${what}`);
}
