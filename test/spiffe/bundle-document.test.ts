import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { SignetError } from "../../src/core/errors.ts";
import { parseBundleDocument } from "../../src/spiffe/bundle-document.ts";
import { bundleDocument } from "../../src/spiffe/bundle.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import { jwtKey, makeAuthority, x509Key } from "./certificates.ts";
import type { TestAuthority } from "./certificates.ts";

/*
 * Rows BUN-1 to BUN-16 of the standards' checklist that are about reading one bundle. Those about our own bundle
 * (BUN-9, BUN-12), about keeping bundles (BUN-11 in part, BUN-8's refusal of SVIDs) and about bundle maps
 * (BUN-13 to BUN-16) belong to code that does not exist yet or is tested with the CA.
 */

const PARTNER = parseTrustDomain("partner.example");

let ec: TestAuthority;
let rsa: TestAuthority;
beforeAll(async () => {
  [ec, rsa] = await Promise.all([makeAuthority(), makeAuthority("rsa-2048")]);
});

const read = (value: unknown) => parseBundleDocument(JSON.stringify(value), PARTNER);

/** The message of the refusal, without what all of them begin with. */
function refusal(text: string): string {
  const start = "the bundle cannot be used: ";
  let error: unknown;
  try {
    parseBundleDocument(text, PARTNER);
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(SignetError);
  const { code, message } = error as SignetError;
  expect(code).toBe("MALFORMED");
  expect(message.startsWith(start)).toBe(true);
  return message.slice(start.length);
}
const refusalOf = (value: unknown) => refusal(JSON.stringify(value));

describe("a SPIFFE bundle document", () => {
  it("is a JWK set with the authorities of a trust domain, in their order (BUN-1, BUN-11)", () => {
    const bundle = read({
      keys: [x509Key(rsa), jwtKey(ec, "b"), x509Key(ec), jwtKey(rsa, "a")],
      spiffe_sequence: 7,
      spiffe_refresh_hint: 300,
    });
    expect(bundle.trustDomain).toBe("partner.example");
    expect(bundle.x509Authorities).toEqual([rsa.der, ec.der]);
    expect(bundle.jwtAuthorities).toEqual([
      { kid: "b", ...ec.jwk },
      { kid: "a", ...rsa.jwk },
    ]);
    expect(bundle.sequence).toBe(7n);
    expect(bundle.refreshHint).toBe(300);
  });

  it("may have only keys, and members that nobody knows (BUN-2)", () => {
    const plain = read({ keys: [x509Key(ec)] });
    expect(plain).toMatchObject({ sequence: undefined, refreshHint: undefined });
    expect(plain.x509Authorities).toHaveLength(1);
    const more = read({ "x-foo": [1], keys: [{ ...x509Key(ec), "x-bar": {} }] });
    expect(more.x509Authorities).toEqual([ec.der]);
  });

  it("that Signet itself writes is one", () => {
    const text = bundleDocument({
      trustDomain: PARTNER,
      x509Authorities: [ec.der, rsa.der],
      jwtAuthorities: [{ ...ec.jwk, kid: "k", kty: "EC", alg: "ES256" }],
      sequence: 3,
      refreshHint: 60,
    });
    expect(parseBundleDocument(text, PARTNER)).toEqual({
      trustDomain: PARTNER,
      x509Authorities: [ec.der, rsa.der],
      jwtAuthorities: [{ kid: "k", alg: "ES256", ...ec.jwk }],
      sequence: 3n,
      refreshHint: 60,
    });
  });

  it.each([
    ["9007199254740993", 9_007_199_254_740_993n],
    ["18446744073709551615", 18_446_744_073_709_551_615n],
    ["0", 0n],
    ["null", undefined],
  ])("keeps all 64 bits of a spiffe_sequence: %s (BUN-4)", (text, sequence) => {
    expect(parseBundleDocument(`{"keys":[],"spiffe_sequence":${text}}`, PARTNER).sequence).toBe(
      sequence,
    );
  });

  it.each([
    "1.5",
    '"7"',
    "-1",
    "1e3",
    "true",
    "{}",
    "[1]",
    "18446744073709551616",
    "123456789012345678901",
  ])("has no spiffe_sequence like %s (BUN-3, BUN-4)", (text) => {
    expect(refusal(`{"keys":[],"spiffe_sequence":${text}}`)).toBe(
      '"spiffe_sequence" must be an integer of 64 bits',
    );
  });

  it("has its spiffe_sequence at the top: elsewhere the name means nothing", () => {
    const text = `{"keys":[{"kty":"EC","use":"other","spiffe_sequence":"x"}],"x":{"spiffe_sequence":1.5},"spiffe_sequence":5}`;
    expect(parseBundleDocument(text, PARTNER).sequence).toBe(5n);
  });

  it.each([
    ["60", 60],
    ["0", 0],
    ["null", undefined],
  ])("has a spiffe_refresh_hint of whole seconds: %s (BUN-5)", (text, hint) => {
    const bundle = parseBundleDocument(`{"keys":[],"spiffe_refresh_hint":${text}}`, PARTNER);
    expect(bundle.refreshHint).toBe(hint);
  });

  it.each(["1.5", '"60"', "-1", "true", "1e400", "9007199254740993"])(
    "has no spiffe_refresh_hint like %s (BUN-5)",
    (text) => {
      expect(refusal(`{"keys":[],"spiffe_refresh_hint":${text}}`)).toBe(
        '"spiffe_refresh_hint" must be a whole number of seconds',
      );
    },
  );

  it.each([{}, { keys: null }, { keys: {} }, { keys: "x" }])(
    "needs keys, an array; not %j (BUN-6)",
    (document) => {
      expect(refusalOf(document)).toBe('"keys" must be an array of JWKs');
    },
  );

  it.each([
    ["", /^it is not JSON: /],
    ["{", /^it is not JSON: /],
    ['{"keys":[]} x', /^it is not JSON: /],
    ["[]", /^it is not a JSON object$/],
    ["null", /^it is not a JSON object$/],
    ['"text"', /^it is not a JSON object$/],
    ["5", /^it is not a JSON object$/],
  ])("is not %j (BUN-1)", (text, problem) => {
    expect(refusal(text)).toMatch(problem);
  });

  it.each([[null], ["x"], [5], [[]]])("has no key like %j", (key) => {
    expect(refusalOf({ keys: [x509Key(ec), key] })).toBe("keys[1] is not a JWK");
  });

  it("has at most 64 authorities of one kind, as many as nodes take", () => {
    const many = (count: number) => [
      ...Array.from({ length: count }, () => x509Key(ec)),
      ...Array.from({ length: 64 }, (_, at) => jwtKey(ec, `${at}`)),
    ];
    expect(read({ keys: many(64) }).x509Authorities).toHaveLength(64);
    const refused = '"keys" holds more than 64 authorities of one kind';
    expect(refusalOf({ keys: many(65) })).toBe(refused);
    expect(refusalOf({ keys: [...many(1), jwtKey(ec, "more")] })).toBe(refused);
  });

  it("may be empty: then no SVID of the trust domain is valid (BUN-8)", () => {
    const empty = read({ keys: [] });
    expect(empty.x509Authorities).toEqual([]);
    expect(empty.jwtAuthorities).toEqual([]);
  });
});

describe("keys of a bundle that are passed over, the rest being kept", () => {
  it.each<[string, () => object]>([
    ["an unknown kty", () => ({ ...x509Key(ec), kty: "AKP" })],
    ["a kty in other letters", () => ({ ...x509Key(ec), kty: "ec" })],
    ["no kty", () => ({ ...x509Key(ec), kty: undefined })],
    ["a symmetric key", () => ({ kty: "oct", k: "AAAA", use: "jwt-svid", kid: "s" })],
    ["an unknown use", () => ({ ...x509Key(ec), use: "sig" })],
    ["no use", () => ({ ...x509Key(ec), use: undefined })],
    ["a use in other letters (BUN-10)", () => ({ ...x509Key(ec), use: "X509-SVID" })],
    ["the use wit-svid (BUN-10, AMB-2)", () => ({ ...jwtKey(rsa, "w"), use: "wit-svid" })],
    [
      "an Ed25519 key of JWT-SVIDs",
      () => ({
        ...jwtKey(ec),
        ...generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }),
      }),
    ],
    ["no x5c (X509-26)", () => ({ ...ec.jwk, use: "x509-svid" })],
    ["an empty x5c (X509-26)", () => ({ ...x509Key(ec), x5c: [] })],
    ["an x5c of another kind", () => ({ ...x509Key(ec), x5c: "text" })],
    ["an empty certificate", () => ({ ...x509Key(ec), x5c: [""] })],
    [
      "a curve that no JWT-SVID uses",
      () => ({ kty: "EC", crv: "P-192", x: "AA", y: "AA", use: "jwt-svid", kid: "c" }),
    ],
    [
      "a curve that Node knows and no JWT-SVID uses",
      () =>
        jwtKey({
          der: ec.der,
          jwk: generateKeyPairSync("ec", { namedCurve: "secp256k1" }).publicKey.export({
            format: "jwk",
          }),
        }),
    ],
    ["no curve", () => ({ ...jwtKey(ec), crv: undefined })],
  ])("%s (BUN-7, GO-19)", (_what, bad) => {
    const bundle = read({ keys: [bad(), x509Key(rsa), jwtKey(ec, "good")] });
    expect(bundle.x509Authorities).toEqual([rsa.der]);
    expect(bundle.jwtAuthorities.map(({ kid }) => kid)).toEqual(["good"]);
  });

  it("are further certificates of an entry: the first alone counts (X509-27)", () => {
    expect(read({ keys: [x509Key(ec, rsa)] }).x509Authorities).toEqual([ec.der]);
  });
});

