/** What Go's package unicode says of a rune, as of the version that it knows. */

/**
 * Letters and symbols that Unicode 15.1 to 17.0 added (and what else was unassigned between them):
 * Go 1.21 to 1.26 have Unicode 15.0, Node.js 24 has 17.0.
 */
const UNKNOWN_TO_GO: readonly (readonly [number, number])[] = (
  "88f-897 c5c cdc 1acf-1aeb 1b4e-1b4f 1b7f 1c89-1c8a 20c1 2427-2429 2b96 2ffc-2fff 31e4-31ef " +
  "a7cb-a7cf a7d2 a7d4 a7da-a7f1 fbc3-fbd2 fd90-fd91 fdc8-fdce 105c0-105f3 10940-10959 " +
  "10d40-10d8f 10ec2-10efc 11380-113e2 116d0-116e3 11b60-11bf9 11db0-11de9 11f5a 13460-143fa " +
  "16100-16139 16d40-16d79 16ea0-16ed3 16ff2-16ff6 187f8-187ff 18cff 18d09-18df2 1cc00-1cef0 " +
  "1e5d0-1e6ff 1f6d8 1f777-1f77a 1f8b2-1f8d8 1fa54-1fa57 1fa89-1fa8f 1fabe 1fac6-1facd " +
  "1fadc-1fadf 1fae9-1faef 1fbcb-1fbef 1fbfa 2b73a-2b73f 2cea2-2cead 2ebf0-2ee5d 323b0-33479"
)
  .split(" ")
  .map((range) => {
    const [first = "", last = first] = range.split("-");
    return [Number.parseInt(first, 16), Number.parseInt(last, 16)];
  });

/** unicode.IsLetter, unicode.IsDigit or underscore: what a template identifier is made of. */
export function isAlphaNumeric(rune: number): boolean {
  if (rune < 0) return false;
  if (rune < 0x80) {
    return (
      rune === 0x5f ||
      (rune >= 0x30 && rune <= 0x39) ||
      ((rune | 0x20) >= 0x61 && (rune | 0x20) <= 0x7a)
    );
  }
  return /^[\p{L}\p{Nd}]$/u.test(String.fromCodePoint(rune)) && isKnown(rune);
}

/** unicode.IsPrint: letters, marks, numbers, punctuation, symbols and the ASCII space. */
export function isPrint(rune: number): boolean {
  if (rune < 0x80) return rune >= 0x20 && rune < 0x7f;
  if (rune > 0x10ffff) return false;
  return /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(String.fromCodePoint(rune)) && isKnown(rune);
}

/** Whether text is nothing but unicode.IsSpace. */
export function isBlank(text: string): boolean {
  return /^\p{White_Space}*$/u.test(text);
}

function isKnown(rune: number): boolean {
  return !UNKNOWN_TO_GO.some(([first, last]) => rune >= first && rune <= last);
}
