import { createPublicKey, X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { journalBundle } from "../../src/ca/bundle.ts";
import { emptyJournal } from "../../src/ca/journal.ts";
import { rotateJournal } from "../../src/ca/rotate.ts";
import { bundleDocument, bundlePem } from "../../src/spiffe/bundle.ts";
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

  it("leaves authorities of other kinds out", async () => {
    const journal = await rotating();
    const mixed = {
      ...journal,
      authorities: [...journal.authorities, { kind: "jwt", certificate: "x" }],
    };
    expect(journalBundle(mixed, 300)).toEqual(journalBundle(journal, 300));
  });
});