describe("an X.509 authority of a bundle", () => {
  it("is a certificate in DER that other software reads", () => {
    const [der] = read({ keys: [x509Key(ec)] }).x509Authorities;
    const certificate = new X509Certificate(der ?? "");
    expect(certificate.ca).toBe(true);
    expect(certificate.subjectAltName).toBe("URI:spiffe://partner.example");
    expect(certificate.publicKey.export({ format: "jwk" })).toEqual(ec.jwk);
  });

  it("may have an Ed25519 key", async () => {
    const authority = await makeAuthority("ed25519");
    expect(read({ keys: [x509Key(authority)] }).x509Authorities).toEqual([authority.der]);
  });

  it.each([
    ["no base64", "!!!"],
    ["no certificate", Buffer.from("hello").toString("base64")],
  ])("that is %s is refused with its place", (_what, text) => {
    expect(refusalOf({ keys: [x509Key(rsa), { ...x509Key(ec), x5c: [text] }] })).toMatch(
      /^keys\[1\]\.x5c\[0\] is not a certificate: /,
    );
  });

  it("that is no CA's is refused with its place: nodes would refuse the whole bundle", async () => {
    const leaf = await makeAuthority("ec-p256", PARTNER, false);
    expect(refusalOf({ keys: [x509Key(rsa), x509Key(leaf)] })).toBe(
      "keys[1].x5c[0] is not a CA certificate",
    );
  });

  it("that is cut off is refused", () => {
    const short = ec.der.subarray(0, -10).toString("base64");
    expect(refusalOf({ keys: [{ ...x509Key(ec), x5c: [short] }] })).toMatch(/^keys\[0\]\.x5c\[0\]/);
  });
});

