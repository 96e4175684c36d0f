import { createHmac, createSign } from "node:crypto";
import { FlattenedSign, GeneralSign } from "jose";
import fc from "fast-check";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SpiffeWorkloadAPI } from "../../src/rpc/gen/spiffe/workload/workload_pb.js";
import type { Bundle, JwtAuthority } from "../../src/spiffe/bundle.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import { jwtSvidValidator } from "../../src/workload-api/jwt-validation.ts";
import { signToken, testDomain, testWorkload, tokenKey } from "../fakes/workload.ts";
import type { TestDomain, TestWorkload, TokenKey } from "../fakes/workload.ts";
import { HEADERS, serve } from "./world.ts";
import type { World } from "./world.ts";

const NOW = 1_800_000_000_000;
const SECONDS = NOW / 1000;
const SUBJECT = "spiffe://example.org/web";
const CLAIMS = { sub: SUBJECT, aud: ["api"], exp: SECONDS + 300, iat: SECONDS };

let key: TokenKey;
let rsa: TokenKey;
let validate: ReturnType<typeof jwtSvidValidator>;
beforeAll(() => {
  key = tokenKey("k1");
  rsa = tokenKey("r1", "RS256");
  validate = jwtSvidValidator();
});

interface Changes {
  readonly claims?: Record<string, unknown>;
  readonly header?: Record<string, unknown>;
  readonly key?: TokenKey;
}

const token = ({ claims = {}, header = {}, key: signer = key }: Changes = {}): Promise<string> =>
  signToken(signer, { ...CLAIMS, ...claims }, header);

function check(text: string, keys: readonly JwtAuthority[] = [key.jwk, rsa.jwk], now = NOW) {
  const bundle: Bundle = {
    trustDomain: parseTrustDomain("example.org"),
    x509Authorities: [],
    jwtAuthorities: keys,
    sequence: 1,
    refreshHint: 300,
  };
  const bundleOf = (name: string) => (name === "example.org" ? bundle : undefined);
  return validate(text, { audience: "api", bundleOf, now });
}

const refused = (rule: string) => ({
  code: "INVALID_ARGUMENT",
  message: expect.stringContaining(rule) as string,
});
const part = (value: unknown): string =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

it.each(["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"])(
  "accepts a token in %s [JWT-3]",
  async (alg) => {
    const signer = tokenKey("k", alg);
    const { id, claims } = await check(await token({ key: signer }), [signer.jwk]);
    expect(id.uri).toBe(SUBJECT);
    expect(claims).toEqual(CLAIMS);
  },
);

