import { execFileSync } from "node:child_process";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { collision } from "../../src/api/volume-attributes/file-name.ts";
import { FILE_SETS } from "../../src/api/volume-attributes/files.ts";
import { isPayloadName } from "../../src/csi/atomic-writer.ts";
import type { Payload } from "../../src/csi/atomic-writer.ts";
import { identityFiles, layoutOf, trustBundleFiles } from "../../src/csi/layout.ts";
import type { WorkloadIdentity } from "../../src/csi/ports.ts";
import { parsePem } from "../../src/spiffe/pem.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import { makeSandbox } from "./fixtures.ts";
import type { Sandbox } from "./fixtures.ts";
import { bundleOf, makeRichIdentity } from "./identities.ts";

let sandbox: Sandbox;
let identity: WorkloadIdentity;
beforeAll(async () => (identity = await makeRichIdentity()));
beforeEach(async () => (sandbox = await makeSandbox()));
afterEach(async () => await sandbox.cleanUp());

const NOW = Date.UTC(2026, 1, 3, 4, 5, 6);
const MOMENT = { now: NOW, previous: () => undefined };

function layout(words: Record<string, string> = {}, gid?: number) {
  const given = Object.entries(words).map(([name, value]) => [`signet.dev/${name}`, value]);
  return layoutOf({ attributes: Object.fromEntries(given) as Record<string, string>, gid });
}
const filesOf = (of: WorkloadIdentity, words: Record<string, string> = {}, gid?: number) =>
  identityFiles(of, layout(words, gid), MOMENT);
