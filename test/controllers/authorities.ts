import { loadX509Authority } from "../../src/ca/authority.ts";
import { journalBundle } from "../../src/ca/bundle.ts";
import { createX509Issuer } from "../../src/ca/issuer.ts";
import { activeAuthority, activeX509Authority, emptyJournal } from "../../src/ca/journal.ts";
import { loadJwtAuthority } from "../../src/ca/jwt-authority.ts";
import { createJwtIssuer } from "../../src/ca/jwt-issuer.ts";
import { rotateJournal } from "../../src/ca/rotate.ts";
import type { CaState } from "../../src/controllers/certificate-authority.ts";
import { liveValue } from "../../src/core/live.ts";
import type { LiveSource } from "../../src/core/live.ts";
import type { Bundle } from "../../src/spiffe/bundle.ts";
import { TRUST_DOMAIN } from "./cluster.ts";

export const DAY = 86_400_000;

/** A CA with one fresh authority that lives for ninety days from `now`. */
export async function freshCa(now = Date.now()): Promise<CaState> {
  const { journal } = await rotateJournal(emptyJournal(TRUST_DOMAIN), now, {
    ttlMs: 90 * DAY,
    jwt: { algorithm: "ES256", ttlMs: 90 * DAY },
  });
  const active = activeX509Authority(journal);
  const jwt = activeAuthority(journal, "jwt");
  if (!active || !jwt) throw new Error("no active authority");
  const jwtIssuer = createJwtIssuer(loadJwtAuthority(jwt), {
    trustDomain: TRUST_DOMAIN,
    issuer: `spiffe://${TRUST_DOMAIN}`,
  });
  const issuer = createX509Issuer(loadX509Authority(active, TRUST_DOMAIN));
  return {
    issuer,
    jwtIssuer,
    bundle: journalBundle(journal, 300),
    stored: { journal, resourceVersion: "1" },
    issue: (request) => issuer.issue(request),
    issueJwt: (request) => jwtIssuer.issue(request),
  };
}

/** A bundle of one fresh authority, and one with a second authority beside it. */
export async function twoBundles(): Promise<{
  first: Bundle;
  both: Bundle;
  live: LiveSource<Bundle>;
}> {
  const [{ bundle: first }, { bundle: second }] = await Promise.all([freshCa(), freshCa()]);
  const x509Authorities = [...first.x509Authorities, ...second.x509Authorities];
  return { first, both: { ...first, x509Authorities, sequence: 2 }, live: liveValue(first) };
}
