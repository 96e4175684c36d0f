import { createHash, createHmac } from "node:crypto";

/** What a keystore for Java holds: one private key with its certificate chain. */
export interface KeyEntry {
  /** PKCS#8 in DER. */
  readonly privateKey: Buffer;
  /** DER certificates, leaf first. */
  readonly chain: readonly Buffer[];
  /** Milliseconds since the epoch, for the formats that note one. */
  readonly createdAt: number;
}

/** Aliases as cert-manager gives them to its keystores; the second authority and later ones are numbered. */
export const KEY_ALIAS = "certificate";
export const authorityAlias = (index: number): string => (index === 0 ? "ca" : `ca-${index + 1}`);

/**
 * A salt that nobody can guess who has not the key, and that is the same for the same contents: a keystore of an
 * unchanged identity has unchanged bytes.
 */
export function keySalt(entry: KeyEntry, label: string, bytes: number): Buffer {
  const mac = createHmac("sha256", entry.privateKey).update(label);
  for (const der of entry.chain) mac.update(der);
  return mac.digest().subarray(0, bytes);
}

/** The salt of a file that holds nothing secret. */
export function publicSalt(contents: readonly Buffer[], label: string, bytes: number): Buffer {
  const hash = createHash("sha256").update(label);
  for (const der of contents) hash.update(der);
  return hash.digest().subarray(0, bytes);
}
