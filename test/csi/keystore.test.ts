import { execFileSync } from "node:child_process";
import { createHash, createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { KEY_TYPES } from "../../src/ca/key-pair.ts";
import type { KeyType } from "../../src/ca/key-pair.ts";
import { keySalt } from "../../src/csi/keystore.ts";
import type { KeyEntry } from "../../src/csi/keystore.ts";
import { jksKeystore, jksTruststore } from "../../src/csi/keystore-jks.ts";
import { pkcs12Keystore, pkcs12Truststore } from "../../src/csi/keystore-pkcs12.ts";
import { pemBlock, parsePem } from "../../src/spiffe/pem.ts";
import { makeSandbox } from "./fixtures.ts";
import type { Sandbox } from "./fixtures.ts";
import { makeRichIdentity } from "./identities.ts";

let sandbox: Sandbox;
beforeEach(async () => (sandbox = await makeSandbox()));
afterEach(async () => await sandbox.cleanUp());

const PASSWORD = `p4ss"word'$`;
/** A run of half a second needs no second compiler. */
const QUICK = "-J-XX:TieredStopAtLevel=1";
const HAS_JDK = succeeds("keytool", "-help");

function succeeds(...[program = "", ...args]: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

async function makeEntry(keyType: KeyType = "ec-p256"): Promise<KeyEntry & { ca: Buffer }> {
  const { svids, privateKey, bundle } = await makeRichIdentity({ keyType });
  const [ca = Buffer.alloc(0)] = bundle.x509Authorities;
  return { privateKey, chain: svids[0]?.chain ?? [], createdAt: Date.UTC(2026, 0, 2), ca };
}

function save(name: string, content: Buffer): string {
  const path = join(sandbox.dir, name);
  writeFileSync(path, content);
  return path;
}

const run = (program: string, args: string[]): string =>
  execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
const pkcs12 = (path: string, password: string, ...args: string[]): string =>
  run("openssl", ["pkcs12", "-in", path, "-passin", `pass:${password}`, ...args]);
const keytool = (command: string, path: string, ...args: string[]): string =>
  run("keytool", [QUICK, command, "-keystore", path, "-storepass", PASSWORD, ...args]);
const publicKeyOf = ({ privateKey }: KeyEntry): string =>
  createPublicKey(createPrivateKey({ key: privateKey, format: "der", type: "pkcs8" }))
    .export({ format: "pem", type: "spki" })
    .toString();

describe("OpenSSL", () => {
  test.each(KEY_TYPES)("reads the key of type %s and its chain from PKCS#12", async (type) => {
    const entry = await makeEntry(type);
    const path = save("k.p12", pkcs12Keystore(entry, PASSWORD));
    const text = pkcs12(path, PASSWORD, "-nodes");
    expect(parsePem("CERTIFICATE", text)).toEqual(entry.chain);
    const key = createPrivateKey(text);
    expect(createPublicKey(key).export({ format: "pem", type: "spki" })).toBe(publicKeyOf(entry));
    // Lower case "friendlyName" twice: of the key and of its certificate, with one ID.
    expect(text.match(/friendlyName: certificate/g)).toHaveLength(2);
    const ids = [...text.matchAll(/localKeyID: ([0-9A-F ]+)/g)].map(([, id]) => id);
    expect(ids).toHaveLength(2);
    expect(ids[0]).toBe(ids[1]);
  });

  test("finds AES-256, HMAC-SHA-256 and the MAC in order, and refuses another password", async () => {
    const path = save("k.p12", pkcs12Keystore(await makeEntry(), PASSWORD));
    const info = execFileSync(
      "sh",
      ["-c", 'openssl pkcs12 -in "$0" -passin env:P -noout -info 2>&1', path],
      { encoding: "utf8", env: { ...process.env, P: PASSWORD } },
    );
    expect(info).toContain("MAC: sha256, Iteration 1024");
    expect(info).toContain("PBES2, PBKDF2, AES-256-CBC, Iteration 2048, PRF hmacWithSHA256");
    expect(() => pkcs12(path, "another", "-noout")).toThrow(/Command failed/);
  });

  test("reads the authorities of a PKCS#12 truststore", async () => {
    const [a, b] = [await makeEntry(), await makeEntry()];
    const path = save("t.p12", pkcs12Truststore([a.ca, b.ca], PASSWORD));
    const text = pkcs12(path, PASSWORD, "-nokeys");
    expect(parsePem("CERTIFICATE", text)).toEqual([a.ca, b.ca]);
    expect(text).toMatch(/friendlyName: ca\n[\s\S]*friendlyName: ca-2\n/);
  });
});

// A JDK is what the format is for; without one the cases below cannot be judged.
describe.skipIf(!HAS_JDK)("Java's keytool", () => {
  test.each(
    (["p12", "jks"] as const).flatMap((format) =>
      (["ec-p256", "rsa-2048"] as const).map((type) => [format, type] as const),
    ),
  )("reads the chain and the key of a %s keystore of type %s", async (format, type) => {
    const entry = await makeEntry(type);
    const make = format === "p12" ? pkcs12Keystore : jksKeystore;
    const path = save(`k.${format}`, make(entry, PASSWORD));
    const list = keytool("-list", path, "-rfc");
    expect(list).toContain("contains 1 entry");
    expect(list).toMatch(/^Alias name: certificate\n[\s\S]*^Entry type: PrivateKeyEntry$/m);
    expect(parsePem("CERTIFICATE", list)).toEqual(entry.chain);
    const copy = join(sandbox.dir, "copy.p12");
    const from = ["-srckeystore", path, "-srcstorepass", PASSWORD, "-srckeypass", PASSWORD];
    keytool(
      "-importkeystore",
      copy,
      ...from,
      "-deststoretype",
      "pkcs12",
      "-srcalias",
      "certificate",
      "-destkeypass",
      PASSWORD,
    );
    const key = createPrivateKey(pkcs12(copy, PASSWORD, "-nodes", "-nocerts"));
    expect(createPublicKey(key).export({ format: "pem", type: "spki" })).toBe(publicKeyOf(entry));
  });

  test("sees trusted certificates in both truststores", async () => {
    const authorities = [(await makeEntry()).ca, (await makeEntry()).ca];
    const paths = [
      save("t.p12", pkcs12Truststore(authorities, PASSWORD)),
      save("t.jks", jksTruststore(authorities, { password: PASSWORD, createdAt: 0 })),
    ];
    for (const path of paths) {
      const list = keytool("-list", path, "-rfc");
      expect(list).toContain("contains 2 entries");
      expect(list.match(/^Entry type: trustedCertEntry$/gm)).toHaveLength(2);
      expect(list).toMatch(/^Alias name: ca$/m);
      expect(list).toMatch(/^Alias name: ca-2$/m);
      const found = parsePem("CERTIFICATE", list);
      expect(found.map(String).toSorted()).toEqual(authorities.map(String).toSorted());
    }
  });

  test("refuses another password and a changed byte", async () => {
    const jks = jksKeystore(await makeEntry(), PASSWORD);
    expect(() =>
      run("keytool", [QUICK, "-list", "-keystore", save("k", jks), "-storepass", "another"]),
    ).toThrow(/Command failed/);
    jks[40] = (jks[40] ?? 0) ^ 1;
    expect(() => keytool("-list", save("k", jks))).toThrow(/Command failed/);
  });
});

describe("a keystore", () => {
  test("has the same bytes for the same identity, and other salts for another one", async () => {
    const [a, b] = [await makeEntry(), await makeEntry()];
    for (const make of [pkcs12Keystore, jksKeystore]) {
      expect(make(a, PASSWORD)).toEqual(make(a, PASSWORD));
      expect(make(a, PASSWORD)).not.toEqual(make(b, PASSWORD));
    }
    expect(pkcs12Truststore([a.ca], PASSWORD)).toEqual(pkcs12Truststore([a.ca], PASSWORD));
  });

  test("has a salt that only the key gives away", async () => {
    const [a, b] = [await makeEntry(), await makeEntry()];
    expect(keySalt(a, "x", 16)).toEqual(keySalt({ ...a }, "x", 16));
    expect(keySalt(a, "x", 16)).not.toEqual(keySalt({ ...a, privateKey: b.privateKey }, "x", 16));
    expect(keySalt(a, "x", 16)).not.toEqual(keySalt({ ...a, chain: b.chain }, "x", 16));
    expect(keySalt(a, "x", 16)).not.toEqual(keySalt(a, "y", 16));
  });

  test("does not hold the key as it is", async () => {
    const entry = await makeEntry();
    const scalar = entry.privateKey.subarray(36, 68);
    for (const make of [pkcs12Keystore, jksKeystore]) {
      expect(make(entry, PASSWORD).includes(scalar)).toBe(false);
    }
  });

  test("without any authority is still one", () => {
    const empty = pkcs12Truststore([], PASSWORD);
    expect(() => pkcs12(save("t.p12", empty), PASSWORD, "-nokeys")).not.toThrow();
    const jks = jksTruststore([], { password: PASSWORD, createdAt: 0 });
    const body = jks.subarray(0, -20);
    expect(body.toString("hex")).toBe("feedfeed0000000200000000");
    const hash = createHash("sha1").update(Buffer.from(PASSWORD, "utf16le").swap16());
    expect(jks.subarray(-20)).toEqual(hash.update("Mighty Aphrodite").update(body).digest());
  });
});

test("the certificates of the cases are a chain", async () => {
  const { chain, ca } = await makeEntry();
  const [leaf, intermediate, root] = [...chain, ca].map(
    (der) => new X509Certificate(pemBlock("CERTIFICATE", der)),
  );
  expect(leaf?.checkIssued(intermediate as X509Certificate)).toBe(true);
  expect(intermediate?.checkIssued(root as X509Certificate)).toBe(true);
});
