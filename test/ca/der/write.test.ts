import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  bitString,
  boolean,
  contextConstructed,
  contextPrimitive,
  element,
  ia5String,
  integer,
  namedBits,
  nullValue,
  octetString,
  oid,
  printableString,
  sequence,
  setOf,
  time,
  utf8String,
} from "../../../src/ca/der/write.ts";
import { TAG } from "../../../src/ca/der/tag.ts";
import { pemBlock } from "../../../src/spiffe/pem.ts";
import { openssl } from "../oracle.ts";

const hex = (bytes: Buffer): string => bytes.toString("hex");
const asn1parse = (der: Buffer): string =>
  openssl(["asn1parse", "-strictpem"], pemBlock("DER", der));

describe("DER writer", () => {
  it.each([
    [0, "0200"],
    [0x7f, "7f"],
    [0x80, "8180"],
    [0xff, "81ff"],
    [0x100, "820100"],
    [0xffff, "82ffff"],
    [0x10000, "83010000"],
  ])("writes the length %i in its shortest form", (length, encoded) => {
    const der = element(TAG.OCTET_STRING, Buffer.alloc(length));
    expect(hex(der.subarray(1, der.length - length))).toBe(length === 0 ? "00" : encoded);
  });

  it.each([
    [0, "020100"],
    [1, "020101"],
    [127, "02017f"],
    [128, "02020080"],
    [256, "02020100"],
    [65_537, "0203010001"],
  ])("writes the integer %i minimally and positive", (value, encoded) => {
    expect(hex(integer(value))).toBe(encoded);
  });

  it("refuses to write a negative or fractional integer", () => {
    expect(() => integer(-1)).toThrow(RangeError);
    expect(() => integer(0.5)).toThrow(RangeError);
  });

  it("strips leading zeros of big integers and guards the sign bit", () => {
    expect(hex(integer(Buffer.from("0000ff", "hex")))).toBe("020200ff");
    expect(hex(integer(Buffer.from("00007f", "hex")))).toBe("02017f");
    expect(hex(integer(Buffer.alloc(0)))).toBe("020100");
  });

  it("writes integers that OpenSSL reads back", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 159n }), (value) => {
        const digits = value.toString(16);
        const der = integer(
          Buffer.from(digits.padStart(digits.length + (digits.length % 2), "0"), "hex"),
        );
        const shown = /INTEGER\s+:([0-9A-F]+)/.exec(asn1parse(der))?.[1];
        expect(BigInt(`0x${shown}`)).toBe(value);
      }),
      { numRuns: 15 },
    );
  });

  it("writes named bits without trailing zero bits", () => {
    expect(hex(namedBits([0]))).toBe("03020780");
    expect(hex(namedBits([0, 4]))).toBe("03020388");
    expect(hex(namedBits([5, 6]))).toBe("03020106");
    expect(hex(namedBits([8]))).toBe("0303070080");
    expect(hex(namedBits([]))).toBe("030100");
  });

  it("sorts the elements of a SET OF", () => {
    expect(hex(setOf(integer(2), integer(1)))).toBe("3106020101020102");
  });

  it.each([
    [Date.UTC(1950, 0, 1), TAG.UTC_TIME, "500101000000Z"],
    [Date.UTC(2049, 11, 31, 23, 59, 59, 999), TAG.UTC_TIME, "491231235959Z"],
    [Date.UTC(2050, 0, 1), TAG.GENERALIZED_TIME, "20500101000000Z"],
    [Date.UTC(9999, 11, 31, 23, 59, 59), TAG.GENERALIZED_TIME, "99991231235959Z"],
  ])("writes the time %i by RFC 5280 §4.1.2.5", (ms, tag, text) => {
    expect(time(ms)).toEqual(element(tag, Buffer.from(text)));
  });

  it.each([Date.UTC(1949, 11, 31), Date.UTC(9999, 11, 31) + 10 * 86_400_000, Number.NaN])(
    "refuses the time %d, which no certificate can hold",
    (ms) => {
      expect(() => time(ms)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
    },
  );

  it("refuses characters outside PrintableString and IA5String", () => {
    expect(() => printableString("a_b")).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
    expect(() => ia5String("ä")).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });

  it("writes every type as OpenSSL expects it", () => {
    const shown = asn1parse(
      sequence(
        integer(5),
        boolean(true),
        boolean(false),
        nullValue(),
        oid("2.5.29.17"),
        utf8String("grün"),
        printableString("ok"),
        ia5String("a@b"),
        octetString(Buffer.of(1, 2)),
        bitString(Buffer.of(3)),
        contextConstructed(3, integer(1)),
        contextPrimitive(6, Buffer.from("u")),
      ),
    );
    const lines = shown.split("\n").map((line) => line.replace(/^.*(?=prim|cons)/, ""));
    expect(lines.map((line) => line.replace(/ +/g, " ").trim())).toEqual([
      "cons: SEQUENCE",
      "prim: INTEGER :05",
      "prim: BOOLEAN :255",
      "prim: BOOLEAN :0",
      "prim: NULL",
      "prim: OBJECT :X509v3 Subject Alternative Name",
      "prim: UTF8STRING :grün",
      "prim: PRINTABLESTRING :ok",
      "prim: IA5STRING :a@b",
      "prim: OCTET STRING [HEX DUMP]:0102",
      "prim: BIT STRING",
      "cons: cont [ 3 ]",
      "prim: INTEGER :01",
      "prim: cont [ 6 ]",
      "",
    ]);
  });

  it("has no context tags beyond one byte", () => {
    expect(() => contextPrimitive(31, Buffer.alloc(0))).toThrow(RangeError);
  });
});
