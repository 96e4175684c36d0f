import { createHash, generateKeyPairSync } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OID } from "../../src/ca/der/oid.ts";
import { bitString, integer, nullValue, oid, sequence } from "../../src/ca/der/write.ts";
import { parsePublicKey } from "../../src/ca/public-key.ts";
import { isSignetError } from "../../src/core/errors.ts";
import { openssl, P256_SPKI, peculiar, SAMPLE_KEYS } from "./oracle.ts";

const spki = (type: "ec" | "rsa", options: object): Buffer =>
  (
    generateKeyPairSync(type as "rsa", options as { modulusLength: number }).publicKey as any
  ).export({ type: "spki", format: "der" });
const rsaKey = (
  modulus: Buffer,
  exponent: number | Buffer,
  parameters: Buffer[] = [nullValue()],
): Buffer =>
  sequence(
    sequence(oid(OID.rsaEncryption), ...parameters),
    bitString(sequence(integer(modulus), integer(exponent))),
  );
const oddModulus = (bits: number): Buffer => {
  const modulus = Buffer.alloc(bits / 8, 0xa5);
  return modulus;
};
const refused = (rule: string) =>
  expect.objectContaining({
    code: "INVALID_ARGUMENT",
    message: expect.stringMatching(
      new RegExp(`${rule}.*accepted are P-256, P-384 and RSA keys of 2048 to 4096 bits`),
    ),
  });

describe("parsePublicKey", () => {
  it.each([
    ["P-256", "ec-p256"],
    ["P-384", "ec-p384"],
    ["RSA-2048", "rsa"],
  ] as const)("reads a %s key and keeps its bytes", (name, algorithm) => {
    const key = SAMPLE_KEYS[name].spki;
    expect(parsePublicKey(key)).toMatchObject({ algorithm, spki: key });
  });

  it("accepts RSA keys of 3072 and 4096 bits", () => {
    expect(parsePublicKey(rsaKey(oddModulus(3072), 65_537)).algorithm).toBe("rsa");
    expect(parsePublicKey(rsaKey(oddModulus(4096), 65_537)).algorithm).toBe("rsa");
  });

  it("identifies a key by the truncated SHA-256 of its bits (RFC 7093 §2)", () => {
    const bits = Buffer.from(new peculiar.PublicKey(P256_SPKI).rawData).subarray(26);
    expect(parsePublicKey(P256_SPKI).keyIdentifier).toEqual(
      createHash("sha256").update(bits).digest().subarray(0, 20),
    );
  });

  it.each([
    ["a P-521 key", () => spki("ec", { namedCurve: "P-521" }), "is on curve 1.3.132.0.35"],
    ["a secp256k1 key", () => spki("ec", { namedCurve: "secp256k1" }), "is on curve 1.3.132.0.10"],
    ["an RSA key of 1024 bits", () => spki("rsa", { modulusLength: 1024 }), "is RSA of 1024 bits"],
    ["an RSA key of 4104 bits", () => rsaKey(oddModulus(4104), 65_537), "is RSA of 4104 bits"],
    [
      "an Ed25519 key",
      () =>
        Buffer.from(
          generateKeyPairSync("ed25519").publicKey.export({ type: "spki", format: "der" }),
        ),
      "has algorithm 1.3.101.112",
    ],
    ["an RSA exponent of 3", () => rsaKey(oddModulus(2048), 3), "exponent"],
    ["an even RSA exponent", () => rsaKey(oddModulus(2048), 65_538), "exponent"],
    [
      "an RSA exponent that Go refuses",
      () => rsaKey(oddModulus(2048), Buffer.from("0100000001", "hex")),
      "exponent",
    ],
    ["an even RSA modulus", () => rsaKey(Buffer.alloc(256, 0xa4), 65_537), "even"],
    ["RSA without NULL parameters", () => rsaKey(oddModulus(2048), 65_537, []), "cannot be read"],
    ["nothing", () => Buffer.alloc(0), "cannot be read"],
    ["more bytes than any key", () => Buffer.alloc(641), "has 641 bytes"],
    ["bytes after the key", () => Buffer.concat([P256_SPKI, Buffer.of(0)]), "after its end"],
  ])("refuses %s", (_name, make, rule) => {
    expect(() => parsePublicKey(make())).toThrow(refused(rule));
  });

  it("refuses compressed points, which Go cannot parse", () => {
    const compressed = openssl(
      ["ec", "-pubin", "-inform", "DER", "-conv_form", "compressed", "-pubout", "-outform", "PEM"],
      P256_SPKI,
    );
    const der = Buffer.from(compressed.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
    expect(der.length).toBeLessThan(P256_SPKI.length);
    expect(() => parsePublicKey(der)).toThrow(refused("uncompressed"));
  });

  it("refuses explicit curve parameters", () => {
    const explicit = openssl(
      ["ec", "-pubin", "-inform", "DER", "-param_enc", "explicit", "-pubout", "-outform", "PEM"],
      P256_SPKI,
    );
    const der = Buffer.from(explicit.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
    expect(() => parsePublicKey(der)).toThrow(refused("named curve"));
  });

  it.each(["P-256", "P-384"] as const)("refuses a point that is not on %s", (name) => {
    const moved = Buffer.from(SAMPLE_KEYS[name].spki);
    moved[moved.length - 1]! ^= 1;
    expect(() => parsePublicKey(moved)).toThrow(refused("not on its curve"));
  });

  it("refuses P-256 bits that claim to be P-384", () => {
    const claimed = sequence(
      sequence(oid(OID.ecPublicKey), oid(OID.secp384r1)),
      bitString(P256_SPKI.subarray(26)),
    );
    expect(() => parsePublicKey(claimed)).toThrow(refused("uncompressed"));
  });

  it("answers any damage to a key with INVALID_ARGUMENT or another valid key", () => {
    const keys = Object.values(SAMPLE_KEYS).map((key) => key.spki);
    fc.assert(
      fc.property(
        fc.constantFrom(...keys),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (key, at, flip) => {
          const damaged = Buffer.from(key);
          damaged[at % damaged.length]! ^= flip;
          try {
            expect(parsePublicKey(damaged).spki).toEqual(damaged);
          } catch (error) {
            if (!isSignetError(error, "INVALID_ARGUMENT")) throw error;
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});
