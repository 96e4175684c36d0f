import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeOid, encodeOid, OID } from "../../../src/ca/der/oid.ts";
import { element } from "../../../src/ca/der/write.ts";
import { TAG } from "../../../src/ca/der/tag.ts";
import { openssl } from "../oracle.ts";

describe("object identifiers", () => {
  it("are those that OpenSSL knows by these names", () => {
    const names = Object.entries(OID).map(([name, dotted]) => {
      const shown = openssl(["asn1parse", "-inform", "DER"], element(TAG.OID, encodeOid(dotted)));
      return [name, /OBJECT\s+:(.*)/.exec(shown)?.[1]];
    });
    expect(Object.fromEntries(names)).toEqual({
      ecPublicKey: "id-ecPublicKey",
      prime256v1: "prime256v1",
      secp384r1: "secp384r1",
      rsaEncryption: "rsaEncryption",
      sha256WithRsaEncryption: "sha256WithRSAEncryption",
      ecdsaWithSha256: "ecdsa-with-SHA256",
      ecdsaWithSha384: "ecdsa-with-SHA384",
      commonName: "commonName",
      serialNumber: "serialNumber",
      organizationName: "organizationName",
      subjectKeyIdentifier: "X509v3 Subject Key Identifier",
      keyUsage: "X509v3 Key Usage",
      subjectAltName: "X509v3 Subject Alternative Name",
      basicConstraints: "X509v3 Basic Constraints",
      authorityKeyIdentifier: "X509v3 Authority Key Identifier",
      extKeyUsage: "X509v3 Extended Key Usage",
      serverAuth: "TLS Web Server Authentication",
      clientAuth: "TLS Web Client Authentication",
    });
  });

  it("come back the same", () => {
    const arc = fc.integer({ min: 0, max: 2 ** 31 });
    const anyOid = fc.oneof(
      fc.tuple(
        fc.constantFrom(0, 1),
        fc.integer({ min: 0, max: 39 }),
        fc.array(arc, { maxLength: 8 }),
      ),
      fc.tuple(fc.constant(2), arc, fc.array(arc, { maxLength: 8 })),
    );
    fc.assert(
      fc.property(anyOid, ([root, second, rest]) => {
        const dotted = [root, second, ...rest].join(".");
        expect(decodeOid(encodeOid(dotted))).toBe(dotted);
      }),
    );
  });

  it.each(["", "1", "3.1", "1.40", "1.2.-3", "1.2.x", "1..2.0.5e400"])("%j is none", (dotted) => {
    expect(() => encodeOid(dotted)).toThrow(RangeError);
  });

  it.each([
    ["", "a bad length"],
    ["2a8001", "padded"],
    ["2a86", "ends inside"],
    ["2affffffffffffffff7f", "too large"],
    ["2a".repeat(65), "a bad length"],
  ])("content %s is refused", (content, rule) => {
    expect(() => decodeOid(Buffer.from(content, "hex"))).toThrow(rule);
  });
});
