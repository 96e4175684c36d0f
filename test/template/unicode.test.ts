import { describe, expect, it } from "vitest";
import { isAlphaNumeric, isBlank, isPrint } from "../../src/template/unicode.ts";

const runes = (text: string) => Array.from(text, (char) => char.codePointAt(0) ?? 0);

describe("runes as Go's package unicode sees them", () => {
  it("are letters, decimal digits or an underscore in a name", () => {
    expect(runes("azAZ09_éßДא日𝟎٣").every(isAlphaNumeric)).toBe(true);
    expect(runes(" -.²Ⅷ€\u0301\u200d😀").some(isAlphaNumeric)).toBe(false);
    expect(isAlphaNumeric(-1)).toBe(false);
  });

  it("are printed, unless they are controls, blanks, private or unassigned", () => {
    expect(runes(" a€\u0301\ufffd😀²").every(isPrint)).toBe(true);
    expect(runes("\u007f\u0085\u00a0\u00ad\u2028\u200b\ufeff\ue000\u0378").some(isPrint)).toBe(
      false,
    );
  });

  it("are unknown when they came after Unicode 15.0, which Go has", () => {
    const added = [0x88f, 0x1c89, 0xa7cb, 0x105c0, 0x16100, 0x2ebf0, 0x323b0];
    expect(added.some((rune) => isAlphaNumeric(rune) || isPrint(rune))).toBe(false);
    // The neighbours were there before.
    expect([0x88e, 0x1c88, 0xa7ca, 0x2ebe0, 0x323af].every(isPrint)).toBe(true);
  });

  it("come from a Unicode version that the table of new runes covers", () => {
    expect(Number(process.versions["unicode"])).toBeLessThanOrEqual(17);
  });

  it("leave a definition blank when all are white space", () => {
    expect(isBlank("")).toBe(true);
    expect(isBlank(" \t\n\v\f\r\u0085\u00a0\u1680\u2003\u2028\u202f\u205f\u3000")).toBe(true);
    expect(isBlank("\u200b")).toBe(false);
    expect(isBlank("\ufeff")).toBe(false);
  });
});
