import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSignetError } from "../../src/core/errors.ts";
import { isMemberOf, MAX_SPIFFE_ID_BYTES, parseSpiffeId, spiffeId } from "../../src/spiffe/id.ts";
import type { SpiffeId } from "../../src/spiffe/id.ts";
import { parseTrustDomain, trustDomainHazard } from "../../src/spiffe/trust-domain.ts";

/** SPIFFE-ID §2 as the conformance checklist numbers it. */
const REFUSED: readonly [string, string][] = [
  ["", "ID-1 empty"],
  ["http://example.org/a", "ID-1 scheme"],
  ["spiffe:/example.org", "ID-1 one slash"],
  ["spiffe:example.org", "ID-1 opaque"],
  ["Spiffe://example.org/a", "AMB-3 scheme in upper case"],
  ["spiffe://example.org/a?x=1", "ID-2 query"],
  ["spiffe://example.org/a?", "ID-2 empty query"],
  ["spiffe://example.org/a#", "ID-2 empty fragment"],
  ["spiffe://", "ID-3 no trust domain"],
  ["spiffe:///a", "ID-3 empty trust domain"],
  ["spiffe://u@example.org/a", "ID-4 userinfo"],
  ["spiffe://example.org:443/a", "ID-4 port"],
  ["spiffe://example.org:/a", "ID-4 empty port"],
  ["spiffe://Example.org/a", "ID-5 upper case"],
  ["spiffe://exämple.org/a", "ID-5 not ASCII"],
  ["spiffe://[::1]/a", "ID-5 IPv6"],
  ["spiffe://ex%61mple.org/a", "ID-6 percent-encoding"],
  [`spiffe://${"a".repeat(256)}/a`, "ID-8 256 bytes"],
  ["spiffe://td/a%2Fb", "ID-9 percent-encoding"],
  ["spiffe://td//a", "ID-10 empty first segment"],
  ["spiffe://td/a//b", "ID-10 empty segment"],
  ["spiffe://td/./a", "ID-11 dot"],
  ["spiffe://td/a/..", "ID-11 dots"],
  ["spiffe://td/", "ID-12 only a slash"],
  ["spiffe://td/a/", "ID-12 trailing slash"],
  ["spiffe://td/a b", "ID-13 space"],
  ["spiffe://td/a:b", "ID-13 colon"],
  ["spiffe://td/a~b", "ID-13 tilde"],
  ["spiffe://td/ä", "ID-13 not ASCII"],
  ["spiffe://td/a\u0000", "ID-13 NUL"],
  [`spiffe://td/${"a".repeat(2048)}`, "ID-16 too long"],
];

/** The parsed ID, undefined where it is refused as one; any other error is thrown on. */
function parsedOrRefused(uri: string): SpiffeId | undefined {
  try {
    return parseSpiffeId(uri);
  } catch (error) {
    if (isSignetError(error, "INVALID_SPIFFE_ID")) return undefined;
    throw error;
  }
}

describe("parseSpiffeId", () => {
  it.each(REFUSED)("refuses %j (%s)", (uri) => {
    expect(() => parseSpiffeId(uri)).toThrow(
      expect.objectContaining({ code: "INVALID_SPIFFE_ID" }) as Error,
    );
  });

  it.each(["10.0.0.1", "-_-", "example.org", "my_td.1-x", "a".repeat(255)])(
    "takes trust domain %j like any other (ID-5, ID-7, ID-8)",
    (name) => {
      expect(parseSpiffeId(`spiffe://${name}/a`).trustDomain).toBe(name);
    },
  );

  it.each(["/.a", "/..a", "/...", "/a.b_c-D/9"])("takes path %j (ID-11, ID-13)", (path) => {
    expect(parseSpiffeId(`spiffe://td${path}`).path).toBe(path);
  });

  it("takes an ID of exactly 2048 bytes (ID-15)", () => {
    const uri = `spiffe://td/${"a".repeat(MAX_SPIFFE_ID_BYTES - "spiffe://td/".length)}`;
    expect(parseSpiffeId(uri).uri).toHaveLength(MAX_SPIFFE_ID_BYTES);
  });

  it("gives the trust domain's own ID an empty path", () => {
    expect(parseSpiffeId("spiffe://td")).toEqual({
      uri: "spiffe://td",
      trustDomain: "td",
      path: "",
    });
  });

  it("compares paths case-sensitively (ID-17)", () => {
    expect(parseSpiffeId("spiffe://td/A").uri).not.toBe(parseSpiffeId("spiffe://td/a").uri);
  });

  it("throws nothing but INVALID_SPIFFE_ID, and what it takes reads back the same", () => {
    const text = fc.oneof(
      fc.string(),
      fc.string().map((rest) => `spiffe://td/${rest}`),
    );
    fc.assert(
      fc.property(text, (uri) => {
        const id = parsedOrRefused(uri);
        expect(id === undefined || `spiffe://${id.trustDomain}${id.path}` === uri).toBe(true);
        expect(id?.uri ?? "spiffe://a").toMatch(/^spiffe:\/\/[a-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/);
      }),
    );
  });
});

it("joins a trust domain and a path, and knows its members", () => {
  const td = parseTrustDomain("td");
  const id = spiffeId(td, "/a");
  expect(isMemberOf(id, td)).toBe(true);
  expect(isMemberOf(id, parseTrustDomain("other"))).toBe(false);
});

it("warns of trust domains that Go cannot parse in certificates (GO-7)", () => {
  expect(trustDomainHazard(parseTrustDomain("td."))).toContain("empty label");
  expect(trustDomainHazard(parseTrustDomain("a..b"))).toContain("empty label");
  expect(trustDomainHazard(parseTrustDomain("a.b"))).toBeUndefined();
});
