import { X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createX509Issuer } from "../../src/ca/issuer.ts";
import { KEY_TYPES } from "../../src/ca/key-pair.ts";
import { createSigner } from "../../src/ca/signer.ts";
import { generateKeyPairSync } from "node:crypto";
import {
  HOUR,
  newAuthority,
  NOW,
  openssl,
  opensslVerify,
  P256_SPKI,
  certificatePem,
  SAMPLE_KEYS,
  thrown,
} from "./oracle.ts";

const REQUEST = {
  spiffeId: "spiffe://example.org/ns/shop/sa/default",
  publicKey: P256_SPKI,
  dnsNames: ["a.shop.svc"],
  ttlMs: HOUR,
  now: NOW,
};
const SIGNATURES = {
  "ec-p256": "ecdsa-with-SHA256",
  "ec-p384": "ecdsa-with-SHA384",
  "rsa-2048": "sha256WithRSAEncryption",
  "rsa-4096": "sha256WithRSAEncryption",
};

describe("X.509 issuer", () => {
  it.each(KEY_TYPES)("issues with an authority of an %s key", async (keyType) => {
    const authority = await newAuthority({ keyType });
    const svid = await createX509Issuer(authority).issue(REQUEST);
    expect(svid.chain).toHaveLength(1);
    expect(opensslVerify(authority.certificate, svid.chain[0]!, NOW)).toContain("OK");
    const text = openssl(["x509", "-noout", "-text"], certificatePem(svid.chain[0]!));
    expect(text.match(/Signature Algorithm: (\S+)/g)).toEqual(
      Array(2).fill(`Signature Algorithm: ${SIGNATURES[keyType]}`),
    );
  });

  it("says what it issued: ID, times, serial, authority, hint and entry", async () => {
    const authority = await newAuthority();
    const svid = await createX509Issuer(authority).issue({
      ...REQUEST,
      hint: "internal",
      entryId: "e1",
    });
    const certificate = new X509Certificate(svid.chain[0]!);
    expect(svid).toMatchObject({
      spiffeId: REQUEST.spiffeId,
      notBefore: Date.parse(certificate.validFrom),
      notAfter: Date.parse(certificate.validTo),
      serial: certificate.serialNumber.toLowerCase(),
      authorityId: authority.id,
      hint: "internal",
      entryId: "e1",
    });
  });

  it("has no hint and no entry unless told", async () => {
    expect(await createX509Issuer(await newAuthority()).issue(REQUEST)).toMatchObject({
      hint: "",
      entryId: "",
    });
  });

  it("adds the intermediates to the chain, without the root, when the authority is not one", async () => {
    const authority = await newAuthority();
    const above = await newAuthority();
    const issuer = createX509Issuer({ ...authority, isRoot: false, chain: [above.certificate] });
    const { chain } = await issuer.issue(REQUEST);
    expect(chain.slice(1)).toEqual([authority.certificate, above.certificate]);
  });

  it.each(["ec-p256", "ec-p384"] as const)(
    "keeps a hundred concurrent requests with an %s key apart",
    async (keyType) => {
      const issuer = createX509Issuer(await newAuthority({ keyType }));
      const keys = Object.values(SAMPLE_KEYS).map(({ spki }) => spki);
      const svids = await Promise.all(
        Array.from({ length: 100 }, (_, n) =>
          issuer.issue({
            ...REQUEST,
            spiffeId: `spiffe://example.org/w/${n}`,
            publicKey: keys[n % keys.length]!,
          }),
        ),
      );
      for (const [n, svid] of svids.entries()) {
        const certificate = new X509Certificate(svid.chain[0]!);
        expect(certificate.subjectAltName).toBe(`URI:spiffe://example.org/w/${n}, DNS:a.shop.svc`);
        expect(certificate.publicKey.export({ type: "spki", format: "der" })).toEqual(
          keys[n % keys.length],
        );
      }
      expect(new Set(svids.map(({ serial }) => serial)).size).toBe(100);
    },
  );

  it("rejects what may not be issued", async () => {
    const issuer = createX509Issuer(await newAuthority());
    expect(
      await thrown(() => issuer.issue({ ...REQUEST, spiffeId: "spiffe://example.org" })),
    ).toMatchObject({ code: "INVALID_SPIFFE_ID" });
  });

  it("refuses to sign with other kinds of keys", () => {
    const { privateKey } = generateKeyPairSync("ed25519");
    expect(() => createSigner(privateKey)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });
});
