import { createPublicKey, X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { journalBundle } from "../../src/ca/bundle.ts";
import { authoritiesOf, emptyJournal } from "../../src/ca/journal.ts";
import { rotateJournal } from "../../src/ca/rotate.ts";
import { parseBundleDocument } from "../../src/spiffe/bundle-document.ts";
import { bundleDocument, bundlePem, sameAuthorities } from "../../src/spiffe/bundle.ts";
import { DAY, NOW, openssl, TRUST_DOMAIN } from "./oracle.ts";

const rotating = async () => {
  const first = await rotateJournal(emptyJournal(TRUST_DOMAIN), NOW, { ttlMs: DAY });
  return (await rotateJournal(first.journal, NOW + DAY / 2, { ttlMs: DAY })).journal;
};

describe("journalBundle", () => {
  it("holds the active and the prepared authority, oldest first, at the journal's sequence", async () => {
    const journal = await rotating();
    const bundle = journalBundle(journal, 300);
    expect(bundle).toMatchObject({ trustDomain: "example.org", sequence: 2, refreshHint: 300 });
    const pems = journal.authorities.map(
      (record) => (record as { certificate: string }).certificate,
    );
    expect(bundlePem(bundle)).toBe(pems.join(""));
  });

  it("is empty for an empty journal", () => {
    expect(journalBundle(emptyJournal(TRUST_DOMAIN), 300)).toMatchObject({
      x509Authorities: [],
      sequence: 0,
    });
  });

  it("gives one JWK without kid per CA certificate, with the key of its x5c (X509-24, X509-25)", async () => {
    const { keys } = JSON.parse(bundleDocument(journalBundle(await rotating(), 300)));
    expect(keys).toHaveLength(2);
    for (const { use, kid, x5c, ...jwk } of keys) {
      expect([use, kid, x5c.length]).toEqual(["x509-svid", undefined, 1]);
      const certificate = new X509Certificate(Buffer.from(x5c[0], "base64"));
      expect(createPublicKey({ key: jwk, format: "jwk" }).equals(certificate.publicKey)).toBe(true);
      expect(
        openssl(["x509", "-noout", "-ext", "subjectAltName"], certificate.toString()),
      ).toContain("URI:spiffe://example.org");
    }
  });

  it("carries upstream roots instead of the intermediate, each once", async () => {
    const journal = await rotating();
    const [active, prepared] = journal.authorities as unknown as { certificate: string }[];
    const roots = [prepared!.certificate];
    const chained = {
      ...journal,
      authorities: journal.authorities.map((record) => ({ ...record, roots })),
    };
    expect(bundlePem(journalBundle(chained, 300))).toBe(prepared!.certificate);
    expect(bundlePem(journalBundle(chained, 300))).not.toContain(active!.certificate);
  });

  it("gives one JWK with use and kid per JWT authority, active, prepared and old (JWT-16)", async () => {
    const options = { ttlMs: DAY, jwt: { algorithm: "ES256", ttlMs: DAY } } as const;
    let { journal } = await rotateJournal(emptyJournal(TRUST_DOMAIN), NOW, options);
    for (const part of [1 / 2, 5 / 6, 4 / 3]) {
      ({ journal } = await rotateJournal(journal, NOW + DAY * part, options));
    }
    const records = authoritiesOf(journal, "jwt");
    expect(records.map(({ status }) => status)).toEqual(["old", "active", "prepared"]);
    const bundle = journalBundle(journal, 300);
    expect(bundle.jwtAuthorities.map(({ kid }) => kid)).toEqual(records.map(({ id }) => id));
    const { keys } = JSON.parse(bundleDocument(bundle));
    const jwtKeys = keys.filter(({ use }: { use: string }) => use === "jwt-svid");
    expect(jwtKeys).toHaveLength(3);
    for (const [at, jwk] of jwtKeys.entries()) {
      const key = createPublicKey(records[at]!.privateKey).export({ format: "jwk" });
      expect(jwk).toEqual({ use: "jwt-svid", kid: records[at]!.id, alg: "ES256", ...key });
    }
    const read = parseBundleDocument(bundleDocument(bundle), TRUST_DOMAIN);
    expect(read.jwtAuthorities).toEqual(bundle.jwtAuthorities);
    expect(bundleDocument(bundle)).not.toContain('"d"');
  });

  it("leaves authorities of other kinds out", async () => {
    const journal = await rotating();
    const mixed = {
      ...journal,
      authorities: [...journal.authorities, { kind: "wit", certificate: "x" }],
    };
    expect(journalBundle(mixed, 300)).toEqual(journalBundle(journal, 300));
  });
});

describe("sameAuthorities", () => {
  it("tells bundles apart by CA certificates and by keys of JWT-SVIDs, and by nothing else", async () => {
    const options = { ttlMs: DAY, jwt: { algorithm: "ES256", ttlMs: DAY } } as const;
    const { journal } = await rotateJournal(emptyJournal(TRUST_DOMAIN), NOW, options);
    const bundle = journalBundle(journal, 300);
    const [key] = bundle.jwtAuthorities;
    expect(sameAuthorities(bundle, { ...journalBundle(journal, 60), sequence: 9 })).toBe(true);
    expect(sameAuthorities(bundle, { ...bundle, jwtAuthorities: [] })).toBe(false);
    expect(sameAuthorities(bundle, { ...bundle, x509Authorities: [] })).toBe(false);
    const renamed = { ...bundle, jwtAuthorities: [{ ...key!, kid: "other" }] };
    expect(sameAuthorities(bundle, renamed)).toBe(false);
  });
});
