import { generateKeyPairSync } from "node:crypto";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { readCertificate } from "../../src/ca/certificate-reader.ts";
import { isSignetError } from "../../src/core/errors.ts";
import { newAuthority, openssl, withFiles } from "./oracle.ts";

let ca: Buffer;
beforeAll(async () => {
  ca = (await newAuthority()).certificate;
});

function opensslCertificate(lines: readonly string[]): Buffer {
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" })
    .privateKey.export({ type: "pkcs8", format: "pem" })
    .toString();
  const config = [
    "[req]",
    "distinguished_name=dn",
    "x509_extensions=ext",
    "[dn]",
    "[ext]",
    ...lines,
  ].join("\n");
  const pem = withFiles([key, config], (keyPath, configPath) =>
    openssl([
      "req",
      "-x509",
      "-new",
      "-key",
      keyPath ?? "",
      "-config",
      configPath ?? "",
      "-subj",
      "/O=Else",
      "-days",
      "3",
    ]),
  );
  return Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
}

describe("readCertificate", () => {
  it("reads a certificate that OpenSSL made", () => {
    const der = opensslCertificate([
      "basicConstraints=critical,CA:TRUE,pathlen:0",
      "keyUsage=critical,keyCertSign,digitalSignature",
      "subjectAltName=DNS:a.b,URI:spiffe://td,IP:10.0.0.1,URI:https://x",
      "subjectKeyIdentifier=hash",
      "certificatePolicies=1.2.3.4",
    ]);
    const info = readCertificate(der);
    expect(info).toMatchObject({
      isCa: true,
      keyUsages: ["digitalSignature", "keyCertSign"],
      uris: ["spiffe://td", "https://x"],
    });
    expect(info.keyIdentifier).toHaveLength(20);
    expect(info.notAfter - info.notBefore).toBe(3 * 86_400_000);
    expect(info.issuer).toEqual(info.subject);
  });

  it("reads a leaf without any of these extensions as no CA", () => {
    const der = opensslCertificate(["basicConstraints=CA:FALSE", "certificatePolicies=1.2.3.4"]);
    expect(readCertificate(der)).toMatchObject({ isCa: false, keyUsages: [], uris: [] });
  });

  it("refuses a repeated extension", () => {
    const der = opensslCertificate(["1.2.3.4=ASN1:NULL", "1.2.3.5=ASN1:NULL"]);
    const twice = Buffer.from(der);
    twice[der.indexOf(Buffer.from("06032a0305", "hex")) + 4] = 0x04;
    expect(() => readCertificate(twice)).toThrow("has extension 1.2.3.4 twice");
  });

  it("refuses a certificate whose two signature algorithms differ", () => {
    const changed = Buffer.from(ca);
    changed[ca.lastIndexOf(Buffer.from("2a8648ce3d040302", "hex")) + 7] = 3;
    expect(() => readCertificate(changed)).toThrow("two signature algorithms");
  });

  it("refuses trailing bytes and more than 64 KiB", () => {
    expect(() => readCertificate(Buffer.concat([ca, Buffer.of(0)]))).toThrow("after its end");
    expect(() => readCertificate(Buffer.alloc(65_537))).toThrow("65537 bytes");
  });

  it("refuses every cut of a certificate", () => {
    for (let length = 0; length < ca.length; length++) {
      expect(() => readCertificate(ca.subarray(0, length))).toThrow(
        expect.objectContaining({ code: "MALFORMED" }),
      );
    }
  });

  it("throws nothing but MALFORMED, whatever bytes change", () => {
    const anyDamage = fc.property(fc.nat(), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const damaged = Buffer.from(ca);
      damaged[at % damaged.length]! ^= flip;
      expect(outcome(damaged)).toMatch(/^(read|MALFORMED)$/);
    });
    fc.assert(anyDamage, { numRuns: 2000 });
  });
});

function outcome(der: Buffer): string {
  try {
    readCertificate(der);
    return "read";
  } catch (error) {
    return isSignetError(error) ? error.code : String(error);
  }
}
