import "reflect-metadata";
import * as peculiar from "@peculiar/x509";
import { execFileSync } from "node:child_process";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createX509Authority, loadX509Authority } from "../../src/ca/authority.ts";
import type { X509Authority } from "../../src/ca/authority.ts";
import type { KeyType } from "../../src/ca/key-pair.ts";
import { pemBlock } from "../../src/spiffe/pem.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";

/** 2026-03-04T05:06:07.000Z */
export const NOW = Date.UTC(2026, 2, 4, 5, 6, 7);
export const SECOND = 1000;
export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;
export const TRUST_DOMAIN = parseTrustDomain("example.org");

export { peculiar };

/** Runs the OpenSSL CLI; gives its standard output, throws with its standard error when it fails. */
export function openssl(args: readonly string[], input: string | Buffer = ""): string {
  return execFileSync("openssl", args, { input, stdio: ["pipe", "pipe", "pipe"] }).toString();
}

/** Runs `use` with the paths of files that hold the texts. */
export function withFiles<T>(
  texts: readonly (string | Buffer)[],
  use: (...paths: string[]) => T,
): T {
  const folder = mkdtempSync(join(tmpdir(), "signet-ca-"));
  try {
    const paths = texts.map((text, index) => {
      const path = join(folder, `${index}.pem`);
      writeFileSync(path, text);
      return path;
    });
    return use(...paths);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Verifies a leaf with OpenSSL's strict checks, at `at` milliseconds since the epoch. */
export function opensslVerify(root: Buffer, leaf: Buffer, at: number): string {
  return withFiles([certificatePem(root), certificatePem(leaf)], (rootPath, leafPath) =>
    openssl([
      "verify",
      "-x509_strict",
      "-check_ss_sig",
      "-attime",
      String(Math.floor(at / SECOND)),
      "-CAfile",
      rootPath ?? "",
      leafPath ?? "",
    ]),
  );
}

export function certificatePem(der: Buffer): string {
  return pemBlock("CERTIFICATE", der);
}

/** A fresh authority of `example.org` that lives for 90 days from NOW unless told otherwise. */
export async function newAuthority(
  options: { keyType?: KeyType; ttlMs?: number; now?: number; trustDomain?: string } = {},
): Promise<X509Authority> {
  const { ttlMs = 90 * DAY, now = NOW, keyType = "ec-p256" } = options;
  const trustDomain = parseTrustDomain(options.trustDomain ?? TRUST_DOMAIN);
  return loadX509Authority(
    await createX509Authority({ trustDomain, ttlMs, now, keyType }),
    trustDomain,
  );
}

/** Public keys of every accepted kind, made by OpenSSL: SubjectPublicKeyInfo and private key. */
export const SAMPLE_KEYS = {
  "P-256": sample(generateKeyPairSync("ec", { namedCurve: "P-256" })),
  "P-384": sample(generateKeyPairSync("ec", { namedCurve: "P-384" })),
  "RSA-2048": sample(generateKeyPairSync("rsa", { modulusLength: 2048 })),
};
export const P256_SPKI = SAMPLE_KEYS["P-256"].spki;

function sample(pair: ReturnType<typeof generateKeyPairSync>) {
  return {
    spki: pair.publicKey.export({ type: "spki", format: "der" }) as Buffer,
    privateKey: createPrivateKey(pair.privateKey.export({ type: "pkcs8", format: "pem" })),
  };
}

/** The error that `run` throws; fails when it throws none. */
export async function thrown(run: () => unknown): Promise<Error & { code?: string }> {
  try {
    await run();
  } catch (error) {
    return error as Error & { code?: string };
  }
  throw new Error("nothing was thrown");
}
