import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, it } from "vitest";
import { encodeLiterals, hpackDecoder } from "../../../src/rpc/http2/hpack.ts";
import { decodeHuffman } from "../../../src/rpc/http2/huffman.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const decodeAll = (blocks: readonly string[]): string[][] => {
  const decoder = hpackDecoder(65_536);
  return blocks.map((block) =>
    decoder.decode(hex(block)).map(({ name, value }) => `${name}: ${value}`),
  );
};

/** "fine", or the code of the error. */
function outcome(act: () => unknown): unknown {
  try {
    act();
    return "fine";
  } catch (error) {
    return (error as { code?: unknown }).code ?? error;
  }
}

const FIRST = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
const SECOND = [...FIRST, "cache-control: no-cache"];
const THIRD = [
  ":method: GET",
  ":scheme: https",
  ":path: /index.html",
  ":authority: www.example.com",
  "custom-key: custom-value",
];

it("decodes the requests of RFC 7541 C.3, which build on each other's table", () => {
  expect(
    decodeAll([
      "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
      "8286 84be 5808 6e6f 2d63 6163 6865",
      "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]),
  ).toEqual([FIRST, SECOND, THIRD]);
});

it("decodes the same requests in Huffman code, RFC 7541 C.4", () => {
  expect(
    decodeAll([
      "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
      "8286 84be 5886 a8eb 1064 9cbf",
      "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]),
  ).toEqual([FIRST, SECOND, THIRD]);
});

it("keeps the mark of a header that is never indexed, RFC 7541 C.2.3", () => {
  const [field] = hpackDecoder(4096).decode(hex("1008 7061 7373 776f 7264 0673 6563 7265 74"));
  expect(field).toEqual({ name: "password", value: "secret", neverIndexed: true });
});

it("forgets entries when the table shrinks or overflows", () => {
  const decoder = hpackDecoder(65_536);
  decoder.decode(hex("4001 6101 62"));
  expect(decoder.decode(hex("be"))).toMatchObject([{ name: "a", value: "b" }]);
  expect(() => decoder.decode(hex("20be"))).toThrow("no header has the index 62");
  const full = hpackDecoder(1 << 20);
  full.decode(hex("4001 6101 62"));
  const large = Buffer.alloc(4096, "x");
  // 0x7f with two more bytes is the length 4096 - 0x7f.
  full.decode(Buffer.concat([hex("4001 63 7f 811f"), large]));
  expect(() => full.decode(hex("be"))).toThrow("no header has the index 62");
});

it.each([
  ["an index of nothing", "80", "index 0"],
  ["an index beyond the table", "be", "index 62"],
  ["a huge number", "ffffffffffffff", "number"],
  ["a number without end", "ff80808080808080808000", "number"],
  ["a block that ends within a name", "400a 61", "ends within a string"],
  ["a block that ends within a number", "ff", "ends within"],
  ["a table larger than announced", "3fe2 1f", "table of 4097"],
  ["a change of size after a header", "8220", "after a header"],
  ["a Huffman end mark", "4084 ffff ffff 0161", "end mark"],
  ["Huffman padding that is no padding", "4081 00 0161", "ends within a code"],
])("refuses %s", (_name, block, message) => {
  expect(() => hpackDecoder(65_536).decode(hex(block))).toThrow(message);
});

it("refuses a small block that would grow large", () => {
  const decoder = hpackDecoder(8192);
  const entry = Buffer.concat([hex("4001 61 7f b11d"), Buffer.alloc(3888, "x")]);
  expect(decoder.decode(entry)).toHaveLength(1);
  expect(() => decoder.decode(Buffer.alloc(3, 0xbe))).toThrow("more than 8192 bytes");
});

it("decodes what it encodes", () => {
  const byteString = fc
    .uint8Array({ maxLength: 300 })
    .map((bytes) => Buffer.from(bytes).toString("latin1"));
  const field = fc.record({ name: byteString, value: byteString, neverIndexed: fc.boolean() });
  fc.assert(
    fc.property(fc.array(field, { maxLength: 5 }), (fields) => {
      expect(hpackDecoder(1 << 20).decode(encodeLiterals(fields))).toEqual(fields);
    }),
  );
});

it("answers any bytes with headers or MALFORMED, never with another error", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 8 }), (blocks) => {
      const decoder = hpackDecoder(4096);
      const outcomes = blocks.map((block) => outcome(() => decoder.decode(Buffer.from(block))));
      const expected = outcomes.map((code) => (code === "fine" ? "fine" : "MALFORMED"));
      expect(outcomes).toEqual(expected);
    }),
    { numRuns: 2000 },
  );
});

const golden = JSON.parse(
  readFileSync(new URL("../../golden/hpack/blocks.json", import.meta.url), "utf8"),
) as {
  bytes: string[];
  connections: {
    fields: { name: string; value: string; sensitive: boolean }[];
    hex: string;
  }[][];
};

it("decodes every byte from the Huffman code that Go gives it", () => {
  const decoded = golden.bytes.map((coded) => decodeHuffman(hex(coded)).toString("hex"));
  const bytes = Array.from({ length: 256 }, (_, byte) => Buffer.alloc(8, byte).toString("hex"));
  expect(decoded).toEqual(bytes);
});

it("decodes the blocks of connections that Go encoded", () => {
  for (const blocks of golden.connections) {
    const decoder = hpackDecoder(65_536);
    for (const { fields, hex: block } of blocks) {
      const decoded = decoder.decode(hex(block));
      expect(decoded).toEqual(
        fields.map(({ name, value, sensitive }) => ({ name, value, neverIndexed: sensitive })),
      );
    }
  }
});
