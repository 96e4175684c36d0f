import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { derReader } from "../../../src/ca/der/read.ts";
import { element, integer, time } from "../../../src/ca/der/write.ts";
import { TAG } from "../../../src/ca/der/tag.ts";
import { isSignetError } from "../../../src/core/errors.ts";

const reader = (hex: string) => derReader(Buffer.from(hex, "hex"), "value");
const malformed = (rule: string) =>
  expect.objectContaining({ code: "MALFORMED", message: expect.stringContaining(rule) });

describe("DER reader", () => {
  it.each([
    ["02", "ends where an element"],
    ["1f8101", "more than one byte"],
    ["0480", "indefinite"],
    ["048101ff", "not minimal"],
    ["04820001ff", "not minimal"],
    ["0485000000000100", "out of bounds"],
    ["0482", "out of bounds"],
    ["0403ffff", "ends inside"],
  ])("refuses %s", (hex, rule) => {
    const bytes = Buffer.from(hex, "hex");
    expect(() => derReader(bytes, "value").read(bytes[0] ?? 0)).toThrow(malformed(rule));
  });

  it("refuses another tag than the expected one", () => {
    expect(() => reader("0400").read(TAG.INTEGER)).toThrow(malformed("has tag 4 where 2"));
  });

  it.each([
    ["0200", "without content"],
    ["0201ff", "negative"],
    ["02020001", "not minimal"],
  ])("refuses the integer %s", (hex, rule) => {
    expect(() => reader(hex).unsigned()).toThrow(malformed(rule));
  });

  it.each(["010101", "01020000", "0100"])("refuses the boolean %s", (hex) => {
    expect(() => reader(hex).boolean()).toThrow(malformed("BOOLEAN"));
  });

  it.each(["030101", "0300"])("refuses the bit string %s", (hex) => {
    expect(() => reader(hex).bits()).toThrow(malformed("BIT STRING"));
  });

  it.each(["2601010000Z", "260101000000+0000", "260230000000Z", "261301000000Z", "260101240000Z"])(
    "refuses the UTCTime %s",
    (text) => {
      expect(() => derReader(element(TAG.UTC_TIME, Buffer.from(text)), "value").time()).toThrow(
        malformed("time"),
      );
    },
  );

  it("refuses a GeneralizedTime with a fraction", () => {
    const der = element(TAG.GENERALIZED_TIME, Buffer.from("20500101000000.5Z"));
    expect(() => derReader(der, "value").time()).toThrow(malformed("time"));
  });

  it("refuses bytes after the end", () => {
    const bytes = reader("02010100");
    bytes.unsigned();
    expect(() => bytes.end()).toThrow(malformed("after its end"));
  });

  it("reads back what was written", () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.integer({ min: -600_000_000, max: 200_000_000_000 }),
        (number, seconds) => {
          const content = derReader(
            Buffer.concat([integer(number), time(seconds * 1000)]),
            "value",
          );
          expect(BigInt(`0x${content.unsigned().toString("hex")}`)).toBe(BigInt(number));
          expect(content.time()).toBe(seconds * 1000);
          content.end();
        },
      ),
    );
  });

  it("throws MALFORMED or reads, whatever the bytes, and never reads beyond them", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 24 }), (bytes) => {
        const buffer = Buffer.from(bytes);
        try {
          const { encoded, content } = derReader(buffer, "value").read(buffer[0] ?? 0);
          expect(element(buffer[0] ?? 0, content).equals(encoded)).toBe(true);
          expect(buffer.subarray(0, encoded.length).equals(encoded)).toBe(true);
        } catch (error) {
          if (!isSignetError(error, "MALFORMED")) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });
});