it.each<[string, () => Promise<string> | string, string]>([
  [
    "no algorithm at all [JWT-3]",
    () => `${part({ alg: "none", kid: "k1" })}.${part(CLAIMS)}.`,
    "algorithm",
  ],
  ["a missing alg", () => `${part({ kid: "k1" })}.${part(CLAIMS)}.AA`, "algorithm"],
  [
    "HS256 with the public key as its secret",
    () => {
      const signed = `${part({ alg: "HS256", kid: "k1" })}.${part(CLAIMS)}`;
      const secret = Buffer.from(key.jwk.x ?? "", "base64url");
      return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
    },
    "algorithm",
  ],
  ["EdDSA", () => `${part({ alg: "EdDSA", kid: "k1" })}.${part(CLAIMS)}.AA`, "algorithm"],
  ["ES256K", () => `${part({ alg: "ES256K", kid: "k1" })}.${part(CLAIMS)}.AA`, "algorithm"],
  [
    "a token of two parts [JWT-1]",
    () => `${part({ alg: "ES256", kid: "k1" })}.${part(CLAIMS)}`,
    "compact form",
  ],
  ["an encrypted token [JWT-1]", () => "a.b.c.d.e", "compact form"],
  [
    "flattened JSON [JWT-1]",
    async () => {
      const jws = await new FlattenedSign(Buffer.from(JSON.stringify(CLAIMS)))
        .setProtectedHeader({ alg: "ES256", kid: "k1" })
        .sign(key.privateKey);
      return JSON.stringify(jws);
    },
    "not valid",
  ],
  [
    "general JSON [JWT-1]",
    async () => {
      const general = new GeneralSign(Buffer.from(JSON.stringify(CLAIMS)));
      general.addSignature(key.privateKey).setProtectedHeader({ alg: "ES256", kid: "k1" });
      return JSON.stringify(await general.sign());
    },
    "not valid",
  ],
  ["a header that is no JSON", () => `${part("{")}.${part(CLAIMS)}.AA`, "header cannot be read"],
  [
    "a payload that is no JSON",
    () => `${part({ alg: "ES256", kid: "k1" })}.${part("{")}.AA`,
    "not JSON",
  ],
  [
    "a payload that is a list",
    () => `${part({ alg: "ES256", kid: "k1" })}.${part([])}.AA`,
    "JSON object",
  ],
  ["no kid [JWT-4]", () => token({ header: { kid: undefined } }), '"kid"'],
  ["an empty kid", () => token({ header: { kid: "" } }), '"kid"'],
  [
    "a kid that the bundle does not have",
    () => token({ header: { kid: "other" } }),
    'no JWT key "other"',
  ],
  ["the type of a WIT-SVID [JWT-5]", () => token({ header: { typ: "wit+jwt" } }), '"typ"'],
  ["the type of an access token", () => token({ header: { typ: "at+jwt" } }), '"typ"'],
  ["a type in lower case", () => token({ header: { typ: "jwt" } }), '"typ"'],
  [
    "a critical header [JWT-2]",
    () => `${part({ alg: "ES256", kid: "k1", crit: ["x"], x: 1 })}.${part(CLAIMS)}.AA`,
    '"crit"',
  ],
  ["no subject [JWT-6]", () => token({ claims: { sub: undefined } }), "no subject"],
  ["a subject that is no SPIFFE ID", () => token({ claims: { sub: "alice" } }), "not a SPIFFE ID"],
  [
    "a subject with a slash at its end",
    () => token({ claims: { sub: "spiffe://example.org/" } }),
    "not a SPIFFE ID",
  ],
  [
    "a subject in upper case",
    () => token({ claims: { sub: "SPIFFE://example.org/web" } }),
    "not a SPIFFE ID",
  ],
  [
    "a trust domain that is not known [JWT-18 WAPI-11]",
    () => token({ claims: { sub: "spiffe://other.test/web" } }),
    "other.test",
  ],
  ["no audience [JWT-7]", () => token({ claims: { aud: undefined } }), "no audience"],
  ["an empty list of audiences", () => token({ claims: { aud: [] } }), "no audience"],
  ["an audience that is no text", () => token({ claims: { aud: ["api", 1] } }), "no audience"],
  ["another audience", () => token({ claims: { aud: ["other"] } }), "not meant for"],
  [
    "an audience that only begins like ours",
    () => token({ claims: { aud: ["api2", "ap"] } }),
    "not meant for",
  ],
  ["no expiry [JWT-9]", () => token({ claims: { exp: undefined } }), "no expiry"],
  ["an expiry in text", () => token({ claims: { exp: String(SECONDS + 300) } }), "no expiry"],
  ["an expiry that has come", () => token({ claims: { exp: SECONDS } }), "expired"],
  [
    "a beginning in the future [JWT-12]",
    () => token({ claims: { nbf: SECONDS + 61 } }),
    '"nbf" lies in the future',
  ],
  ["a beginning in text", () => token({ claims: { nbf: "now" } }), '"nbf" is not a number'],
  [
    "an issue in the future [GO-17]",
    () => token({ claims: { iat: SECONDS + 61 } }),
    '"iat" lies in the future',
  ],
  [
    "claims that nest too deep",
    () => token({ claims: { deep: JSON.parse("[".repeat(40) + "]".repeat(40)) } }),
    "nest deeper",
  ],
  [
    "a signature in DER [JWT-13]",
    () => {
      const signed = `${part({ alg: "ES256", kid: "k1" })}.${part(CLAIMS)}`;
      return `${signed}.${createSign("SHA256").update(signed).sign(key.privateKey).toString("base64url")}`;
    },
    "signature",
  ],
])("refuses %s", async (_name, make, rule) => {
  await expect(check(await make())).rejects.toMatchObject(refused(rule));
});

it("accepts what the rules allow: no type or JOSE, one audience in text, small clock skew, a fractional expiry", async () => {
  const cases: Changes[] = [
    { header: { typ: undefined } },
    { header: { typ: "JOSE" } },
    { claims: { aud: "api" } },
    { claims: { nbf: SECONDS + 59, iat: SECONDS + 59 } },
    { claims: { exp: SECONDS + 0.5, iat: undefined } },
    { claims: { private: { a: [1, true, null] }, jti: "j" } },
  ];
  for (const change of cases) {
    expect((await check(await token(change))).id.uri).toBe(SUBJECT);
  }
});

it("accepts the same token again, and one for many audiences [JWT-19]", async () => {
  const text = await token({ claims: { jti: "once", aud: ["x", "api", "y"] } });
  await check(text);
  expect((await check(text)).claims["jti"]).toBe("once");
});

it("refuses a token whose signed part was changed in any bit [ID-20]", async () => {
  const text = await token();
  const end = text.lastIndexOf(".");
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: end - 1 }),
      fc.constantFrom("A", "b", "_"),
      async (at, letter) => {
        fc.pre(text[at] !== letter && text[at] !== ".");
        const forged = text.slice(0, at) + letter + text.slice(at + 1);
        await expect(check(forged)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      },
    ),
    { numRuns: 60 },
  );
});

