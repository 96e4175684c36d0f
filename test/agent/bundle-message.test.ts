import { generateKeyPairSync } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { beforeAll, expect, test } from "vitest";
import { bundleReader } from "../../src/agent/bundle-message.ts";
import { BundleSchema } from "../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import { testAuthority } from "../fakes/authority.ts";
import type { TestAuthority } from "../fakes/authority.ts";
import { testJwtAuthority } from "../fakes/jwt-authority.ts";
import type { TestJwtAuthority } from "../fakes/jwt-authority.ts";
import { TRUST_DOMAIN } from "./fixture.ts";

let authority: TestAuthority;
let ec: TestJwtAuthority;
let rsa: TestJwtAuthority;
beforeAll(async () => {
  authority = await testAuthority("first");
  ec = await testJwtAuthority("k1");
  rsa = await testJwtAuthority("k2", "RS256");
});

const message = (given: MessageInitShape<typeof BundleSchema> = {}) =>
  create(BundleSchema, {
    trustDomain: "test.local",
    x509Authorities: [authority.der],
    sequence: 5n,
    refreshHint: 300,
    ...given,
  });
const keyOf = ({ kid: keyId, publicKey, algorithm }: TestJwtAuthority) => ({
  keyId,
  publicKey,
  algorithm,
});
const spki = ({ publicKey }: { readonly publicKey: KeyObject }) =>
  publicKey.export({ type: "spki", format: "der" });

test("JWT authorities become public JWKs in their order", () => {
  const bundle = bundleReader(TRUST_DOMAIN).own(
    message({ jwtAuthorities: [keyOf(rsa), keyOf(ec)] }),
  );
  expect(bundle).toEqual({
    trustDomain: "test.local",
    x509Authorities: [authority.der],
    jwtAuthorities: [rsa.jwk, ec.jwk],
    sequence: 5,
    refreshHint: 300,
  });
});

test("keys that no JWT-SVID can be signed with, or found by, are left out", () => {
  const odd = [
    {
      keyId: "short",
      publicKey: spki(generateKeyPairSync("rsa", { modulusLength: 1024 })),
      algorithm: "RS256",
    },
    {
      keyId: "curve",
      publicKey: spki(generateKeyPairSync("ec", { namedCurve: "secp256k1" })),
      algorithm: "",
    },
    { keyId: "kind", publicKey: spki(generateKeyPairSync("ed25519")), algorithm: "" },
    { ...keyOf(ec), keyId: "" },
    { ...keyOf(ec), keyId: "secret", algorithm: "HS256" },
  ];
  const { jwtAuthorities } = bundleReader(TRUST_DOMAIN).own(
    message({ jwtAuthorities: [...odd, { ...keyOf(ec), algorithm: "" }] }),
  );
  const { alg: _, ...unsaid } = ec.jwk;
  expect(jwtAuthorities).toEqual([unsaid]);
});

test.each(["P-384", "P-521"])("a key on %s is taken", (namedCurve) => {
  const key = {
    keyId: "k",
    publicKey: spki(generateKeyPairSync("ec", { namedCurve })),
    algorithm: "",
  };
  const { jwtAuthorities } = bundleReader(TRUST_DOMAIN).own(message({ jwtAuthorities: [key] }));
  expect(jwtAuthorities).toMatchObject([{ kid: "k", kty: "EC", crv: namedCurve }]);
});

const privateKey = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({
  type: "pkcs8",
  format: "der",
});
const refused: [string, () => MessageInitShape<typeof BundleSchema>][] = [
  ["a private key", () => ({ jwtAuthorities: [{ ...keyOf(ec), publicKey: privateKey }] })],
  ["what is no key", () => ({ jwtAuthorities: [{ ...keyOf(ec), publicKey: Buffer.from("x") }] })],
  ["two keys of one ID", () => ({ jwtAuthorities: [keyOf(ec), { ...keyOf(rsa), keyId: ec.kid }] })],
  ["a key of endless ID", () => ({ jwtAuthorities: [{ ...keyOf(ec), keyId: "k".repeat(513) }] })],
  [
    "more than 64 JWT authorities",
    () => ({
      jwtAuthorities: Array.from({ length: 65 }, (_, i) => ({ ...keyOf(ec), keyId: `k${i}` })),
    }),
  ],
  [
    "more than 64 X.509 authorities",
    () => ({ x509Authorities: Array.from({ length: 65 }, () => authority.der) }),
  ],
  ["no X.509 authority", () => ({ x509Authorities: [] })],
  ["what is no certificate", () => ({ x509Authorities: [Buffer.from("x")] })],
  ["another trust domain", () => ({ trustDomain: "other.local" })],
];

test.each(refused)("a bundle with %s is refused", (_name, given) => {
  const reader = bundleReader(TRUST_DOMAIN);
  expect(() => reader.own(message(given()))).toThrow(
    expect.objectContaining({ code: "MALFORMED" }),
  );
});

test("a foreign bundle may be empty, but not be of our own or of no trust domain", () => {
  const reader = bundleReader(TRUST_DOMAIN);
  const empty = reader.foreign(message({ trustDomain: "other.local", x509Authorities: [] }));
  expect(empty).toMatchObject({ trustDomain: "other.local", x509Authorities: [] });
  expect(() => reader.foreign(message())).toThrow(/no foreign one/);
  for (const trustDomain of ["", "Other.Local", "other.local/x"]) {
    expect(() => reader.foreign(message({ trustDomain }))).toThrow(/trust domain/i);
  }
});

test("equal messages give one bundle, whoever got them, and changed ones another", () => {
  const reader = bundleReader(TRUST_DOMAIN);
  const first = reader.own(message({ jwtAuthorities: [keyOf(ec)] }));
  reader.foreign(message({ trustDomain: "other.local" }));
  expect(reader.own(message({ jwtAuthorities: [keyOf(ec)] }))).toBe(first);
  expect(reader.own(message({ jwtAuthorities: [keyOf(rsa)] }))).not.toBe(first);
});
