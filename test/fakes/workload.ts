import { generateKeyPairSync } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { SignJWT } from "jose";
import type { JWTPayload, JWTHeaderParameters } from "jose";
import { createX509Authority, loadX509Authority } from "../../src/ca/authority.ts";
import { createX509Issuer } from "../../src/ca/issuer.ts";
import { liveValue } from "../../src/core/live.ts";
import type { Bundle, JwtAuthority } from "../../src/spiffe/bundle.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import type {
  EntitledState,
  JwtSvidRequest,
  WorkloadSource,
  WorkloadState,
  WorkloadSvid,
} from "../../src/workload-api/ports.ts";

/** A signing key for tokens, with what verifies them. */
export interface TokenKey {
  readonly alg: string;
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly jwk: JwtAuthority;
}

/** A key of the kind that an algorithm needs. */
export function tokenKey(kid: string, alg = "ES256"): TokenKey {
  const curve = { "256": "P-256", "384": "P-384", "512": "P-521" }[alg.slice(2)] ?? "P-256";
  const { privateKey, publicKey } = alg.startsWith("ES")
    ? generateKeyPairSync("ec", { namedCurve: curve })
    : generateKeyPairSync("rsa", { modulusLength: 2048 });
  return {
    alg,
    kid,
    privateKey,
    jwk: { ...publicKey.export({ format: "jwk" }), kid } as JwtAuthority,
  };
}

/** Signs any claims with any header, also wrong ones. */
export function signToken(
  key: TokenKey,
  claims: JWTPayload,
  header: Partial<JWTHeaderParameters> = {},
): Promise<string> {
  const base = { alg: key.alg, kid: key.kid, typ: "JWT" };
  return new SignJWT(claims).setProtectedHeader({ ...base, ...header }).sign(key.privateKey);
}

export interface SvidOptions {
  readonly hint?: string;
  readonly ttlMs?: number;
}

/** A trust domain with its CA and its token key. */
export interface TestDomain {
  readonly name: string;
  readonly key: TokenKey;
  svid(path: string, options?: SvidOptions): Promise<WorkloadSvid>;
  readonly bundle: Bundle;
  /** A state with these SVIDs of the domain. */
  state(svids: readonly WorkloadSvid[], federated?: readonly TestDomain[]): EntitledState;
}

/** Makes a trust domain with the CA that Signet itself uses. */
export async function testDomain(name = "example.org"): Promise<TestDomain> {
  const trustDomain = parseTrustDomain(name);
  const material = await createX509Authority({ trustDomain, ttlMs: 86_400_000, now: Date.now() });
  const authority = loadX509Authority(material, trustDomain);
  const issuer = createX509Issuer(authority);
  const key = tokenKey(`key-of-${name}`);
  const bundle: Bundle = {
    trustDomain,
    x509Authorities: [authority.certificate],
    jwtAuthorities: [key.jwk],
    sequence: 1,
    refreshHint: 300,
  };
  return {
    name,
    key,
    bundle,
    async svid(path, { hint = "", ttlMs = 3_600_000 } = {}) {
      const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const issued = await issuer.issue({
        spiffeId: `spiffe://${name}${path}`,
        publicKey: pair.publicKey.export({ type: "spki", format: "der" }),
        dnsNames: [],
        ttlMs,
        now: Date.now(),
      });
      const privateKey = pair.privateKey.export({ type: "pkcs8", format: "der" });
      return { spiffeId: issued.spiffeId, chain: issued.chain, privateKey, hint };
    },
    state: (svids, federated = []) => ({
      status: "entitled",
      trustDomain,
      svids,
      bundle,
      federatedBundles: new Map(
        federated.map((other) => [parseTrustDomain(other.name), other.bundle]),
      ),
    }),
  };
}

/** A workload whose state a test sets, and whose tokens are signed by its trust domain. */
export interface TestWorkload extends WorkloadSource {
  set(state: WorkloadState): void;
  /** How many listen to changes. */
  readonly listeners: number;
  /** What tokens were asked for. */
  readonly asked: JwtSvidRequest[];
  /** Replaces how tokens are made. */
  fetch: WorkloadSource["fetchJwtSvids"];
}

export function testWorkload(domain: TestDomain, initial: WorkloadState): TestWorkload {
  const state = liveValue(initial);
  const asked: JwtSvidRequest[] = [];
  let listeners = 0;
  const workload: TestWorkload = {
    asked,
    get listeners() {
      return listeners;
    },
    current: () => state.get(),
    set: (next) => state.set(next),
    subscribe(listener) {
      listeners += 1;
      const end = state.subscribe(() => listener());
      return () => {
        listeners -= 1;
        end();
      };
    },
    fetch({ audiences, spiffeId }) {
      const current = state.get();
      const svids = current.status === "entitled" ? current.svids : [];
      const expiresAt = Date.now() + 300_000;
      return Promise.all(
        svids
          .filter((svid) => spiffeId === undefined || svid.spiffeId === spiffeId)
          .map(async ({ spiffeId: sub, hint }) => {
            const claims = { sub, aud: [...audiences], exp: Math.floor(expiresAt / 1000) };
            const iat = Math.floor(Date.now() / 1000);
            return {
              spiffeId: sub,
              hint,
              expiresAt,
              token: await signToken(domain.key, { ...claims, iat }),
            };
          }),
      );
    },
    fetchJwtSvids(request) {
      asked.push(request);
      return workload.fetch(request);
    },
  };
  return workload;
}
