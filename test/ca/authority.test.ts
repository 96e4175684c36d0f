import { X509Certificate } from "node:crypto";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { createX509Authority, loadX509Authority } from "../../src/ca/authority.ts";
import { createSerial, signCertificate } from "../../src/ca/certificate.ts";
import {
  basicConstraints,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
} from "../../src/ca/extensions.ts";
import { createKeyPair, KEY_TYPES, privateKeyPem, spkiOf } from "../../src/ca/key-pair.ts";
import { distinguishedName } from "../../src/ca/name.ts";
import { parsePublicKey } from "../../src/ca/public-key.ts";
import type { X509AuthorityMaterial } from "../../src/ca/record.ts";
import { createSigner } from "../../src/ca/signer.ts";
import { sequence } from "../../src/ca/der/write.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import {
  certificatePem,
  DAY,
  newAuthority,
  NOW,
  openssl,
  opensslVerify,
  peculiar,
  thrown,
  TRUST_DOMAIN,
} from "./oracle.ts";

const create = (changes: Partial<Parameters<typeof createX509Authority>[0]> = {}) =>
  createX509Authority({ trustDomain: TRUST_DOMAIN, ttlMs: DAY, now: NOW, ...changes });

describe("a new X.509 authority", () => {
  it.each(KEY_TYPES)(
    "with an %s key verifies itself in OpenSSL's strict checks",
    async (keyType) => {
      const { certificate } = await newAuthority({ keyType });
      expect(opensslVerify(certificate, certificate, NOW)).toContain("OK");
      const node = new X509Certificate(certificate);
      expect(node.ca).toBe(true);
      expect(node.verify(node.publicKey)).toBe(true);
    },
  );

  it("is an SVID itself: URI SAN of the trust domain without a path (ID-18, ID-19, X509-8, X509-9)", async () => {
    const { certificate } = await newAuthority();
    const names = new peculiar.X509Certificate(certificate).getExtension(
      peculiar.SubjectAlternativeNameExtension,
    );
    expect(names?.names.toJSON()).toEqual([{ type: "url", value: "spiffe://example.org" }]);
  });

  it("has critical cA=TRUE without path length, and critical keyCertSign and cRLSign (X509-7, X509-12, X509-14, X509-15)", async () => {
    const text = openssl(
      ["x509", "-noout", "-text"],
      certificatePem((await newAuthority()).certificate),
    );
    expect(text).toMatch(/Basic Constraints: critical\n\s+CA:TRUE\n/);
    expect(text).toMatch(/Key Usage: critical\n\s+Certificate Sign, CRL Sign\n/);
  });

  it("has neither extended key usage nor name constraints (X509-13, X509-20)", async () => {
    const parsed = new peculiar.X509Certificate((await newAuthority()).certificate);
    expect(parsed.extensions.map(({ type, critical }) => [type, critical])).toEqual([
      ["2.5.29.19", true],
      ["2.5.29.15", true],
      ["2.5.29.14", false],
      ["2.5.29.35", false],
      ["2.5.29.17", false],
    ]);
  });

  it("has its own key identifier, subject and positive serial, like no other's (X509-29)", async () => {
    const [one, two] = (await Promise.all([newAuthority(), newAuthority()])).map((authority) => ({
      authority,
      parsed: new peculiar.X509Certificate(authority.certificate),
    }));
    expect(one!.authority.id).not.toBe(two!.authority.id);
    expect(one!.parsed.subject).not.toBe(two!.parsed.subject);
    expect(one!.parsed.subject).toBe(
      `O=Signet, CN=example.org, 2.5.4.5=${one!.parsed.serialNumber}`,
    );
    expect(one!.parsed.issuer).toBe(one!.parsed.subject);
    expect(one!.parsed.serialNumber).toMatch(/^[4-7][0-9a-f]{31}$/);
  });

  it("has no common name when the trust domain is longer than 64 characters", async () => {
    const { certificate } = await newAuthority({ trustDomain: `${"a".repeat(200)}.org` });
    expect(new peculiar.X509Certificate(certificate).subject).toMatch(/^O=Signet, 2\.5\.4\.5=/);
  });

  it("begins 10 s early and ends after its TTL, of seconds too", async () => {
    const { notBefore, notAfter } = await create({ ttlMs: 5000 });
    expect([notBefore, notAfter]).toEqual([NOW - 10_000, NOW + 5000]);
  });

  it.each([0, -1, 999, Number.NaN])("is refused for a TTL of %d ms", async (ttlMs) => {
    expect(await thrown(() => create({ ttlMs }))).toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  it("keeps its private key out of what a log would print", async () => {
    const authority = await newAuthority();
    const secret = privateKeyPem(authority.privateKey).split("\n")[1]!;
    expect(inspect(authority, { depth: 9 }) + JSON.stringify(authority)).not.toContain(secret);
  });
});

const misfit = async (material: X509AuthorityMaterial, trustDomain = TRUST_DOMAIN) =>
  (await thrown(() => loadX509Authority(material, trustDomain))).message;

describe("loadX509Authority", () => {
  it("gives an authority whose subject is the certificate's, byte for byte", async () => {
    const authority = loadX509Authority(await create(), TRUST_DOMAIN);
    const subject = Buffer.from(
      new peculiar.X509Certificate(authority.certificate).subjectName.toArrayBuffer(),
    );
    expect(authority.subject).toEqual(subject);
    expect(authority.isRoot).toBe(true);
  });

  it("refuses parts that do not fit, and names the first one", async () => {
    const one = await create();
    const two = await create();
    expect(await misfit({ ...one, privateKey: two.privateKey })).toContain(
      "private key is not that of",
    );
    expect(await misfit({ ...one, id: two.id })).toContain("ID is not");
    expect(await misfit({ ...one, notAfter: one.notAfter + 1000 })).toContain("times are not");
    expect(await misfit({ ...one, notBefore: one.notBefore - 1000 })).toContain("times are not");
    expect(await misfit(one, parseTrustDomain("other.org"))).toContain(
      "not of trust domain other.org",
    );
    expect(await misfit({ ...one, certificate: one.certificate + two.certificate })).toContain(
      "one certificate",
    );
  });

  it("refuses an unreadable private key without showing it", async () => {
    const one = await create();
    const damaged = one.privateKey.replace("\nM", "\nA");
    const error = await thrown(() =>
      loadX509Authority({ ...one, privateKey: damaged }, TRUST_DOMAIN),
    );
    expect(error).toMatchObject({ code: "MALFORMED" });
    expect(error.cause).toBeUndefined();
    expect(inspect(error)).not.toContain(damaged.split("\n")[1]);
  });

  it.each([
    ["is no CA", { ca: false }, "is not a CA"],
    ["may not sign certificates", { usage: ["cRLSign"] as const }, "may not sign"],
    ["has a path in its ID", { uri: "spiffe://example.org/ca" }, "not of trust domain"],
    ["has an empty subject", { subject: sequence() }, "empty subject"],
  ])("refuses a certificate that %s (X509-7, X509-9)", async (_name, changes, rule) => {
    expect(await misfit(await foreign(changes))).toContain(rule);
  });

  it("takes an intermediate with its chain, whose earliest end is the authority's", async () => {
    const above = await create({ ttlMs: 3 * DAY });
    const material = await foreign({});
    const withChain = {
      ...material,
      chain: [above.certificate],
      roots: [above.certificate],
      notAfter: above.notAfter,
    };
    expect(await misfit({ ...withChain, notAfter: material.notAfter })).toContain("times are not");
    expect(loadX509Authority(withChain, TRUST_DOMAIN)).toMatchObject({
      isRoot: false,
      notAfter: NOW + 3 * DAY,
    });
  });
});

interface ForeignOptions {
  ca?: boolean;
  usage?: readonly ("keyCertSign" | "cRLSign")[];
  uri?: string;
  subject?: Buffer;
}

async function foreign({
  ca = true,
  usage = ["keyCertSign"],
  uri = "spiffe://example.org",
  subject = distinguishedName({}),
}: ForeignOptions): Promise<X509AuthorityMaterial> {
  const { privateKey, publicKey } = await createKeyPair("ec-p256");
  const { spki, keyIdentifier } = parsePublicKey(spkiOf(publicKey));
  const [notBefore, notAfter] = [NOW, NOW + 9 * DAY];
  const extensions = [
    basicConstraints(ca),
    keyUsage(usage),
    subjectKeyIdentifier(keyIdentifier),
    subjectAltName(uri, [], false),
  ];
  const fields = {
    serial: createSerial(),
    issuer: subject,
    subject,
    notBefore,
    notAfter,
    spki,
    extensions,
  };
  const certificate = certificatePem(await signCertificate(fields, createSigner(privateKey)));
  return {
    id: keyIdentifier.toString("hex"),
    keyType: "ec-p256",
    certificate,
    privateKey: privateKeyPem(privateKey),
    notBefore,
    notAfter,
  };
}
