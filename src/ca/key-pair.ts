import { generateKeyPair } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { promisify } from "node:util";

/** Key types that Signet makes. */
export const KEY_TYPES = ["ec-p256", "ec-p384", "rsa-2048", "rsa-4096"] as const;
export type KeyType = (typeof KEY_TYPES)[number];

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const generate = promisify(generateKeyPair);

const GENERATE: Readonly<Record<KeyType, () => Promise<KeyPair>>> = {
  "ec-p256": () => generate("ec", { namedCurve: "P-256" }),
  "ec-p384": () => generate("ec", { namedCurve: "P-384" }),
  "rsa-2048": () => generate("rsa", { modulusLength: 2048 }),
  "rsa-4096": () => generate("rsa", { modulusLength: 4096 }),
};

/** Makes a key pair on the thread pool. */
export function createKeyPair(keyType: KeyType): Promise<KeyPair> {
  return GENERATE[keyType]();
}

/** The public key as SubjectPublicKeyInfo in DER. */
export function spkiOf(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}

/** The private key as PKCS#8 in PEM: for the Secret and for key files, never for a log. */
export function privateKeyPem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}
