import * as fc from "fast-check";
import { expect, it } from "vitest";
import { lineBuffer } from "../../src/kube/lines.ts";

it("gives the same lines however the bytes are cut", () => {
  const unit = fc.constantFrom("a", "é", "😀", "\r", "\0");
  const line = fc.string({ unit, maxLength: 20 });
  const cuts = fc.array(fc.nat(), { maxLength: 20 });
  fc.assert(
    fc.property(fc.array(line, { maxLength: 10 }), cuts, (lines, cuts) => {
      const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(""), "utf8");
      const at = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].toSorted(
        (a, b) => a - b,
      );
      const buffer = lineBuffer(1024);
      const seen = [0, ...at].flatMap((start, i) =>
        buffer.push(bytes.subarray(start, at[i] ?? bytes.length)),
      );
      expect(seen).toEqual(lines);
      expect(buffer.pending).toBe(0);
    }),
  );
});

it("refuses a line over the limit, ended or not", () => {
  expect(() => lineBuffer(3).push(Buffer.from("abcd"))).toThrow(/over 3 bytes/);
  expect(() => lineBuffer(3).push(Buffer.from("abcd\n"))).toThrow(/over 3 bytes/);
  const buffer = lineBuffer(3);
  expect(buffer.push(Buffer.from("abc\nde"))).toEqual(["abc"]);
  expect(() => buffer.push(Buffer.from("fg"))).toThrow(/over 3 bytes/);
});

it("counts the bytes of a line that has not ended", () => {
  const buffer = lineBuffer(10);
  buffer.push(Buffer.from("ab\ncd"));
  expect(buffer.pending).toBe(2);
});
