import { describe, expect, it } from "vitest";
import { dnsNameProblem } from "../../src/spiffe/dns-name.ts";

describe("DNS names of SVIDs", () => {
  it.each([
    "com",
    "example.com",
    "*.example.com",
    "xn--ls8h.org",
    "a-hello.com",
    "1.2",
    `${"a".repeat(63)}.b`,
  ])("may be %s", (name) => {
    expect(dnsNameProblem(name)).toBeUndefined();
  });

  it.each([
    "",
    " ",
    ".",
    "example.com.",
    "*",
    "*.foo.*.bar",
    "foo.*.bar",
    "f*.bar",
    "a..b",
    "-hello.com",
    "hello-.com",
    "10.1.2.3",
    "*.10.1.2.3",
    "under_score.com",
    "with space.com",
    "💩.com",
    "line\nbreak",
    `${"a".repeat(64)}.b`,
    `${"a.".repeat(127)}b`,
  ])("may not be %j", (name) => {
    expect(dnsNameProblem(name)).toMatch(/\w/);
  });
});
