import { exportJWK, generateKeyPair, SignJWT } from "jose";
import type { JSONWebKeySet } from "jose";
import type { SigningKeys } from "../../src/issuer/tokens.ts";

export interface TokenFacts {
  readonly namespace?: string;
  readonly serviceAccount?: string;
  readonly podName?: string;
  readonly podUid?: string;
  readonly nodeName?: string | undefined;
  readonly audience?: string;
  readonly issuer?: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt?: number;
  readonly notBefore?: number;
  readonly unbound?: boolean;
}

/** The API server's token issuer in miniature: real keys, real signatures, real claims. */
export interface FakeTokenIssuer {
  readonly keys: () => Promise<SigningKeys>;
  /** How often the keys were fetched. */
  readonly fetches: number;
  sign(facts: TokenFacts): Promise<string>;
  /** Signs with a new key from now on; old tokens stay valid, as after a key rotation. */
  rotate(): Promise<void>;
  /** Stops publishing the oldest key. */
  withdrawOldest(): void;
  /** Names itself otherwise from now on. */
  rename(issuer: string): void;
}

const ISSUER = "https://kubernetes.default.svc.cluster.local";

export async function fakeTokenIssuer(audience = "signet"): Promise<FakeTokenIssuer> {
  const published: JSONWebKeySet = { keys: [] };
  let fetches = 0;
  let made = 0;
  let name = ISSUER;
  let current: {
    kid: string;
    privateKey: Awaited<ReturnType<typeof generateKeyPair>>["privateKey"];
  };
  const addKey = async (): Promise<void> => {
    const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
    made += 1;
    const kid = `key-${made}`;
    published.keys.push({ ...(await exportJWK(publicKey)), kid, alg: "ES256", use: "sig" });
    current = { kid, privateKey };
  };
  await addKey();
  return {
    get fetches() {
      return fetches;
    },
    keys: async () => {
      fetches += 1;
      return { issuer: name, jwks: structuredClone(published) };
    },
    rotate: addKey,
    withdrawOldest: () => void published.keys.shift(),
    rename: (issuer) => (name = issuer),
    sign: (facts) =>
      new SignJWT({ "kubernetes.io": boundClaims(facts) })
        .setProtectedHeader({ alg: "ES256", kid: current.kid })
        .setIssuer(facts.issuer ?? name)
        .setAudience(facts.audience ?? audience)
        .setSubject(
          `system:serviceaccount:${facts.namespace ?? "shop"}:${facts.serviceAccount ?? "default"}`,
        )
        .setIssuedAt(0)
        .setNotBefore(Math.floor((facts.notBefore ?? 0) / 1000))
        .setExpirationTime(Math.floor((facts.expiresAt ?? Date.now() + 600_000) / 1000))
        .sign(current.privateKey),
  };
}

function boundClaims(facts: TokenFacts): Record<string, unknown> {
  const {
    namespace = "shop",
    serviceAccount = "default",
    podName = "web",
    podUid = "uid-web",
  } = facts;
  return {
    namespace,
    serviceaccount: { name: serviceAccount, uid: `uid-${serviceAccount}` },
    ...(facts.unbound ? {} : { pod: { name: podName, uid: podUid } }),
    ...(facts.nodeName === undefined
      ? {}
      : { node: { name: facts.nodeName, uid: `uid-${facts.nodeName}` } }),
  };
}
