import * as fc from "fast-check";
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";
import type { JWK } from "jose";
import { createPublicKey } from "node:crypto";
import type { JsonWebKey } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { JWT_ALGORITHMS } from "../../src/ca/jwt-algorithm.ts";
import type { JwtAlgorithm } from "../../src/ca/jwt-algorithm.ts";
import { createJwtAuthority, loadJwtAuthority } from "../../src/ca/jwt-authority.ts";
import type { JwtAuthority } from "../../src/ca/jwt-authority.ts";
import { createJwtIssuer } from "../../src/ca/jwt-issuer.ts";
import type { JwtIssuer, JwtSvidRequest } from "../../src/ca/jwt-issuer.ts";
import { DAY, HOUR, NOW, openssl, SECOND, thrown, TRUST_DOMAIN, withFiles } from "./oracle.ts";

/*
 * Rows of the standards' checklist about issuing: JWT-1 to JWT-7, JWT-9 to JWT-11, JWT-13, JWT-19 and JWT-20.
 * JWT-8 (one audience is best) is the caller's choice; JWT-12, JWT-17 and JWT-18 are a validator's.
 */

const ISSUER = `spiffe://${TRUST_DOMAIN}`;
const ID = "spiffe://example.org/ns/shop/sa/web";
const REQUEST: JwtSvidRequest = { spiffeId: ID, audiences: ["db"], ttlMs: 300 * SECOND, now: NOW };

const authorities = new Map<JwtAlgorithm, JwtAuthority>();
const issuers = new Map<JwtAlgorithm, JwtIssuer>();
beforeAll(async () => {
  for (const algorithm of JWT_ALGORITHMS) {
    const authority = loadJwtAuthority(
      await createJwtAuthority({ algorithm, ttlMs: DAY, now: NOW }),
    );
    authorities.set(algorithm, authority);
    const options = { trustDomain: TRUST_DOMAIN, issuer: ISSUER };
    issuers.set(algorithm, createJwtIssuer(authority, options));
  }
});
const authorityOf = (algorithm: JwtAlgorithm): JwtAuthority => authorities.get(algorithm)!;
const issuerOf = (algorithm: JwtAlgorithm): JwtIssuer => issuers.get(algorithm)!;
const issue = (request: Partial<JwtSvidRequest> = {}, algorithm: JwtAlgorithm = "ES256") =>
  issuerOf(algorithm).issue({ ...REQUEST, ...request });