const namesOf = (files: Payload) => [...files.keys()].toSorted();
const textOf = (files: Payload, name: string) => files.get(name)?.content.toString() ?? "";
const openssl = (...args: string[]): string =>
  execFileSync("openssl", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
function write(files: Payload): void {
  for (const [name, { content }] of files) writeFileSync(at(name), content);
}
const at = (name: string): string => join(sandbox.dir, name.replaceAll("/", "_"));

describe("names", () => {
  test("without a word are those of Kubernetes, of SPIRE's helper and of SPIFFE's draft", () => {
    const files = filesOf(identity);
    expect(namesOf(files)).toEqual([
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

  test("come with bundles, SVIDs and tokens as far as there are any", async () => {
    const rich = await makeRichIdentity({
      hints: ["", "internal"],
      federated: ["other.org"],
      audiences: ["vault", "https://x/y"],
    });
    const files = filesOf(rich, { "jwt-audiences": "vault,url=https://x/y,later" });
    const more = namesOf(files).filter((name) => !filesOf(identity).has(name));
    expect(more).toEqual([
      "federated/other.org.pem",
      "jwt/url",
      "jwt/vault",
      "other.org.trust-bundle.pem",
      "svids/internal/ca.crt",
      "svids/internal/tls.crt",
      "svids/internal/tls.key",
    ]);
    expect(textOf(files, "jwt/vault")).toBe(rich.tokens[0]?.token);
    expect(textOf(files, "jwt/url")).toBe(rich.tokens[1]?.token);
    expect(textOf(files, "federated/other.org.pem")).toBe(
      textOf(files, "other.org.trust-bundle.pem"),
    );
    expect(textOf(files, "federated/other.org.pem")).not.toBe(textOf(files, "ca.crt"));
    write(files);
    const svid = ["-in", at("svids/internal/tls.crt"), "-noout", "-ext", "subjectAltName"];
    expect(openssl("x509", ...svid)).toContain("URI:spiffe://example.org/ns/shop/sa/web-1");
    expect(textOf(files, "svids/internal/tls.key")).toBe(textOf(files, "tls.key"));
  });

  test.each(Object.entries(FILE_SETS))("of the set %s alone are its own", (set, names) => {
    const extra = set === "credential-bundle" ? ["example.org.trust-bundle.pem"] : [];
    expect(namesOf(filesOf(identity, { files: set }))).toEqual([...names, ...extra].toSorted());
  });

  test("are none with `none`, but the tokens that were asked for", async () => {
    const rich = await makeRichIdentity({
      hints: ["", "b"],
      audiences: ["a"],
      federated: ["o.org"],
    });
    const words = { files: "none", "jwt-audiences": "a" };
    expect(namesOf(filesOf(rich, words))).toEqual(["jwt/a"]);
  });

  test("can be changed", () => {
    const words = { files: "kubernetes", "file-names": "tls.crt=pki/server.pem,tls.key=tls.crt" };
    const files = filesOf(identity, words);
    expect(namesOf(files)).toEqual(["ca.crt", "pki/server.pem", "tls.crt"]);
    expect(textOf(files, "pki/server.pem")).toContain("BEGIN CERTIFICATE");
    expect(textOf(files, "tls.crt")).toContain("BEGIN PRIVATE KEY");
  });

  test("of a trust domain that cannot be a file are left out", () => {
    for (const name of [".", "..x", ".x", "a".repeat(250)]) {
      const bundle = { ...identity.bundle, trustDomain: parseTrustDomain(name) };
      const files = filesOf({ ...identity, bundle, federatedBundles: [bundleOf(name, [])] });
      expect(files.size).toBe(8);
    }
  });

  test("of the own trust domain are no foreign ones", () => {
    const files = filesOf({ ...identity, federatedBundles: [bundleOf("example.org", [])] });
    expect(files.has("federated/example.org.pem")).toBe(false);
    expect(textOf(files, "example.org.trust-bundle.pem")).toBe(textOf(files, "ca.crt"));
  });
});

describe("modes", () => {
  const secrets = ["credential-bundle.pem", "jwt/a", "svid_key.pem", "svids/b/tls.key", "tls.key"];

  test.each([
    [{}, 2000, 0o440],
    [{ uid: "7" }, undefined, 0o400],
    [{ uid: "7" }, 2000, 0o440],
    [{ "key-mode": "0400" }, 2000, 0o400],
  ])("with %j and the group %j close what holds a key or a token", async (words, gid, mode) => {
    const rich = await makeRichIdentity({ hints: ["", "b"], audiences: ["a"] });
    const files = filesOf(rich, { "jwt-audiences": "a", ...words }, gid);
    const closed = namesOf(files).filter((name) => files.get(name)?.mode === mode);
    expect(closed).toEqual(secrets);
    const withKey = namesOf(files).filter((name) => textOf(files, name).includes("PRIVATE KEY"));
    expect(withKey).toEqual(secrets.filter((name) => name !== "jwt/a"));
  });

  test("of keystores and of the combined file are those of keys, of truststores those of all", () => {
    const files = filesOf(
      identity,
      { files: "jks,pkcs12,combined,rotated", "file-mode": "440" },
      7,
    );
    const keys = ["keystore.jks", "keystore.p12", "tls-combined.pem"];
    expect(namesOf(files)).toEqual(
      [...keys, "rotated", "truststore.jks", "truststore.p12"].toSorted(),
    );
    const open = filesOf(identity, { files: "jks,pkcs12,combined,rotated", "key-mode": "400" });
    const closed = namesOf(open).filter((name) => open.get(name)?.mode === 0o400);
    expect(closed).toEqual(keys);
    expect(new Set([...files.values()].map(({ mode }) => mode))).toEqual(new Set([0o440]));
  });
});

describe("contents", () => {
  test("are verified by OpenSSL with the bundle, and the key is the certificate's own", () => {
    const files = filesOf(identity, { files: "default,combined" });
    write(files);
    const chain = ["-untrusted", at("tls.crt"), at("tls.crt")];
    expect(openssl("verify", "-CAfile", at("ca.crt"), ...chain)).toContain(": OK");
    const ofKey = openssl("pkey", "-in", at("tls.key"), "-pubout");
    expect(openssl("x509", "-in", at("svid.pem"), "-noout", "-pubkey")).toBe(ofKey);
    for (const name of ["svid_key.pem", "credential-bundle.pem", "tls-combined.pem"]) {
      expect(openssl("pkey", "-in", at(name), "-pubout")).toBe(ofKey);
    }
    expect(textOf(files, "credential-bundle.pem")).toMatch(
      /^-----BEGIN PRIVATE KEY-----\n[^-]+-----END PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n/,
    );
  });

  test("have the time of the write in `rotated`, by RFC 3339", () => {
    const files = filesOf(identity, { files: "rotated" });
    expect(textOf(files, "rotated")).toBe("2026-02-03T04:05:06.000Z\n");
  });

  test("are the same for the same identity, the time apart", () => {
    const words = { files: "default,jks,pkcs12,combined,rotated" };
    const later = identityFiles(identity, layout(words), { ...MOMENT, now: NOW + 1000 });
    const changed = [...filesOf(identity, words)].filter(
      ([name, { content }]) => later.get(name)?.content.equals(content) !== true,
    );
    expect(changed.map(([name]) => name)).toEqual(["rotated"]);
  });

  test("take from what is shown only what costs or tells time", () => {
    const asked: string[] = [];
    const words = { files: "default,jks,pkcs12,rotated", "file-names": "rotated=r" };
    const previous = (name: string): Buffer => {
      asked.push(name);
      return Buffer.from("before");
    };
    const files = identityFiles(identity, layout(words), { now: NOW, previous });
    const kept = [...files].filter(([, { content }]) => content.toString() === "before");
    const names = ["keystore.jks", "keystore.p12", "r", "truststore.jks", "truststore.p12"];
    expect(kept.map(([name]) => name).toSorted()).toEqual(names);
  });

  test("without an identity are trust bundles and truststores", async () => {
    const rich = await makeRichIdentity({
      hints: ["", "b"],
      audiences: ["a"],
      federated: ["o.org"],
    });
    const words = { files: "default,jks,pkcs12,combined,rotated", "jwt-audiences": "a" };
    const left = trustBundleFiles(rich, layout(words), MOMENT);
    expect(namesOf(left)).toEqual([
      "bundle.json",
      "bundle.pem",
      "ca.crt",
      "example.org.trust-bundle.pem",
      "federated/o.org.pem",
      "o.org.trust-bundle.pem",
      "rotated",
      "truststore.jks",
      "truststore.p12",
    ]);
    const all = filesOf(rich, words);
    for (const [name, { content }] of left) expect(all.get(name)?.content).toEqual(content);
  });
});

const LABELS = { pkcs8: "PRIVATE KEY", sec1: "EC PRIVATE KEY", pkcs1: "RSA PRIVATE KEY" } as const;

describe("keys", () => {
  test.each([
    ["ec-p256", "pkcs8"],
    ["ec-p256", "sec1"],
    ["ec-p384", "sec1"],
    ["rsa-2048", "pkcs8"],
    ["rsa-2048", "pkcs1"],
    ["rsa-4096", "pkcs1"],
  ] as const)(
    "of type %s in the format %s are read by OpenSSL as the same key",
    async (type, format) => {
      const rich = await makeRichIdentity({ keyType: type, hints: ["", "b"] });
      const words = { files: "default,combined", "key-type": type, "key-format": format };
      const files = filesOf(rich, words);
      write(files);
      const key = { key: rich.privateKey, format: "der", type: "pkcs8" } as const;
      const spki = createPublicKey(createPrivateKey(key)).export({ format: "pem", type: "spki" });
      for (const name of ["tls.key", "svid_key.pem", "tls-combined.pem", "svids/b/tls.key"]) {
        expect(parsePem(LABELS[format], textOf(files, name))).toHaveLength(1);
        expect(openssl("pkey", "-in", at(name), "-pubout")).toBe(spki);
        expect(openssl("pkey", "-in", at(name), "-check", "-noout")).toContain("Key is valid");
      }
      expect(parsePem("PRIVATE KEY", textOf(files, "credential-bundle.pem"))).toEqual([
        rich.privateKey,
      ]);
    },
  );

  test("of another kind than the format is for stay PKCS#8", async () => {
    const rich = await makeRichIdentity({ keyType: "rsa-2048" });
    expect(textOf(filesOf(rich, { "key-format": "sec1" }), "tls.key")).toContain(
      "BEGIN PRIVATE KEY",
    );
  });
});

const anyHint = fc.oneof(
  fc.constantFrom("", "a", "a-2", ".", "..", "a/b", "../../etc", "svid", "a_b", "x".repeat(64)),
  fc.string({ maxLength: 70 }),
  fc.string({ unit: "binary", maxLength: 70 }),
);
const anyDomain = fc.oneof(
  fc.constantFrom(".", "..", "example.org", "x".repeat(255)),
  fc.stringMatching(/^[a-z0-9._-]{1,255}$/),
);
const sets = fc.subarray(Object.keys(FILE_SETS) as (keyof typeof FILE_SETS)[], { minLength: 1 });
const audiences = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,9}$/), {
  minLength: 1,
  maxLength: 16,
});

test("any layout of any identity has valid, different names and fits an atomic write", () => {
  const svid = identity.svids[0];
  if (svid === undefined) throw new Error("no SVID");
  fc.assert(
    fc.property(
      fc.array(fc.record({ hint: anyHint, entryId: fc.constantFrom("", "e", "f") }), {
        minLength: 1,
        maxLength: 12,
      }),
      fc.array(anyDomain, { maxLength: 4 }),
      fc.tuple(sets, audiences),
      (entries, domains, [chosen, wanted]) => {
        const odd: WorkloadIdentity = {
          ...identity,
          svids: entries.map((entry) => ({ ...svid, ...entry })),
          federatedBundles: domains.map((name) => bundleOf(name, [])),
          tokens: wanted.map((audience) => ({
            audience,
            spiffeId: svid.spiffeId,
            token: audience,
            issuedAt: 0,
            expiresAt: 1,
          })),
        };
        const words = { files: chosen.join(","), "jwt-audiences": wanted.join(",") };
        const paths = [...filesOf(odd, words).keys()];
        expect(paths.filter((path) => !isPayloadName(path) || /^\.|\/\./.test(path))).toEqual([]);
        expect(collision(paths)).toBeUndefined();
        const shown = entries.filter(({ hint }, i) => i > 0 || hint !== "").length;
        const folders = paths.filter((path) => /^svids\/[^/]+\/tls\.key$/.test(path));
        expect(folders).toHaveLength(chosen.includes("svids") ? shown : 0);
        expect(paths.filter((path) => path.startsWith("jwt/"))).toHaveLength(wanted.length);
      },
    ),
    { numRuns: 200 },
  );
});
