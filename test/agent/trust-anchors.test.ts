import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { silentLog } from "../../src/core/log.ts";
import { authoritiesOfDocument } from "../../src/agent/bundle-file.ts";
import { anchorSet, trustAnchors } from "../../src/agent/trust-anchors.ts";
import { watchedFile } from "../../src/agent/watched-file.ts";
import { bundleDocument } from "../../src/spiffe/bundle.ts";
import { testAuthority } from "../fakes/authority.ts";
import type { TestAuthority } from "../fakes/authority.ts";
import { bundleOf, replaceFile, tempDir } from "./fixture.ts";

let one: TestAuthority;
let two: TestAuthority;
let dir: ReturnType<typeof tempDir>;
beforeAll(async () => {
  one = await testAuthority("one");
  two = await testAuthority("two");
});
beforeEach(() => {
  dir = tempDir();
});
afterEach(() => dir[Symbol.dispose]());

const write = (name: string, text: string): void => replaceFile(join(dir.path, name), text);
const open = () => trustAnchors({ bundleDir: dir.path, log: silentLog() });

test("both files and the pushed bundle are united without repetition", () => {
  write("bundle.json", bundleDocument(bundleOf([one])));
  write("bundle.pem", one.pem + two.pem);
  const anchors = open();
  expect(anchors.current().certificates).toEqual([one.der, two.der]);
  anchors.push(bundleOf([two]));
  expect(anchors.current().certificates).toEqual([one.der, two.der]);
});

test("only the newest pushed bundle counts", () => {
  const anchors = open();
  anchors.push(bundleOf([one]));
  anchors.push(bundleOf([two]));
  expect(anchors.current().certificates).toEqual([two.der]);
});

test("a replaced file is read again, a removed or broken one leaves what was known", () => {
  const anchors = open();
  expect(anchors.current().certificates).toEqual([]);
  write("bundle.json", bundleDocument(bundleOf([one])));
  expect(anchors.current().certificates).toEqual([one.der]);
  write("bundle.json", bundleDocument(bundleOf([two])));
  expect(anchors.current().certificates).toEqual([two.der]);
  for (const broken of [
    "{",
    "[]",
    '{"keys":[]}',
    '{"keys":[{"use":"x509-svid","x5c":["eA=="]}]}',
  ]) {
    write("bundle.json", broken);
    expect(anchors.current().certificates).toEqual([two.der]);
  }
  rmSync(join(dir.path, "bundle.json"));
  expect(anchors.current().certificates).toEqual([two.der]);
});

test("a bundle of a CA that OpenSSL made is read", () => {
  const pem = join(dir.path, "bundle.pem");
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const out = ["-keyout", join(dir.path, "ca.key"), "-out", pem, "-subj", "/CN=openssl"];
  execFileSync("openssl", ["req", "-x509", ...key, ...out, "-days", "1"], { stdio: "ignore" });
  const expected = new X509Certificate(readFileSync(pem)).raw;
  expect(open().current().certificates).toEqual([expected]);
});

test("keys of other use in a bundle document are passed over", () => {
  const document = JSON.parse(bundleDocument(bundleOf([one]))) as { keys: object[] };
  document.keys.unshift({ use: "jwt-svid", kid: "a", kty: "EC" }, { kty: "RSA" });
  expect(authoritiesOfDocument(JSON.stringify(document))).toEqual([one.der]);
});

test("sets with the same certificates have the same fingerprint, others have another", () => {
  const both = anchorSet([one.der, two.der]).fingerprint;
  expect(anchorSet([two.der, one.der, two.der]).fingerprint).toBe(both);
  expect(anchorSet([one.der]).fingerprint).not.toBe(both);
});

test("a watched file follows replacements and rewrites, and is missing when it is gone", () => {
  const path = join(dir.path, "token");
  const file = watchedFile(path);
  expect(file.read()).toBeUndefined();
  replaceFile(path, "a");
  expect(file.read()).toBe("a");
  replaceFile(path, "b");
  expect(file.read()).toBe("b");
  rmSync(path);
  expect(file.read()).toBeUndefined();
});
