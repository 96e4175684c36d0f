import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fitWarnings, shorten } from "../../src/webhook/warnings.ts";

const length = (text: string): number => Array.from(text).length;

describe("fitWarnings", () => {
  it("leaves short ones as they are, in their order", () => {
    expect(fitWarnings(["b is odd", "a is ödd"])).toEqual(["b is odd", "a is ödd"]);
  });

  it("drops repetitions and what says nothing", () => {
    expect(fitWarnings(["a", "", " \n", "b", "a"])).toEqual(["a", "b"]);
  });

  it("puts each on one line, as it travels in a header", () => {
    expect(fitWarnings(["line one\r\n\tline two\u0000\n"])).toEqual(["line one line two"]);
  });

  it("cuts a long one to 256 characters and shows that it did", () => {
    const [exact, long] = fitWarnings(["🙂".repeat(256), "x".repeat(257)]);
    expect(exact).toBe("🙂".repeat(256));
    expect(long).toBe(`${"x".repeat(255)}…`);
  });

  it("counts those that are too many", () => {
    const many = Array.from({ length: 20 }, (_, at) => `${at}:`.padEnd(256, "x"));
    const fitting = fitWarnings(many);
    expect(fitting).toEqual([...many.slice(0, 12), "8 more warnings are left out"]);
  });

  it("always gives what Kubernetes passes on: no control characters, 256 each and 4096 in all", () => {
    const text = fc.string({ unit: "binary", maxLength: 600 });
    fc.assert(
      fc.property(fc.array(text, { maxLength: 40 }), (texts) => {
        const fitting = fitWarnings(texts);
        for (const line of fitting) {
          expect(line).toMatch(/^[^\p{Cc}]+$/u);
          expect(line.isWellFormed()).toBe(true);
          expect(length(line)).toBeLessThanOrEqual(256);
        }
        expect(length(fitting.join(""))).toBeLessThanOrEqual(4096);
      }),
    );
  });
});

describe("shorten", () => {
  it.each([
    ["abc", 3, "abc"],
    ["abcd", 3, "ab…"],
    ["🙂🙂🙂", 3, "🙂🙂🙂"],
    ["🙂🙂🙂🙂", 3, "🙂🙂…"],
  ])("makes of %j, at most %i characters, %j", (text, most, result) => {
    expect(shorten(text, most)).toBe(result);
  });
});
