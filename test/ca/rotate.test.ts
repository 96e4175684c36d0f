import { createLocalJWKSet, jwtVerify } from "jose";
import type { JWK } from "jose";
import { describe, expect, it } from "vitest";
import { createX509Issuer } from "../../src/ca/issuer.ts";
import { loadX509Authority } from "../../src/ca/authority.ts";
import { journalBundle } from "../../src/ca/bundle.ts";
import {
  activeAuthority,
  activeX509Authority,
  authoritiesOf,
  decodeJournal,
  emptyJournal,
  encodeJournal,
} from "../../src/ca/journal.ts";
import { loadJwtAuthority } from "../../src/ca/jwt-authority.ts";
import { createJwtIssuer } from "../../src/ca/jwt-issuer.ts";
import { rotateJournal } from "../../src/ca/rotate.ts";
import { DAY, HOUR, NOW, opensslVerify, P256_SPKI, SECOND, TRUST_DOMAIN } from "./oracle.ts";

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

  it("gives an empty journal both authorities at once", async () => {
    const { journal, steps } = await rotateJournal(emptyJournal(TRUST_DOMAIN), NOW, {
      ttlMs: 12 * SECOND,
      jwt: { algorithm: "RS256", ttlMs: 60 * SECOND },
    });
    expect(steps.map(({ action, kind }) => `${action} ${kind}`)).toEqual([
      "prepare x509",
      "activate x509",
      "prepare jwt",
      "activate jwt",
    ]);
    expect(activeAuthority(journal, "jwt")).toMatchObject({
      algorithm: "RS256",
      sequence: 2,
      activatedAt: NOW,
      notAfter: NOW + 60 * SECOND,
    });
  });

  it("gives a journal of an earlier version its first JWT authority, and leaves the rest as it is", async () => {
    const before = (await rotateJournal(emptyJournal(TRUST_DOMAIN), NOW, { ttlMs: HOUR })).journal;
    const { journal } = await rotateJournal(before, NOW + SECOND, {
      ttlMs: HOUR,
      jwt: { algorithm: "ES256", ttlMs: HOUR },
    });
    expect(journal.authorities[0]).toEqual(before.authorities[0]);
    expect(journal.authorities).toHaveLength(2);
    expect(journal.sequence).toBe(before.sequence + 1);
    expect(activeAuthority(journal, "jwt")?.activatedAt).toBe(NOW + SECOND);
  });

  it("looks again when the first of both kinds needs it", async () => {
    const at = async (ttlMs: number, jwtTtlMs: number) => {
      const options = { ttlMs, jwt: { algorithm: "ES256", ttlMs: jwtTtlMs } } as const;
      return (await rotateJournal(emptyJournal(TRUST_DOMAIN), NOW, options)).nextAt - NOW;
    };
    expect(await at(20 * SECOND, 60 * SECOND)).toBe(10 * SECOND);
    expect(await at(60 * SECOND, 20 * SECOND)).toBe(10 * SECOND);
  });

  it("succeeds to another algorithm by way of the bundle, and never breaks what was signed", async () => {
    const life = 30 * DAY;
    const es = { ttlMs: life, jwt: { algorithm: "ES256", ttlMs: life } } as const;
    const rs = { ttlMs: life, jwt: { algorithm: "RS256", ttlMs: life } } as const;
    const first = (await rotateJournal(emptyJournal(TRUST_DOMAIN), NOW, es)).journal;
    const changed = await rotateJournal(first, NOW + HOUR, rs);
    const standings = (journal: typeof first) =>
      authoritiesOf(journal, "jwt").map(({ algorithm, status }) => `${algorithm} ${status}`);
    expect(standings(changed.journal)).toEqual(["ES256 active", "RS256 prepared"]);
    expect(changed.nextAt).toBe(NOW + HOUR + DAY);
    const early = await rotateJournal(changed.journal, NOW + HOUR + DAY - 1, rs);
    expect(early.journal).toBe(changed.journal);
    const later = await rotateJournal(changed.journal, NOW + HOUR + DAY, rs);
    expect(standings(later.journal)).toEqual(["ES256 old", "RS256 active"]);
    expect(journalBundle(later.journal, 60).jwtAuthorities).toHaveLength(2);
    expect(authoritiesOf(later.journal, "x509")).toHaveLength(1);
  });

  it("goes on with the old algorithm when the change is taken back in time", async () => {
    const es = { ttlMs: DAY, jwt: { algorithm: "ES256", ttlMs: DAY } } as const;
    const rs = { ttlMs: DAY, jwt: { algorithm: "RS256", ttlMs: DAY } } as const;
    const first = (await rotateJournal(emptyJournal(TRUST_DOMAIN), NOW, es)).journal;
    const changed = (await rotateJournal(first, NOW + HOUR, rs)).journal;
    const back = await rotateJournal(changed, NOW + 11 * HOUR, es);
    expect(back.journal).toBe(changed);
    const half = (await rotateJournal(changed, NOW + 12 * HOUR, es)).journal;
    expect(
      authoritiesOf(half, "jwt").map(({ algorithm, status }) => `${algorithm} ${status}`),
    ).toEqual(["ES256 active", "RS256 old", "ES256 prepared"]);
  });

  it("keeps few authorities, however short they live", async () => {
    const options = {
      ttlMs: 2 * SECOND,
      jwt: { algorithm: "ES256", ttlMs: 3 * SECOND },
    } as const;
    let journal = emptyJournal(TRUST_DOMAIN);
    for (let now = NOW; now <= NOW + 60 * SECOND; now += SECOND / 2) {
      ({ journal } = await rotateJournal(journal, now, options));
      expect(authoritiesOf(journal, "x509").length).toBeLessThanOrEqual(5);
      expect(authoritiesOf(journal, "jwt").length).toBeLessThanOrEqual(5);
    }
  });

  it("lives through a minute of 12 s keys: every token verifies with every bundle of its whole life", async () => {
    const options = {
      ttlMs: HOUR,
      pruneAfterMs: 0,
      jwt: { algorithm: "ES256", ttlMs: 12 * SECOND },
    } as const;
    let journal = emptyJournal(TRUST_DOMAIN);
    let living: { token: string; expiresAt: number }[] = [];
    let verified = 0;
    const signers = new Set<string>();
    for (let now = NOW; now <= NOW + 60 * SECOND; now += SECOND) {
      const text = encodeJournal(journal);
      ({ journal } = await rotateJournal(decodeJournal(text, TRUST_DOMAIN), now, options));
      const authority = loadJwtAuthority(activeAuthority(journal, "jwt")!);
      signers.add(authority.id);
      const issuer = createJwtIssuer(authority, { trustDomain: TRUST_DOMAIN, issuer: "x" });
      const request = { spiffeId: "spiffe://example.org/a", audiences: ["a"], ttlMs: 5 * SECOND };
      living.push(await issuer.issue({ ...request, now }));
      living = living.filter(({ expiresAt }) => expiresAt > now);
      const keys = journalBundle(journal, 60).jwtAuthorities as JWK[];
      for (const { token } of living) {
        await jwtVerify(token, createLocalJWKSet({ keys }), { currentDate: new Date(now) });
        verified += 1;
      }
    }
    expect(verified).toBeGreaterThan(200);
    expect(signers.size).toBeGreaterThanOrEqual(6);
  });

  it("lives through a minute of 12 s authorities authorities: every SVID verifies with the bundle of its last second", async () => {
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
