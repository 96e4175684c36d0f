import { hash } from "node:crypto";

export interface KdfOptions {
  /** ASCII. */
  readonly password: string;
  readonly salt: Buffer;
  readonly iterations: number;
  readonly purpose: "key" | "iv" | "mac";
}

/** Block and output of SHA-256. */
const BLOCK = 64;
const OUTPUT = 32;
/** RFC 7292 appendix B.3. */
const PURPOSE = { key: 1, iv: 2, mac: 3 } as const;

/** The first 32 bytes of PKCS#12's own derivation (RFC 7292 appendix B.2) with SHA-256. */
export function pkcs12Kdf({ password, salt, iterations, purpose }: KdfOptions): Buffer {
  // B.1: the password is a BMPString with its terminating zero.
  const secret = Buffer.from(`${password}\0`, "utf16le").swap16();
  const diversifier = Buffer.alloc(BLOCK, PURPOSE[purpose]);
  let digest = hash("sha256", Buffer.concat([diversifier, filled(salt), filled(secret)]), "buffer");
  for (let round = 1; round < iterations; round++) digest = hash("sha256", digest, "buffer");
  return digest.subarray(0, OUTPUT);
}

/** Repeated up to the end of its last block. */
function filled(bytes: Buffer): Buffer {
  return Buffer.alloc(Math.ceil(bytes.length / BLOCK) * BLOCK, bytes);
}