it("uses only a key whose kind, curve and algorithm fit the token's [JWT-13]", async () => {
  const text = await token();
  const p384 = tokenKey("k1", "ES384");
  await expect(check(text, [p384.jwk])).rejects.toMatchObject(refused("signature"));
  await expect(check(text, [{ ...rsa.jwk, kid: "k1" }])).rejects.toMatchObject(
    refused("signature"),
  );
  await expect(check(text, [{ ...key.jwk, alg: "ES384" }])).rejects.toMatchObject(
    refused("signature"),
  );
  await expect(check(text, [{ ...key.jwk, alg: "ES256" }])).resolves.toBeDefined();
  const ps = await signToken(rsa, CLAIMS, { alg: "PS256" });
  await expect(check(ps, [{ ...rsa.jwk, alg: "RS256" }])).rejects.toMatchObject(
    refused("signature"),
  );
});

it("tries every key of that name", async () => {
  const other = tokenKey("k1");
  await expect(check(await token(), [other.jwk, key.jwk])).resolves.toBeDefined();
  await expect(check(await token(), [other.jwk])).rejects.toMatchObject(refused("signature"));
});

it("never uses a key that the token itself brings [JWT-2]", async () => {
  const own = tokenKey("k1");
  const text = await token({
    key: own,
    header: { jwk: own.jwk, jku: "https://a.test", x5c: ["AA=="] },
  });
  await expect(check(text)).rejects.toMatchObject(refused("signature"));
});

it("answers any text as a wrong token", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.string(),
        fc.array(fc.base64String(), { minLength: 3, maxLength: 3 }).map((parts) => parts.join(".")),
      ),
      async (text) => {
        await expect(check(text)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      },
    ),
  );
});

describe("ValidateJWTSVID", () => {
  let domain: TestDomain;
  let foreign: TestDomain;
  let workload: TestWorkload;
  let world: World;
  beforeAll(async () => {
    [domain, foreign] = [await testDomain(), await testDomain("partner.test")];
  });
  beforeEach(async () => {
    workload = testWorkload(domain, domain.state([await domain.svid("/web")], [foreign]));
    world = await serve(workload);
  });
  afterEach(() => world.close());

  const call = (request: { audience: string; svid: string }) =>
    world.client().unary(SpiffeWorkloadAPI.method.validateJWTSVID, request, { headers: HEADERS });
  const claims = (name: string, extra: Record<string, unknown> = {}) => ({
    sub: `spiffe://${name}/a`,
    aud: "api",
    exp: Math.floor(Date.now() / 1000) + 60,
    ...extra,
  });

  it("gives the ID and all claims of the own trust domain, the audience as a list [JWT-11 WAPI-29 WAPI-30]", async () => {
    const own = claims("example.org", { tenant: { id: 7, tags: ["x", null, true] } });
    const { spiffeId, claims: told } = await call({
      audience: "api",
      svid: await signToken(domain.key, own),
    });
    expect(spiffeId).toBe("spiffe://example.org/a");
    expect(told).toEqual({ ...own, aud: ["api"] });
  });

  it("gives only registered claims of a foreign trust domain [ID-22 WAPI-30]", async () => {
    const theirs = claims("partner.test", { admin: true, jti: "1" });
    const { claims: told } = await call({
      audience: "api",
      svid: await signToken(foreign.key, theirs),
    });
    expect(Object.keys(told ?? {}).toSorted()).toEqual(["aud", "exp", "jti", "sub"]);
  });

  it("takes each trust domain's tokens from its own keys only, whatever their names [JWT-18 WAPI-12]", async () => {
    const forged = await signToken({ ...domain.key, kid: foreign.key.kid }, claims("partner.test"));
    await expect(call({ audience: "api", svid: forged })).rejects.toMatchObject(
      refused("signature"),
    );
  });

  it("forgets a foreign trust domain with its bundle [FED-32]", async () => {
    const svid = await signToken(foreign.key, claims("partner.test"));
    await call({ audience: "api", svid });
    workload.set(domain.state([await domain.svid("/web")]));
    await expect(call({ audience: "api", svid })).rejects.toMatchObject(refused("partner.test"));
  });

  it("does not let a foreign bundle stand in for the own one", async () => {
    const state = domain.state([await domain.svid("/web")], [domain]);
    workload.set({ ...state, federatedBundles: new Map([[state.trustDomain, foreign.bundle]]) });
    const svid = await signToken(domain.key, claims("example.org"));
    await expect(call({ audience: "api", svid })).resolves.toMatchObject({
      spiffeId: "spiffe://example.org/a",
    });
  });

  it("refuses a request without audience or token, and a token that has expired [WAPI-10 WAPI-31]", async () => {
    const svid = await signToken(domain.key, claims("example.org", { exp: 1 }));
    await expect(call({ audience: "", svid })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: "audience must be specified",
    });
    await expect(call({ audience: "api", svid: "" })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: "svid must be specified",
    });
    await expect(call({ audience: "api", svid })).rejects.toMatchObject(refused("expired"));
  });
});
