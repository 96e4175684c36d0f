import { SignetError } from "../../core/errors.ts";

/**
 * RFC 7541 Appendix B, as the number of bits of each byte's code. The code is canonical: among codes of one
 * length the byte order is the order of the codes, so the lengths say it all. The end mark has 30 bits.
 */
// oxfmt-ignore
const CODE_LENGTHS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
const MAX_BITS = 30;

interface CodesOfLength {
  readonly first: number;
  readonly bytes: readonly number[];
}

/** By number of bits: the first code, and the bytes of this and the following codes. */
const CODES: readonly CodesOfLength[] = (() => {
  const table: CodesOfLength[] = [{ first: 0, bytes: [] }];
  let next = 0;
  for (let bits = 1; bits <= MAX_BITS; bits += 1) {
    const bytes = CODE_LENGTHS.flatMap((length, byte) => (length === bits ? [byte] : []));
    next *= 2;
    table.push({ first: next, bytes });
    next += bytes.length;
  }
  return table;
})();

/** Decodes a Huffman-coded string (RFC 7541 §5.2). Throws MALFORMED for an end mark and for bad padding. */
export function decodeHuffman(coded: Buffer): Buffer {
  const decoded: number[] = [];
  let code = 0;
  let bits = 0;
  for (const byte of coded) {
    for (let shift = 7; shift >= 0; shift -= 1) {
      code = (code << 1) | ((byte >> shift) & 1);
      bits += 1;
      const { first, bytes } = CODES[bits] as CodesOfLength;
      const value = bytes[code - first];
      if (value !== undefined) {
        decoded.push(value);
        code = 0;
        bits = 0;
      } else if (bits === MAX_BITS) throw malformed("an end mark inside a string");
    }
  }
  if (bits > 7 || code !== (1 << bits) - 1) throw malformed("a string that ends within a code");
  return Buffer.from(decoded);
}

function malformed(what: string): SignetError {
  return new SignetError("MALFORMED", `HPACK: ${what}`);
}
