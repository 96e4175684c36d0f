import { calculateJwkThumbprint, importPKCS8 } from "jose";
import type { JWK } from "jose";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { JWT_ALGORITHMS } from "../../src/ca/jwt-algorithm.ts";
import type { JwtAlgorithm } from "../../src/ca/jwt-algorithm.ts";
import { createJwtAuthority, loadJwtAuthority } from "../../src/ca/jwt-authority.ts";
import { DAY, NOW, openssl, SECOND, thrown } from "./oracle.ts";

const make = (algorithm: JwtAlgorithm = "ES256", ttlMs = DAY) =>
  createJwtAuthority({ algorithm, ttlMs, now: NOW });

describe("a new JWT authority", () => {
  it.each<[JwtAlgorithm, string]>([
    ["ES256", "256 bit"],
    ["ES384", "384 bit"],
    ["ES512", "521 bit"],
    ["RS256", "2048 bit"],
    ["PS512", "2048 bit"],
  ])("for %s has a key of %s, by OpenSSL (JWT-13)", async (algorithm, size) => {
    const { privateKey } = await make(algorithm);
    expect(openssl(["pkey", "-noout", "-text"], privateKey)).toContain(`(${size}`);
  });

  it.each(JWT_ALGORITHMS)(
    "for %s is named by its key's thumbprint (RFC 7638)",
    async (algorithm) => {
      const { id, verifier } = loadJwtAuthority(await make(algorithm));
      expect(verifier).toMatchObject({ kid: id, alg: algorithm });
      expect(await calculateJwkThumbprint(verifier as JWK)).toBe(id);
    },
  );

  it.each(JWT_ALGORITHMS)("for %s shows bundles no private part (JWT-16)", async (algorithm) => {
    const { verifier } = loadJwtAuthority(await make(algorithm));
    const members = algorithm.startsWith("ES") ? ["crv", "x", "y"] : ["e", "n"];
    expect(Object.keys(verifier).toSorted()).toEqual(["alg", "kid", "kty", ...members].toSorted());
  });

  it("has a PKCS#8 key that other programs read", async () => {
    await expect(importPKCS8((await make()).privateKey, "ES256")).resolves.toBeDefined();
  });

  it("ends at a whole second, no later than its lifetime", async () => {
    const { notAfter } = await createJwtAuthority({
      algorithm: "ES256",
      ttlMs: 12_345,
      now: NOW + 700,
    });
    expect(notAfter).toBe(NOW + 13 * SECOND);
  });

  it.each([0, 999, Number.NaN])("cannot live for %s ms", async (ttlMs) => {
    expect(await thrown(() => make("ES256", ttlMs))).toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});

describe("a stored JWT authority", () => {
  it("is refused with another key than its ID says", async () => {
    const [one, other] = [await make(), await make()];
    const error = await thrown(() => loadJwtAuthority({ ...one, privateKey: other.privateKey }));
    expect(error).toMatchObject({
      code: "MALFORMED",
      message: `JWT authority ${one.id}: ID is not the thumbprint of the key`,
    });
  });

  it.each<[JwtAlgorithm, JwtAlgorithm]>([
    ["ES256", "ES384"],
    ["ES384", "ES256"],
    ["ES512", "ES384"],
    ["ES256", "RS256"],
    ["RS256", "ES256"],
    ["ES384", "PS384"],
  ])("with a key for %s is refused for %s (JWT-13)", async (made, algorithm) => {
    const material = await make(made);
    expect(await thrown(() => loadJwtAuthority({ ...material, algorithm }))).toMatchObject({
      code: "MALFORMED",
      message: `JWT authority ${material.id}: private key cannot be used with ${algorithm}`,
    });
  });

  it("is refused with an RSA key that is too short (JWT-13)", async () => {
    const privateKey = openssl([
      "genpkey",
      "-algorithm",
      "RSA",
      "-pkeyopt",
      "rsa_keygen_bits:1024",
    ]);
    const material = { ...(await make("RS256")), privateKey };
    expect(await thrown(() => loadJwtAuthority(material))).toMatchObject({
      message: expect.stringContaining("cannot be used with RS256"),
    });
  });

  it("shows no part of the key when it cannot be read", async () => {
    const material = await make();
    const secret = material.privateKey.split("\n")[1] ?? "";
    const torn = { ...material, privateKey: `-----BEGIN PRIVATE KEY-----\n${secret}` };
    const error = await thrown(() => loadJwtAuthority(torn));
    expect(error.message).toBe(`JWT authority ${material.id}: private key cannot be read`);
    expect(inspect(error, { depth: 9 })).not.toContain(secret);
  });
});
