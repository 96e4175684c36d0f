import { describe, expect, it } from "vitest";
import { createX509Issuer } from "../../src/ca/issuer.ts";
import { loadX509Authority } from "../../src/ca/authority.ts";
import { journalBundle } from "../../src/ca/bundle.ts";
import {
  activeX509Authority,
  decodeJournal,
  emptyJournal,
  encodeJournal,
} from "../../src/ca/journal.ts";
import { rotateJournal } from "../../src/ca/rotate.ts";
import { NOW, opensslVerify, P256_SPKI, SECOND, TRUST_DOMAIN } from "./oracle.ts";

describe("rotateJournal", () => {
  it("gives an empty journal its first active authority", async () => {
    const { journal, steps, nextAt } = await rotateJournal(emptyJournal(TRUST_DOMAIN), NOW, {
      ttlMs: 12 * SECOND,
    });
    expect(steps.map(({ action }) => action)).toEqual(["prepare", "activate"]);
    expect(activeX509Authority(journal)).toMatchObject({
      keyType: "ec-p256",
      activatedAt: NOW,
      notAfter: NOW + 12 * SECOND,
    });
    expect([journal.sequence, nextAt]).toEqual([1, NOW + 6 * SECOND]);
  });

  it("returns the same journal when nothing is due", async () => {
    const { journal } = await rotateJournal(emptyJournal(TRUST_DOMAIN), NOW, {
      ttlMs: 12 * SECOND,
    });
    expect((await rotateJournal(journal, NOW + SECOND, { ttlMs: 12 * SECOND })).journal).toBe(
      journal,
    );
  });

  it("uses the key type of the policy for the next authority", async () => {
    const first = await rotateJournal(emptyJournal(TRUST_DOMAIN), NOW, { ttlMs: 12 * SECOND });
    const options = { ttlMs: 12 * SECOND, keyType: "ec-p384" } as const;
    const { journal } = await rotateJournal(first.journal, NOW + 6 * SECOND, options);
    expect(journal.authorities).toMatchObject([
      { keyType: "ec-p256" },
      { keyType: "ec-p384", status: "prepared" },
    ]);
  });

  it("lives through a minute of 12 s authorities: every SVID verifies with the bundle of its last second", async () => {
    const options = { ttlMs: 12 * SECOND, pruneAfterMs: 0 };
    let journal = emptyJournal(TRUST_DOMAIN);
    let pending: { leaf: Buffer; notAfter: number }[] = [];
    const issuers = new Set<string>();
    let verified = 0;
    for (let now = NOW; now <= NOW + 60 * SECOND; now += SECOND) {
      ({ journal } = await rotateJournal(
        decodeJournal(encodeJournal(journal), TRUST_DOMAIN),
        now,
        options,
      ));
      const active = activeX509Authority(journal)!;
      issuers.add(active.id);
      const issuer = createX509Issuer(loadX509Authority(active, TRUST_DOMAIN));
      const svid = await issuer.issue({
        spiffeId: "spiffe://example.org/a",
        publicKey: P256_SPKI,
        dnsNames: [],
        ttlMs: 2 * SECOND,
        now,
      });
      pending.push({ leaf: svid.chain[0]!, notAfter: svid.notAfter });
      for (const { leaf } of pending.filter(({ notAfter }) => notAfter === now + SECOND)) {
        const anyVerifies = journalBundle(journal, 60).x509Authorities.some((root) =>
          verifies(root, leaf, now),
        );
        expect(anyVerifies).toBe(true);
        verified++;
      }
      pending = pending.filter(({ notAfter }) => notAfter > now + SECOND);
    }
    expect(verified).toBeGreaterThan(50);
    expect(issuers.size).toBeGreaterThanOrEqual(6);
  });
});

function verifies(root: Buffer, leaf: Buffer, at: number): boolean {
  try {
    return opensslVerify(root, leaf, at).includes("OK");
  } catch {
    return false;
  }
}
