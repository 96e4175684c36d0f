/**
 * Go strings are bytes. Inside `template/` every string that Go would see is a byte string: a
 * JavaScript string with one byte (U+0000..U+00FF) per unit. ASCII text is the same in both forms,
 * and `<` on byte strings is Go's order.
 */

const NOT_ASCII = /[^\0-\x7f]/; // oxlint-disable-line no-control-regex
const REPLACEMENT = 0xfffd;

/** Encodes text as a UTF-8 byte string; lone surrogates become U+FFFD. */
export function toBytes(text: string): string {
  return NOT_ASCII.test(text) ? Buffer.from(text, "utf8").toString("latin1") : text;
}

/** Decodes a byte string; every byte that is not part of valid UTF-8 becomes one U+FFFD. */
export function fromBytes(bytes: string): string {
  if (!NOT_ASCII.test(bytes)) return bytes;
  let text = "";
  for (let at = 0; at < bytes.length; at += widthAt(bytes, at)) {
    text += String.fromCodePoint(runeAt(bytes, at));
  }
  return text;
}

/** The rune that starts at byte `at` (which must exist); U+FFFD where the bytes are not valid UTF-8. */
export function runeAt(bytes: string, at: number): number {
  const first = bytes.charCodeAt(at);
  if (first < 0x80) return first;
  const width = sequenceWidth(bytes, at, first);
  if (width === 1) return REPLACEMENT;
  let rune = first & (0xff >> (width + 1));
  for (let next = 1; next < width; next++) rune = (rune << 6) | continuation(bytes, at + next);
  return rune;
}

/** How many bytes the rune at `at` takes; 1 for an invalid byte. */
export function widthAt(bytes: string, at: number): number {
  const first = bytes.charCodeAt(at);
  return first < 0x80 ? 1 : sequenceWidth(bytes, at, first);
}

/** Encodes one rune; what is no Unicode scalar value becomes U+FFFD. */
export function encodeRune(rune: number): string {
  if (rune >= 0 && rune < 0x80) return String.fromCharCode(rune);
  const valid = rune >= 0 && rune <= 0x10ffff && (rune < 0xd800 || rune > 0xdfff);
  return Buffer.from(String.fromCodePoint(valid ? rune : REPLACEMENT), "utf8").toString("latin1");
}

/** Counts runes as utf8.RuneCountInString does. */
export function runeCount(bytes: string): number {
  if (!NOT_ASCII.test(bytes)) return bytes.length;
  let count = 0;
  for (let at = 0; at < bytes.length; at += widthAt(bytes, at)) count++;
  return count;
}

function continuation(bytes: string, at: number): number {
  return bytes.charCodeAt(at) & 0x3f;
}

/** UTF-8 as RFC 3629 §4 allows it: no overlong forms, no surrogates, nothing above U+10FFFF. */
function sequenceWidth(bytes: string, at: number, first: number): number {
  const width = leadWidth(first);
  const [low, high] = SECOND_BYTES[first] ?? [0x80, 0xbf];
  const second = bytes.charCodeAt(at + 1);
  if (width === 1 || !(second >= low && second <= high)) return 1;
  for (let next = 2; next < width; next++) {
    const byte = bytes.charCodeAt(at + next);
    if (!(byte >= 0x80 && byte <= 0xbf)) return 1;
  }
  return width;
}

/** Where the second byte has narrower bounds than other continuation bytes. */
const SECOND_BYTES: Readonly<Record<number, readonly [number, number]>> = {
  0xe0: [0xa0, 0xbf],
  0xed: [0x80, 0x9f],
  0xf0: [0x90, 0xbf],
  0xf4: [0x80, 0x8f],
};

function leadWidth(first: number): number {
  if (first >= 0xc2 && first <= 0xdf) return 2;
  if (first >= 0xe0 && first <= 0xef) return 3;
  return first >= 0xf0 && first <= 0xf4 ? 4 : 1;
}
