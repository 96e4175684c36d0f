import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { identityFiles } from "../../src/csi/layout.ts";
import { parseIdentityFiles } from "../../src/csi/readback.ts";
import { entriesOf } from "../../src/csi/volume-state.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import { makeIdentity, makeSandbox } from "./fixtures.ts";
import type { Sandbox } from "./fixtures.ts";

let sandbox: Sandbox;
beforeEach(async () => (sandbox = await makeSandbox()));
afterEach(async () => await sandbox.cleanUp());

const at = (name: string): string => join(sandbox.dir, name);
const openssl = (...args: string[]): string =>
  execFileSync("openssl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });

test("a volume has the names of Kubernetes, of SPIRE's helper and of SPIFFE's draft", async () => {
  const files = identityFiles(await makeIdentity(), { gid: undefined });
  expect([...files.keys()].toSorted()).toEqual([
    "bundle.json",
    "bundle.pem",
    "ca.crt",
    "credential-bundle.pem",
    "example.org.trust-bundle.pem",
    "svid.pem",
    "svid_key.pem",
    "tls.crt",
    "tls.key",
  ]);
  expect([...files.values()].map(({ mode }) => mode)).toEqual(Array(9).fill(0o444));
});

test("with a group only root and the group read what holds the key", async () => {
  const files = identityFiles(await makeIdentity(), { gid: 2000 });
  const closed = [...files].filter(([, { mode }]) => mode === 0o440).map(([name]) => name);
  expect(closed.toSorted()).toEqual(["credential-bundle.pem", "svid_key.pem", "tls.key"]);
  for (const [name, { content }] of files) {
    expect(content.includes("PRIVATE KEY")).toBe(closed.includes(name));
  }
});

test("OpenSSL verifies the chain against the bundle and finds the key to be its own", async () => {
  const files = identityFiles(await makeIdentity(), { gid: undefined });
  for (const [name, { content }] of files) writeFileSync(join(sandbox.dir, name), content);
  expect(openssl("verify", "-CAfile", at("ca.crt"), at("tls.crt"))).toContain(": OK");
  expect(openssl("x509", "-in", at("svid.pem"), "-noout", "-ext", "subjectAltName")).toContain(
    "URI:spiffe://example.org/ns/default/sa/web",
  );
  const ofKey = openssl("pkey", "-in", at("tls.key"), "-pubout");
  expect(openssl("x509", "-in", at("tls.crt"), "-noout", "-pubkey")).toBe(ofKey);
  expect(openssl("pkey", "-in", at("credential-bundle.pem"), "-pubout")).toBe(ofKey);
  expect(files.get("credential-bundle.pem")?.content.toString()).toMatch(
    /^-----BEGIN PRIVATE KEY-----\n[^-]+-----END PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n/,
  );
});

test("a trust domain that cannot be a file name has no file of its own", async () => {
  const identity = await makeIdentity();
  for (const name of [".", "..x", "a".repeat(240)]) {
    const bundle = { ...identity.bundle, trustDomain: parseTrustDomain(name) };
    const files = identityFiles({ ...identity, bundle }, { gid: undefined });
    expect(files.size).toBe(8);
  }
});

const readback = (files: ReadonlyMap<string, { content: Buffer }>, entry: unknown) =>
  parseIdentityFiles(
    (name) => files.get(name)?.content ?? Buffer.alloc(0),
    entry as Parameters<typeof parseIdentityFiles>[1],
  );

test("what was written is read back", async () => {
  const identity = await makeIdentity({ entryId: "e", revision: "r", hint: "internal" });
  const files = identityFiles(identity, { gid: undefined });
  expect(readback(files, entriesOf(identity)[0])).toEqual(identity);
});

test("without its entry an identity is read back, and is of no known revision", async () => {
  const files = identityFiles(await makeIdentity(), { gid: undefined });
  const svid = readback(files, undefined).svids[0];
  expect(svid).toMatchObject({ entryId: "", revision: "", hint: "" });
});

test("files that are not one identity are refused", async () => {
  const identity = await makeIdentity();
  const entry = entriesOf(identity)[0];
  const files = identityFiles(identity, { gid: undefined });
  const other = identityFiles(await makeIdentity(), { gid: undefined });
  const withFile = (name: string, content: Buffer | undefined) =>
    new Map(files).set(name, { content: content ?? Buffer.alloc(0), mode: 0o444 });
  const refusal = expect.objectContaining({ code: "MALFORMED" }) as Error;
  const foreignKey = withFile("tls.key", other.get("tls.key")?.content);
  expect(() => readback(foreignKey, entry)).toThrow(refusal);
  expect(() => readback(foreignKey, entry)).toThrow(/not a pair/);
  for (const name of ["tls.crt", "tls.key", "bundle.json"]) {
    expect(() => readback(withFile(name, Buffer.from("{}")), entry)).toThrow(refusal);
    expect(() => readback(withFile(name, undefined), entry)).toThrow(refusal);
  }
  expect(() => readback(files, { ...entry, spiffeId: "spiffe://example.org/other" })).toThrow(
    /not the one that was recorded/,
  );
});
