import { X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import type { X509Authority } from "../../src/ca/authority.ts";
import { signCertificate } from "../../src/ca/certificate.ts";
import { subjectAltName } from "../../src/ca/extensions.ts";
import { leafFields } from "../../src/ca/leaf.ts";
import type { X509SvidRequest } from "../../src/ca/leaf.ts";
import { isEmptyName } from "../../src/ca/name.ts";
import { sequence } from "../../src/ca/der/write.ts";
import { createSigner } from "../../src/ca/signer.ts";
import {
  certificatePem,
  HOUR,
  newAuthority,
  NOW,
  openssl,
  opensslVerify,
  P256_SPKI,
  peculiar,
  SAMPLE_KEYS,
  thrown,
} from "./oracle.ts";

const ID = "spiffe://example.org/ns/shop/sa/default";
let authority: X509Authority;
beforeAll(async () => {
  authority = await newAuthority();
});

const request = (changes: Partial<X509SvidRequest> = {}): X509SvidRequest => ({
  spiffeId: ID,
  publicKey: P256_SPKI,
  dnsNames: [],
  ttlMs: HOUR,
  now: NOW,
  ...changes,
});
const issue = async (changes: Partial<X509SvidRequest> = {}): Promise<Buffer> =>
  signCertificate(leafFields(request(changes), authority), createSigner(authority.privateKey));
const text = (der: Buffer): string => openssl(["x509", "-noout", "-text"], certificatePem(der));
const names = (der: Buffer) =>
  new peculiar.X509Certificate(der)
    .getExtension(peculiar.SubjectAlternativeNameExtension)
    ?.names.toJSON();
const extension = (der: Buffer, id: string) => new peculiar.X509Certificate(der).getExtension(id);
const validity = (der: Buffer) => {
  const { validFrom, validTo } = new X509Certificate(der);
  return [Date.parse(validFrom), Date.parse(validTo)];
};

describe("X509-SVID leaf", () => {
  it("has exactly one URI SAN, the SPIFFE ID (X509-1)", async () => {
    expect(names(await issue())).toEqual([{ type: "url", value: ID }]);
  });

  it("has the DNS names as further SANs (X509-3)", async () => {
    const leaf = await issue({ dnsNames: ["a.shop.svc", "*.b.example", "c"] });
    expect(names(leaf)).toEqual([
      { type: "url", value: ID },
      { type: "dns", value: "a.shop.svc" },
      { type: "dns", value: "*.b.example" },
      { type: "dns", value: "c" },
    ]);
    expect(opensslVerify(authority.certificate, leaf, NOW)).toContain("OK");
  });

  it("is refused without a path in the SPIFFE ID (X509-4)", async () => {
    expect(await thrown(() => issue({ spiffeId: "spiffe://example.org" }))).toMatchObject({
      code: "INVALID_SPIFFE_ID",
    });
  });

  it("is refused for a malformed SPIFFE ID (ID-13, ID-16)", async () => {
    for (const spiffeId of [
      "spiffe://example.org/a b",
      "spiffe://example.org//a",
      `spiffe://example.org/${"a".repeat(2048)}`,
    ]) {
      expect(await thrown(() => issue({ spiffeId }))).toMatchObject({ code: "INVALID_SPIFFE_ID" });
    }
  });

  it("may have an ID of 2048 bytes (ID-15)", async () => {
    const spiffeId = `spiffe://example.org/${"a".repeat(2027)}`;
    expect(names(await issue({ spiffeId }))).toEqual([{ type: "url", value: spiffeId }]);
  });

  it("has a non-critical SAN beside its subject, and the encoder makes it critical for an empty one (X509-5)", async () => {
    expect(extension(await issue(), "2.5.29.17")?.critical).toBe(false);
    expect(isEmptyName(sequence())).toBe(true);
    const critical = new peculiar.Extension(subjectAltName(ID, [], isEmptyName(sequence())));
    expect(critical.critical).toBe(true);
  });

  it("is refused outside the authority's trust domain (X509-9)", async () => {
    const error = await thrown(() => issue({ spiffeId: "spiffe://other.org/a" }));
    expect(error).toMatchObject({
      code: "INVALID_SPIFFE_ID",
      message: expect.stringContaining('"example.org"'),
    });
  });

  it("is not a CA: basicConstraints critical, cA left at its default (X509-11)", async () => {
    const constraints = extension(await issue(), "2.5.29.19");
    expect(constraints?.critical).toBe(true);
    expect(Buffer.from(constraints?.value ?? new ArrayBuffer(0)).toString("hex")).toBe("3000");
  });

  it.each([
    ["P-256", "Digital Signature, Key Agreement"],
    ["P-384", "Digital Signature, Key Agreement"],
    ["RSA-2048", "Digital Signature, Key Encipherment"],
  ] as const)(
    "with a %s key has the critical key usage %s and no CA usage (X509-14, X509-16, X509-17)",
    async (name, usages) => {
      const leaf = await issue({ publicKey: SAMPLE_KEYS[name].spki });
      expect(text(leaf)).toMatch(new RegExp(`X509v3 Key Usage: critical\\n\\s+${usages}\\n`));
    },
  );

  it("has the extended key usages serverAuth and clientAuth (X509-18, X509-19)", async () => {
    const usage = new peculiar.X509Certificate(await issue()).getExtension(
      peculiar.ExtendedKeyUsageExtension,
    );
    expect(usage?.usages).toEqual(["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
  });

  it("is version 3 with key identifiers that are not critical and chain to the authority (X509-29)", async () => {
    const leaf = await issue();
    expect(text(leaf)).toContain("Version: 3 (0x2)");
    const own = new peculiar.X509Certificate(leaf);
    const issuer = own.getExtension(peculiar.AuthorityKeyIdentifierExtension);
    expect(issuer?.critical).toBe(false);
    expect(issuer?.keyId).toBe(authority.id);
    expect(own.getExtension(peculiar.SubjectKeyIdentifierExtension)?.critical).toBe(false);
    expect(own.issuerName.toString()).toBe(
      new peculiar.X509Certificate(authority.certificate).subject,
    );
  });

  it("has a random, positive serial of at most 20 octets that differs each time (X509-29)", () => {
    const serials = Array.from({ length: 200 }, () => leafFields(request(), authority).serial);
    expect(new Set(serials.map((serial) => serial.toString("hex"))).size).toBe(200);
    for (const serial of serials) {
      expect(serial).toHaveLength(16);
      expect(serial[0]! & 0x80).toBe(0);
      expect(serial[0]).not.toBe(0);
    }
  });

  it("verifies with OpenSSL's strict checks, and not after a flipped bit of its ID (X509-21, ID-20)", async () => {
    const leaf = await issue();
    expect(opensslVerify(authority.certificate, leaf, NOW)).toContain("OK");
    const changed = Buffer.from(leaf);
    changed[changed.indexOf("/ns/shop") + 4]! ^= 1;
    expect(() => opensslVerify(authority.certificate, changed, NOW)).toThrow("signature failure");
  });

  it("does not verify with another authority of the same trust domain", async () => {
    const other = await newAuthority();
    const leaf = await issue();
    expect(() => opensslVerify(other.certificate, leaf, NOW)).toThrow("unable to get local issuer");
  });

  it("begins 10 s early and ends after its TTL", async () => {
    expect(validity(await issue())).toEqual([NOW - 10_000, NOW + HOUR]);
  });

  it("cuts its times to the second, never beyond what was asked", () => {
    const fields = leafFields(request({ now: NOW + 999, ttlMs: 1500, backdateMs: 0 }), authority);
    expect([fields.notBefore, fields.notAfter]).toEqual([NOW, NOW + 2000]);
  });

  it("ends no later than its authority", async () => {
    expect(validity(await issue({ ttlMs: 1000 * HOUR * 24 }))[1]).toBe(authority.notAfter);
  });

  it("is refused once the authority has expired", async () => {
    expect(await thrown(() => issue({ now: authority.notAfter }))).toMatchObject({
      code: "FAILED_PRECONDITION",
    });
  });

  it.each([{ ttlMs: 0 }, { ttlMs: -1 }, { ttlMs: 999 }, { ttlMs: Number.NaN }, { backdateMs: -1 }])(
    "is refused for the lifetime %j",
    async (changes) => {
      expect(await thrown(() => issue(changes))).toMatchObject({ code: "INVALID_ARGUMENT" });
    },
  );

  it("has O=Signet and the first DNS name as common name", async () => {
    expect(new peculiar.X509Certificate(await issue()).subject).toBe("O=Signet");
    expect(new peculiar.X509Certificate(await issue({ dnsNames: ["a.b", "c"] })).subject).toBe(
      "O=Signet, CN=a.b",
    );
  });

  it("has no common name when the first DNS name is longer than 64 characters", async () => {
    const long = `${"a".repeat(60)}.${"b".repeat(4)}`;
    expect(new peculiar.X509Certificate(await issue({ dnsNames: [long] })).subject).toBe(
      "O=Signet",
    );
    expect(new peculiar.X509Certificate(await issue({ dnsNames: [long.slice(1)] })).subject).toBe(
      `O=Signet, CN=${long.slice(1)}`,
    );
  });

  it("is refused for an invalid DNS name or key", async () => {
    expect(await thrown(() => issue({ dnsNames: ["ok", "not_ok"] }))).toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    expect(await thrown(() => issue({ publicKey: Buffer.alloc(91) }))).toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  });
});
