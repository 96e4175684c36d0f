import { createPublicKey, X509Certificate } from "node:crypto";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { readCertificate } from "../../src/ca/certificate-reader.ts";
import { signCertificate } from "../../src/ca/certificate.ts";
import type { X509Authority } from "../../src/ca/authority.ts";
import { KEY_TYPES } from "../../src/ca/key-pair.ts";
import { leafFields } from "../../src/ca/leaf.ts";
import { createSigner } from "../../src/ca/signer.ts";
import {
  DAY,
  HOUR,
  newAuthority,
  NOW,
  openssl,
  certificatePem,
  opensslVerify,
  peculiar,
  SAMPLE_KEYS,
} from "./oracle.ts";

const FAR = 40 * 365 * DAY;
let authorities: X509Authority[];
beforeAll(async () => {
  authorities = await Promise.all(
    KEY_TYPES.map((keyType) => newAuthority({ keyType, ttlMs: FAR })),
  );
});

const segment = fc
  .stringMatching(/^[A-Za-z0-9._-]{1,20}$/)
  .filter((text) => text !== "." && text !== "..");
const spiffeIds = fc
  .array(segment, { minLength: 1, maxLength: 6 })
  .map((path) => `spiffe://example.org/${path.join("/")}`);
const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,12}[a-z0-9])?$/);
const dnsName = fc
  .tuple(fc.boolean(), fc.array(label, { minLength: 1, maxLength: 5 }))
  .map(([wild, labels]) => `${wild ? "*." : ""}${labels.join(".")}`)
  .filter((name) => !/^(\*\.)?\d+(\.\d+){3}$/.test(name));
const requests = fc.record({
  spiffeId: spiffeIds,
  publicKey: fc.constantFrom(...Object.values(SAMPLE_KEYS).map(({ spki }) => spki)),
  dnsNames: fc.uniqueArray(dnsName, { maxLength: 8 }),
  ttlMs: fc.oneof(fc.integer({ min: 1000, max: 100 * HOUR }), fc.integer({ min: 1000, max: FAR })),
  now: fc.integer({ min: NOW, max: NOW + DAY }),
});
const sign = async (authority: X509Authority, request: Parameters<typeof leafFields>[0]) => {
  const fields = leafFields(request, authority);
  return { fields, der: await signCertificate(fields, createSigner(authority.privateKey)) };
};

describe("signed certificates", () => {
  it("read the same in @peculiar/x509, Node.js and our reader, for any request and authority", async () => {
    await fc.assert(
      fc.asyncProperty(
        requests,
        fc.integer({ min: 0, max: KEY_TYPES.length - 1 }),
        async (request, index) => {
          const authority = authorities[index]!;
          const { fields, der } = await sign(authority, request);
          const node = new X509Certificate(der);
          expect(node.verify(createPublicKey(authority.privateKey))).toBe(true);
          expect(node.checkIssued(new X509Certificate(authority.certificate))).toBe(true);
          expect([Date.parse(node.validFrom), Date.parse(node.validTo)]).toEqual([
            fields.notBefore,
            fields.notAfter,
          ]);
          expect(node.publicKey.export({ type: "spki", format: "der" })).toEqual(request.publicKey);
          expect(node.subjectAltName).toBe(
            [`URI:${request.spiffeId}`, ...request.dnsNames.map((name) => `DNS:${name}`)].join(
              ", ",
            ),
          );
          const parsed = new peculiar.X509Certificate(der);
          expect(parsed.serialNumber).toBe(fields.serial.toString("hex"));
          expect(parsed.notBefore.getTime()).toBe(fields.notBefore);
          expect(parsed.notAfter.getTime()).toBe(fields.notAfter);
          expect(Buffer.from(parsed.publicKey.rawData)).toEqual(request.publicKey);
          expect(Buffer.from(parsed.rawData)).toEqual(der);
          expect(readCertificate(der)).toMatchObject({
            serial: fields.serial,
            issuer: authority.subject,
            notBefore: fields.notBefore,
            notAfter: fields.notAfter,
            spki: request.publicKey,
            isCa: false,
            uris: [request.spiffeId],
          });
        },
      ),
      { numRuns: 100 },
    );
  });

  it("verify in OpenSSL with strict checks, and print the same, for any request and authority", async () => {
    await fc.assert(
      fc.asyncProperty(
        requests,
        fc.integer({ min: 0, max: KEY_TYPES.length - 1 }),
        async (request, index) => {
          const authority = authorities[index]!;
          const { fields, der } = await sign(authority, request);
          expect(opensslVerify(authority.certificate, der, request.now)).toContain("OK");
          const printed = openssl(
            ["x509", "-noout", "-serial", "-ext", "subjectAltName"],
            certificatePem(der),
          );
          expect(printed).toContain(`serial=${fields.serial.toString("hex").toUpperCase()}`);
          expect(printed).toContain(
            [`URI:${request.spiffeId}`, ...request.dnsNames.map((name) => `DNS:${name}`)].join(
              ", ",
            ),
          );
        },
      ),
      { numRuns: 20 },
    );
  });

  it.each([
    ["2049-12-31T23:59:59Z", "UTCTIME"],
    ["2050-01-01T00:00:00Z", "GENERALIZEDTIME"],
  ])("that end at %s hold a %s (X509-29)", async (end, type) => {
    const { der } = await sign(authorities[0]!, {
      spiffeId: "spiffe://example.org/a",
      publicKey: SAMPLE_KEYS["P-256"].spki,
      dnsNames: [],
      ttlMs: Date.parse(end) - NOW,
      now: NOW,
    });
    const times = openssl(["asn1parse", "-strictpem"], certificatePem(der)).match(/\w+TIME/g);
    expect(times).toEqual(["UTCTIME", type]);
  });
});
