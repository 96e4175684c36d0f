/** What the lexer looks at more than one byte for. */

export function isSpace(rune: number): boolean {
  return rune === 0x20 || rune === 0x09 || rune === 0x0d || rune === 0x0a;
}

export function isSpaceAt(text: string, at: number): boolean {
  return isSpace(text.charCodeAt(at));
}

export function isDigit(rune: number): boolean {
  return rune >= 0x30 && rune <= 0x39;
}

/** A trim marker: `- ` after a left delimiter, ` -` before a right one. */
export function isTrim(text: string, at: number, side: "left" | "right"): boolean {
  const [dash, space] = side === "left" ? [at, at + 1] : [at + 1, at];
  return text[dash] === "-" && isSpaceAt(text, space);
}

/** Where something like a number ends: signs, digits of its base, a point, an exponent, an `i`. */
export function numberEnd(text: string, at: number): number {
  const forms = [
    "0[xX][\\da-fA-F_]*(?:\\.[\\da-fA-F_]*)?(?:[pP][+-]?[\\d_]*)?",
    "0[oO][0-7_]*(?:\\.[0-7_]*)?",
    "0[bB][01_]*(?:\\.[01_]*)?",
    "[\\d_]*(?:\\.[\\d_]*)?(?:[eE][+-]?[\\d_]*)?",
  ];
  const number = new RegExp(`[+-]?(?:${forms.join("|")})i?`, "y");
  number.lastIndex = at;
  number.exec(text);
  return number.lastIndex;
}
