import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkDnsName, uniqueDnsNames } from "../../src/ca/dns-name.ts";
import { dnsNameProblem } from "../../src/spiffe/dns-name.ts";

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

  it("are all that registration takes for one", () => {
    const label = fc.stringMatching(/^[A-Za-z0-9-]{1,3}$/);
    const labels = fc.array(fc.oneof(label, fc.constantFrom("*", "")), {
      minLength: 1,
      maxLength: 5,
    });
    const taken = fc.sample(labels, { numRuns: 2000, seed: 1 }).map((parts) => parts.join("."));
    for (const name of [...taken, "10.1.2.3"].filter((text) => !dnsNameProblem(text))) {
      expect(() => checkDnsName(name)).not.toThrow();
    }
  });

  it("are kept once each, whatever their case, in order", () => {
    expect(uniqueDnsNames(["b", "a", "B", "b"])).toEqual(["b", "a"]);
  });

  it("are at most 500 in one certificate, as many as registration gives", () => {
    const names = Array.from({ length: 501 }, (_, index) => `n${index}`);
    expect(uniqueDnsNames(names.slice(1))).toHaveLength(500);
    expect(() => uniqueDnsNames(names)).toThrow(refused);
  });
});
