/** JWT-SVIDs signed per second by algorithm, beside jose, the library that would do it otherwise. */
import { randomUUID } from "node:crypto";
import { importPKCS8, SignJWT } from "jose";
import { JWT_ALGORITHMS } from "../src/ca/jwt-algorithm.ts";
import type { JwtAlgorithm } from "../src/ca/jwt-algorithm.ts";
import { createJwtAuthority, loadJwtAuthority } from "../src/ca/jwt-authority.ts";
import { createJwtIssuer } from "../src/ca/jwt-issuer.ts";
import { parseTrustDomain } from "../src/spiffe/trust-domain.ts";
import { median } from "./median.ts";

const SLICE_MS = 300;
const ROUNDS = 3;
const IN_FLIGHT = 32;
const ISSUER = "spiffe://example.org";
const ID = "spiffe://example.org/ns/shop/sa/web";

type Sign = () => Promise<unknown>;

/** Runs the benchmark, about 18 s, and gives its lines. */
export async function run(): Promise<string[]> {
  const lines = [`JWT-SVIDs signed per second, ${IN_FLIGHT} in flight (median of ${ROUNDS})`];
  for (const algorithm of JWT_ALGORITHMS) {
    const { signet, jose } = await signers(algorithm);
    const rates = { signet: [] as number[], jose: [] as number[] };
    for (let round = 0; round < ROUNDS; round += 1) {
      rates.signet.push(await rateOf(signet));
      rates.jose.push(await rateOf(jose));
    }
    const [ours, theirs] = [median(rates.signet), median(rates.jose)];
    const ratio = (ours / theirs).toFixed(1);
    lines.push(
      `  ${algorithm}  ${Math.round(ours)}/s, jose ${Math.round(theirs)}/s: ${ratio} times`,
    );
  }
  return lines;
}

async function signers(algorithm: JwtAlgorithm): Promise<{ signet: Sign; jose: Sign }> {
  const now = Date.now();
  const material = await createJwtAuthority({ algorithm, ttlMs: 86_400_000, now });
  const trustDomain = parseTrustDomain("example.org");
  const issuer = createJwtIssuer(loadJwtAuthority(material), { trustDomain, issuer: ISSUER });
  const key = await importPKCS8(material.privateKey, algorithm);
  const iat = Math.floor(now / 1000);
  const request = { spiffeId: ID, audiences: ["db"], ttlMs: 300_000, now };
  return {
    signet: () => issuer.issue(request),
    jose: () =>
      new SignJWT({ iss: ISSUER, sub: ID, aud: ["db"], iat, exp: iat + 300, jti: randomUUID() })
        .setProtectedHeader({ alg: algorithm, kid: material.id, typ: "JWT" })
        .sign(key),
  };
}

async function rateOf(sign: Sign): Promise<number> {
  const startedAt = performance.now();
  let signed = 0;
  const work = async (): Promise<void> => {
    while (performance.now() - startedAt < SLICE_MS) {
      await sign();
      signed += 1;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  return (signed * 1000) / (performance.now() - startedAt);
}

if (import.meta.main) console.log((await run()).join("\n"));
