import { describe, expect, it } from "vitest";
import { checkDnsName, uniqueDnsNames } from "../../src/ca/dns-name.ts";

const refused = expect.objectContaining({ code: "INVALID_ARGUMENT" });

describe("DNS names", () => {
  it.each([
    "a",
    "A-b.c",
    "0.1.example",
    "*.example.org",
    "svc.123",
    `${"a".repeat(63)}.b`,
    "10-0-0-1.ns.pod.cluster.local",
  ])("%s is one", (name) => {
    expect(() => checkDnsName(name)).not.toThrow();
  });

  it.each([
    "",
    ".",
    "*",
    "*.",
    "a.",
    ".a",
    "a..b",
    "-a",
    "a-",
    "a_b",
    "a b",
    "*a.b",
    "a.*.b",
    "*.*.b",
    "münchen.de",
    "10.0.0.1",
    "*.10.0.0.1",
    "a\0.b",
    "a/b",
    `${"a".repeat(64)}.b`,
    "a.".repeat(127),
    `${"a.".repeat(126)}ab`,
  ])("%j is none", (name) => {
    expect(() => checkDnsName(name)).toThrow(refused);
  });

  it("may be up to 253 characters long", () => {
    expect(() => checkDnsName(`${"a.".repeat(126)}a`)).not.toThrow();
  });

  it("are kept once each, whatever their case, in order", () => {
    expect(uniqueDnsNames(["b", "a", "B", "b"])).toEqual(["b", "a"]);
  });

  it("are at most 256 in one certificate", () => {
    const names = Array.from({ length: 257 }, (_, index) => `n${index}`);
    expect(uniqueDnsNames(names.slice(1))).toHaveLength(256);
    expect(() => uniqueDnsNames(names)).toThrow(refused);
  });
});