describe("a key of JWT-SVIDs in a bundle", () => {
  it("is found by its key ID, the last of equal ones counting (GO-23)", () => {
    const bundle = read({ keys: [jwtKey(ec, "k"), jwtKey(rsa, "k")] });
    expect(bundle.jwtAuthorities).toEqual([{ kid: "k", ...rsa.jwk }]);
  });

  it.each([undefined, "", 5, null])("needs a key ID; not %j", (kid) => {
    expect(refusalOf({ keys: [{ ...jwtKey(ec), kid }] })).toBe(
      "keys[0].kid is missing; keys of JWT-SVIDs are found by it",
    );
  });

  it("has a key ID of at most 512 bytes", () => {
    expect(read({ keys: [jwtKey(ec, "k".repeat(512))] }).jwtAuthorities).toHaveLength(1);
    expect(refusalOf({ keys: [jwtKey(ec, "k".repeat(513))] })).toBe(
      "keys[0].kid is longer than 512 bytes",
    );
  });

  it.each<[string, object]>([
    ["coordinates", { x: undefined }],
    ["a point on its curve", { x: "AAAA", y: "AAAA" }],
  ])("without %s is refused with its place", (_what, change) => {
    expect(refusalOf({ keys: [{ ...jwtKey(ec), ...change }] })).toMatch(
      /^keys\[0\] is not a public key: /,
    );
  });

  it("without an RSA modulus is refused with its place", () => {
    expect(refusalOf({ keys: [{ ...jwtKey(rsa), n: undefined }] })).toMatch(
      /^keys\[0\] is not a public key: /,
    );
  });

  it("keeps the algorithm that it is meant for, if it says one", () => {
    const { jwtAuthorities } = read({
      keys: [
        { ...jwtKey(rsa, "a"), alg: "PS256" },
        { ...jwtKey(rsa, "b"), alg: 5 },
      ],
    });
    expect(jwtAuthorities.map(({ alg }) => alg)).toEqual(["PS256", undefined]);
  });

  it("is kept without its private part, should that be there", () => {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-384" });
    const whole = { use: "jwt-svid", kid: "k", ...privateKey.export({ format: "jwk" }) };
    expect(whole).toHaveProperty("d");
    const kept = read({ keys: [whole] }).jwtAuthorities;
    expect(kept).toEqual([{ kid: "k", ...publicKey.export({ format: "jwk" }) }]);
  });
});
