import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  encodeRune,
  fromBytes,
  runeAt,
  runeCount,
  toBytes,
  widthAt,
} from "../../src/template/bytes.ts";
import { quote, unquote } from "../../src/template/quote.ts";

describe("byte strings", () => {
  it("hold text without loss", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        expect(fromBytes(toBytes(text))).toBe(text);
        expect(toBytes(text).length).toBe(Buffer.byteLength(text));
        expect(runeCount(toBytes(text))).toBe(Array.from(text).length);
      }),
    );
  });

  it("turn every invalid byte into one replacement character", () => {
    expect(fromBytes("a\xe2\x82z")).toBe("a\ufffd\ufffdz");
    expect(fromBytes("\xc0\xaf\xed\xa0\x80\xf5")).toBe("\ufffd".repeat(6));
    expect(widthAt("\xf0\x9f\x98\x80", 0)).toBe(4);
    expect(runeAt("\xf0\x9f\x98\x80", 0)).toBe(0x1f600);
  });

  it("encode what is no scalar value as U+FFFD", () => {
    for (const rune of [-1, 0xd800, 0x110000]) expect(fromBytes(encodeRune(rune))).toBe("\ufffd");
  });

  it("survive quoting and unquoting, whatever bytes they are", () => {
    const bytes = fc.uint8Array().map((array) => Buffer.from(array).toString("latin1"));
    fc.assert(
      fc.property(bytes, fc.boolean(), (text, ascii) => {
        expect(unquote(quote(text, { ascii }))).toBe(text);
      }),
    );
  });
});
