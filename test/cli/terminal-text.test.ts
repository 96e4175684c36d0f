import { describe, expect, it } from "vitest";
import {
  formatFields,
  formatSeconds,
  formatTable,
  formatTime,
  indented,
  printable,
} from "../../src/cli/terminal-text.ts";

describe("text for a terminal", () => {
  it("aligns columns and marks what is empty", () => {
    expect(
      formatTable(
        ["A", "LONGER"],
        [
          ["one and more", ""],
          ["x", "y"],
        ],
      ),
    ).toBe("A             LONGER\none and more  -\nx             y\n");
  });

  it("aligns fields and leaves out what is not there", () => {
    expect(formatFields({ A: "1", "Much longer": undefined, Long: "", B: "2" })).toBe(
      "A:     1\nLong:  -\nB:     2\n",
    );
  });

  it("lets nobody steer the terminal", () => {
    expect(printable("a\u001b[31mred\u0007\nb\u202ec\u2028d ")).toBe("a [31mred b c d");
    expect(formatTable(["A"], [["\u001b]0;title\u0007x"]])).toBe("A\n]0;title x\n");
    expect(formatFields({ A: "x\ny" })).toBe("A:  x y\n");
  });

  it("indents every line that is not empty", () => {
    expect(indented("a\n\n b\n")).toBe("  a\n\n   b\n");
  });

  it.each([
    [0, "0s"],
    [59, "59s"],
    [60, "1m"],
    [90, "1m30s"],
    [3600, "1h"],
    [5400, "1h30m"],
    [3601, "1h"],
    [90_000, "1d1h"],
    [7_776_000, "90d"],
    [-5, "0s"],
  ])("writes %i seconds as %s", (seconds, text) => {
    expect(formatSeconds(seconds)).toBe(text);
  });

  it("writes a time and how far it is", () => {
    const now = Date.UTC(2026, 0, 1, 12);
    expect(formatTime("2026-01-01T11:57:00.123Z", now)).toBe("2026-01-01T11:57:00Z (3m ago)");
    expect(formatTime("2026-01-01T13:00:00.000Z", now)).toBe("2026-01-01T13:00:00Z (in 1h)");
  });
});