describe.each(JWT_ALGORITHMS)("a JWT-SVID signed with %s", (algorithm) => {
  it("verifies with another library by the key of the bundle (JWT-3, JWT-13)", async () => {
    const { token } = await issue({}, algorithm);
    const keys = createLocalJWKSet({ keys: [authorityOf(algorithm).verifier as JWK] });
    const { payload } = await jwtVerify(token, keys, {
      algorithms: [algorithm],
      audience: "db",
      issuer: ISSUER,
      currentDate: new Date(NOW),
    });
    expect(payload.sub).toBe(ID);
  });

  it("has the header alg, kid and typ, and nothing beside (JWT-2, JWT-4, JWT-5)", async () => {
    const { token } = await issue({}, algorithm);
    const kid = authorityOf(algorithm).id;
    expect(decodeProtectedHeader(token)).toEqual({ alg: algorithm, kid, typ: "JWT" });
  });

  it("is three parts of unpadded base64url (JWT-1, JWT-13)", async () => {
    expect((await issue({}, algorithm)).token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
  });
});

describe("a signature", () => {
  it.each<[JwtAlgorithm, number]>([
    ["ES256", 64],
    ["ES384", 96],
    ["ES512", 132],
    ["RS256", 256],
    ["PS512", 256],
  ])("of %s has %i bytes: R and S side by side, not DER (JWT-13)", async (algorithm, length) => {
    for (let round = 0; round < 5; round += 1) {
      const { token } = await issue({}, algorithm);
      expect(Buffer.from(token.split(".")[2] ?? "", "base64url")).toHaveLength(length);
    }
  });

  it.each<[JwtAlgorithm, string[]]>([
    ["RS256", ["-sha256"]],
    ["RS384", ["-sha384"]],
    ["RS512", ["-sha512"]],
    ["PS256", ["-sha256", ...pss(32)]],
    ["PS384", ["-sha384", ...pss(48)]],
    ["PS512", ["-sha512", ...pss(64)]],
  ])("of %s is right by OpenSSL, its salt as long as the hash", async (algorithm, options) => {
    const { token } = await issue({}, algorithm);
    const [header, payload, signature = ""] = token.split(".");
    const key = createPublicKey({
      key: { ...authorityOf(algorithm).verifier } as JsonWebKey,
      format: "jwk",
    });
    const pem = key.export({ type: "spki", format: "pem" }).toString();
    const bytes = Buffer.from(signature, "base64url");
    const said = withFiles([pem, bytes], (keyFile = "", signatureFile = "") =>
      openssl(
        ["dgst", ...options, "-verify", keyFile, "-signature", signatureFile],
        `${header}.${payload}`,
      ),
    );
    expect(said).toContain("Verified OK");
  });
});

function pss(saltBytes: number): string[] {
  const options = ["rsa_padding_mode:pss", `rsa_pss_saltlen:${saltBytes}`];
  return options.flatMap((option) => ["-sigopt", option]);
}

describe("the claims of a JWT-SVID", () => {
  it("are iss, sub, aud, iat, exp and jti (JWT-6, JWT-7, JWT-9, JWT-20)", async () => {
    const { token, issuedAt, expiresAt, tokenId, authorityId } = await issue();
    expect(decodeJwt(token)).toEqual({
      iss: ISSUER,
      sub: ID,
      aud: ["db"],
      iat: NOW / SECOND,
      exp: NOW / SECOND + 300,
      jti: tokenId,
    });
    expect([issuedAt, expiresAt]).toEqual([NOW, NOW + 300 * SECOND]);
    expect(authorityId).toBe(authorityOf("ES256").id);
  });

  it("hold all audiences as a list, in their order", async () => {
    const audiences = ["z", "https://a.example/?q=1", "Ω"];
    expect(decodeJwt((await issue({ audiences })).token).aud).toEqual(audiences);
  });

  it("name every token differently, by 128 random bits (JWT-19)", async () => {
    const ids = await Promise.all(
      Array.from({ length: 1000 }, async () => (await issue()).tokenId),
    );
    expect(new Set(ids).size).toBe(1000);
    for (const id of ids) expect(Buffer.from(id, "base64url")).toHaveLength(16);
  });

  it("may be others beside, which never replace the registered ones (JWT-11)", async () => {
    const forged = { iss: "x", sub: "x", aud: "x", exp: "x", iat: "x", jti: "x" };
    const claims = { ...forged, "example.org/team": 'blue "ü"' };
    const { token } = await issue({ claims });
    expect(decodeJwt(token)).toMatchObject({
      iss: ISSUER,
      sub: ID,
      aud: ["db"],
      iat: NOW / SECOND,
      exp: NOW / SECOND + 300,
      "example.org/team": 'blue "ü"',
    });
    expect(decodeJwt(token).jti).not.toBe("x");
  });
});

describe("the end of a JWT-SVID", () => {
  it("is never after that of its authority, nor more than the lifetime away, and always ahead", async () => {
    const end = authorityOf("ES256").notAfter;
    const moments = fc.integer({ min: 0, max: DAY - SECOND });
    const lifetimes = fc.integer({ min: SECOND, max: 30 * DAY });
    await fc.assert(
      fc.asyncProperty(moments, lifetimes, async (since, ttlMs) => {
        const now = NOW + since;
        const { expiresAt, issuedAt, token } = await issue({ now, ttlMs });
        expect(expiresAt).toBeLessThanOrEqual(Math.min(end, now + ttlMs));
        expect(expiresAt).toBeGreaterThan(Math.min(end, now + ttlMs) - SECOND);
        expect(expiresAt).toBeGreaterThan(now);
        expect(issuedAt).toBeLessThanOrEqual(now);
        const { iat = 0, exp = 0 } = decodeJwt(token);
        expect([iat, exp]).toEqual([issuedAt / SECOND, expiresAt / SECOND]);
      }),
      { numRuns: 200 },
    );
  });

  it("cannot be asked for once the authority has expired", async () => {
    const error = await thrown(() => issue({ now: NOW + DAY }));
    expect(error).toMatchObject({
      code: "FAILED_PRECONDITION",
      message: "the JWT authority expired at 2026-03-05T05:06:07.000Z",
    });
  });
});

describe("a JWT-SVID is refused", () => {
  it.each([[[]], [[""]], [["a", ""]]])("for the audiences %j (JWT-7)", async (audiences) => {
    expect(await thrown(() => issue({ audiences }))).toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  it.each([
    "alice",
    "",
    "spiffe://example.org",
    "spiffe://example.org/a//b",
    "spiffe://b.example/a",
  ])("for the subject %j (JWT-6)", async (spiffeId) => {
    expect(await thrown(() => issue({ spiffeId }))).toMatchObject({ code: "INVALID_SPIFFE_ID" });
  });

  it.each([0, 999, -HOUR, Number.NaN])("for a lifetime of %s ms", async (ttlMs) => {
    expect(await thrown(() => issue({ ttlMs }))).toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});
