import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  durationMs,
  formatDuration,
  parseDuration,
  parseTtlSeconds,
} from "../../src/api/duration.ts";

/** Text, nanoseconds, and what Go prints for them. */
const KNOWN: readonly [string, bigint, string][] = [
  ["0", 0n, "0s"],
  ["-0", 0n, "0s"],
  ["+5s", 5_000_000_000n, "5s"],
  ["30s", 30_000_000_000n, "30s"],
  ["90m", 5_400_000_000_000n, "1h30m0s"],
  ["1h30m", 5_400_000_000_000n, "1h30m0s"],
  ["1.5s", 1_500_000_000n, "1.5s"],
  [".5s", 500_000_000n, "500ms"],
  ["1.s", 1_000_000_000n, "1s"],
  ["-1m3.25s", -63_250_000_000n, "-1m3.25s"],
  ["100us", 100_000n, "100\u00b5s"],
  ["12\u00b5s", 12_000n, "12\u00b5s"],
  ["12\u03bcs", 12_000n, "12\u00b5s"],
  ["1500ns", 1500n, "1.5\u00b5s"],
  ["1ms1ns", 1_000_001n, "1.000001ms"],
  ["0.3333333333333333333h", 1_200_000_000_000n, "20m0s"],
  ["9223372036854775807ns", 9223372036854775807n, "2562047h47m16.854775807s"],
  ["-9223372036854775808ns", -9223372036854775808n, "-2562047h47m16.854775808s"],
];

const MALFORMED = [
  "",
  "-",
  "30",
  "s",
  ".s",
  "1.2.3s",
  "1 s",
  "1d",
  "1S",
  "3ss",
  "--1s",
  "1e3s",
  "0x1s",
];

describe("Go durations", () => {
  it.each(KNOWN)("reads %s", (text, nanos) => {
    expect(parseDuration(text)).toBe(nanos);
  });

  it.each(KNOWN)("prints what %s means as Go does", (_text, nanos, printed) => {
    expect(formatDuration(nanos)).toBe(printed);
  });

  it.each(MALFORMED)("refuses %j", (text) => {
    expect(() => parseDuration(text)).toThrow(/^invalid duration/);
  });

  it("refuses what does not fit 64 bits of nanoseconds", () => {
    expect(() => parseDuration("9223372036854775808ns")).toThrow(/longer than 292 years/);
    expect(() => parseDuration("2562048h")).toThrow(/longer than 292 years/);
    expect(() => parseDuration("9".repeat(200))).toThrow(/too long/);
  });

  it("reads back whatever it prints", () => {
    const anyDuration = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    fc.assert(
      fc.property(anyDuration, (d) => {
        expect(parseDuration(formatDuration(d))).toBe(d);
      }),
    );
  });

  it("cuts times to live to whole seconds", () => {
    expect(parseTtlSeconds("1m30.999s")).toBe(90);
    expect(parseTtlSeconds("900ms")).toBe(0);
    expect(durationMs(parseDuration("1.5ms"))).toBe(1);
  });

  it("refuses times to live that are negative or exceed 32 bits", () => {
    expect(() => parseTtlSeconds("-1s")).toThrow(/cannot be negative/);
    expect(parseTtlSeconds("2147483647s")).toBe(2147483647);
    expect(() => parseTtlSeconds("2147483648s")).toThrow(/68 years/);
  });
});
