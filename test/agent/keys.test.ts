import { createPrivateKey, createPublicKey } from "node:crypto";
import { expect, test } from "vitest";
import { generateKeyPair } from "../../src/agent/keys.ts";

test.each([
  ["ec-p256", "ec", "prime256v1"],
  ["ec-p384", "ec", "secp384r1"],
  ["rsa-2048", "rsa", 2048],
  ["rsa-4096", "rsa", 4096],
] as const)(
  "a key pair of %s is a pair in PKCS#8 and SubjectPublicKeyInfo",
  async (type, kind, size) => {
    const { privateKey, publicKey } = await generateKeyPair(type);
    const pair = createPrivateKey({ key: privateKey, format: "der", type: "pkcs8" });
    const half = createPublicKey({ key: publicKey, format: "der", type: "spki" });
    expect(createPublicKey(pair).equals(half)).toBe(true);
    expect(pair.asymmetricKeyType).toBe(kind);
    const { namedCurve, modulusLength } = pair.asymmetricKeyDetails ?? {};
    expect(namedCurve ?? modulusLength).toBe(size);
  },
);

test("the event loop runs on while an RSA key is made", async () => {
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 1);
  await generateKeyPair("rsa-4096");
  clearInterval(timer);
  expect(turns).toBeGreaterThan(5);
});
