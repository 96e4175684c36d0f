import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SOCKET_NAME, SOCKET_ALIASES } from "../../src/workload-api/socket-file.ts";
import { collision, isFileName, isFilePath } from "../../src/api/volume-attributes/file-name.ts";
import { FILE_SETS } from "../../src/api/volume-attributes/files.ts";
import { ATTRIBUTE_NAMES, SOCKET_NAMES } from "../../src/api/volume-attributes/names.ts";
import {
  ownAttributes,
  parseVolumeAttributes,
  VOLUME_KEY_TYPES,
} from "../../src/api/volume-attributes/parse.ts";
import type { VolumeAttributes } from "../../src/api/volume-attributes/parse.ts";
import { KEY_TYPES } from "../../src/ca/key-pair.ts";
import { isSignetError } from "../../src/core/errors.ts";

type Words = Readonly<Record<string, string>>;
const parse = (words: Words) => {
  const given = Object.entries(words).map(([name, value]) => [`signet.dev/${name}`, value]);
  return parseVolumeAttributes(Object.fromEntries(given) as Words, "volume attribute");
};

describe("a pod that says nothing", () => {
  it("has the files of Kubernetes, of SPIRE's helper and of SPIFFE's draft, with a P-256 key", () => {
    expect(parse({})).toEqual({
      optional: false,
      gid: undefined,
      uid: undefined,
      jwtFiles: [],
      fileSets: new Set([
        "kubernetes",
        "spiffe-helper",
        "credential-bundle",
        "bundle-json",
        "federated",
        "svids",
      ]),
      fileNames: new Map(),
      fileMode: 0o444,
      keyMode: undefined,
      keyFormat: "pkcs8",
      keyType: "ec-p256",
      keystorePassword: "changeit",
      removal: undefined,
      notify: undefined,
    });
  });

  it("may have attributes of other drivers, and cert-manager's group", () => {
    const given = { "example.com/x": "y", "spiffe.csi.cert-manager.io/fs-group": "7" };
    expect(parseVolumeAttributes(given, "volume attribute").gid).toBe(7);
    const both = { ...given, "signet.dev/fs-group": "8" };
    expect(parseVolumeAttributes(both, "volume attribute").gid).toBe(8);
    expect(ownAttributes({ ...both, "csi.storage.k8s.io/pod.uid": "u" })).toEqual({
      "signet.dev/fs-group": "8",
      "spiffe.csi.cert-manager.io/fs-group": "7",
    });
  });
});

describe("audiences", () => {
  const files = (text: string) => parse({ "jwt-audiences": text }).jwtFiles;

  it("name their files, with _ for what a file name cannot hold", () => {
    expect(files("vault, https://sts.example.com/a?b=c")).toEqual([
      { name: "vault", audience: "vault" },
      { name: "https___sts.example.com_a_b_c", audience: "https://sts.example.com/a?b=c" },
    ]);
  });

  it("may be given a file name, which ends at the first equals sign", () => {
    expect(files("aws=sts.amazonaws.com,x=a=b")).toEqual([
      { name: "aws", audience: "sts.amazonaws.com" },
      { name: "x", audience: "a=b" },
    ]);
  });

  it("are at most 16, of at most 256 bytes each", () => {
    const many = (count: number) => Array.from({ length: count }, (_, i) => `a${i}`).join(",");
    expect(files(many(16))).toHaveLength(16);
    expect(() => files(many(17))).toThrow(/at most 16 audiences/);
    expect(files(`x=${"a".repeat(256)}`)).toHaveLength(1);
    expect(() => files(`x=${"a".repeat(257)}`)).toThrow(/more than 256 bytes/);
    expect(() => files(`x=${"ä".repeat(129)}`)).toThrow(/more than 256 bytes/);
  });
});

describe("files", () => {
  it("are sets of the list, with `default` for the default ones", () => {
    expect(parse({ files: "jks , pkcs12,jks" }).fileSets).toEqual(new Set(["jks", "pkcs12"]));
    const { fileSets } = parse({ files: "default,rotated" });
    expect(fileSets).toEqual(new Set([...parse({}).fileSets, "rotated"]));
    expect(parse({ files: "none" }).fileSets).toEqual(new Set());
  });

  it("may be called otherwise, in a folder too, and change places", () => {
    const words = { "file-names": "tls.crt=tls.key, tls.key=tls.crt,ca.crt=pki/ca/root.pem" };
    expect(parse(words).fileNames).toEqual(
      new Map([
        ["tls.crt", "tls.key"],
        ["tls.key", "tls.crt"],
        ["ca.crt", "pki/ca/root.pem"],
      ]),
    );
  });

  it("may take a name that is free because its set was not chosen", () => {
    const words = { files: "kubernetes", "file-names": "tls.crt=svid.pem" };
    expect(parse(words).fileNames.get("tls.crt")).toBe("svid.pem");
  });
});

describe("modes, owners, keys and the rest", () => {
  it("are read", () => {
    const words = {
      optional: "true",
      "fs-group": "0",
      uid: "4294967294",
      "file-mode": "0440",
      "key-mode": "400",
      "key-type": "rsa-4096",
      "key-format": "pkcs1",
      "keystore-password": "s3cret!",
      "on-removal": "remove",
      notify: "http://:8080/-/reload?now=1",
    };
    expect(parse(words)).toMatchObject({
      optional: true,
      gid: 0,
      uid: 4_294_967_294,
      fileMode: 0o440,
      keyMode: 0o400,
      keyType: "rsa-4096",
      keyFormat: "pkcs1",
      keystorePassword: "s3cret!",
      removal: "remove",
      notify: { port: 8080, path: "/-/reload?now=1" },
    });
    expect(parse({ notify: "http://:65535" }).notify).toEqual({ port: 65_535, path: "/" });
    expect(parse({ "on-removal": "keep" }).removal).toBe("keep");
    expect(parse({ "key-format": "sec1", "key-type": "ec-p384" }).keyFormat).toBe("sec1");
  });
});

const REFUSED: readonly [Words, RegExp][] = [
  [{ optinal: "true" }, /^volume attribute "signet.dev\/optinal" is unknown; known are .*files/],
  [{ optional: "yes" }, /optional="yes" must be "true" or "false"$/],
  [{ "fs-group": "4294967295" }, /must be a group ID between 0 and 4294967294/],
  [{ uid: "-1" }, /uid="-1" must be a user ID/],
  [{ uid: "" }, /must be a user ID/],
  [{ "jwt-audiences": "" }, /audience that is empty/],
  [{ "jwt-audiences": "a,,b" }, /audience that is empty/],
  [{ "jwt-audiences": "a b" }, /holds spaces/],
  [{ "jwt-audiences": "a\u0000b" }, /holds spaces/],
  [{ "jwt-audiences": "a/b,a?b" }, /"a\/b" and "a\?b" into the same file jwt\/a_b; give/],
  [{ "jwt-audiences": "x=a,y=a" }, /names the audience "a" twice/],
  [{ "jwt-audiences": ".." }, /cannot have a file jwt\/\.\. for "\.\."; write <file name>=/],
  [{ "jwt-audiences": ".x=a" }, /cannot have a file/],
  [{ files: "" }, /"" is no set of files; known are default, kubernetes/],
  [{ files: "kubernets" }, /"kubernets" is no set of files/],
  [{ files: "none,jks" }, /"none" stands alone/],
  [{ files: "constructor" }, /is no set of files/],
  [{ "file-names": "tls.crt" }, /must be <file>=<new name>/],
  [{ "file-names": "tls.crt=a=b" }, /must be <file>=<new name>/],
  [{ "file-names": "keystore.p12=a" }, /not among the volume's files; they are tls.crt/],
  [{ files: "none", "file-names": "tls.crt=a" }, /they are none$/],
  [{ "file-names": "tls.crt=a,tls.crt=b" }, /names tls.crt twice/],
  [{ "file-names": "tls.crt=svid.pem" }, /two files of the name "svid.pem"/],
  [{ "file-names": "tls.crt=a,tls.key=a" }, /two files of the name "a"/],
  [{ "file-names": "tls.crt=ca.crt/x" }, /two files of the name "ca.crt"/],
  ...["", ".x", "..", "../x", "/x", "a//b", "a/../b", "a/b/c/d/e", "ä", "x".repeat(256)].map(
    (name): [Words, RegExp] => [{ "file-names": `tls.crt=${name}` }, /has the name ".*; a name is/],
  ),
  ...["api.sock", "socket", "spire-agent.sock", "jwt", "svids/x", "federated/x"].map(
    (name): [Words, RegExp] => [{ "file-names": `tls.crt=${name}` }, /not one of api.sock/],
  ),
  [{ "file-names": "tls.crt=x.trust-bundle.pem" }, /not one of api.sock/],
  ...["0644", "0200", "0000", "040", "0555", "1444", "rw", "", "0o400", "-400"].map(
    (mode): [Words, RegExp] => [{ "key-mode": mode }, /must be one of the octal modes 0400/],
  ),
  [{ "file-mode": "0600" }, /file-mode="0600" must be one of/],
  [{ "key-type": "ed25519" }, /must be "ec-p256", "ec-p384", "rsa-2048" or "rsa-4096"/],
  [{ "key-format": "sec1", "key-type": "rsa-2048" }, /set signet.dev\/key-type to ec-p256 or/],
  [{ "key-format": "pkcs1" }, /does not fit a key of type ec-p256; set .* to rsa-2048 or rsa-4096/],
  [{ "on-removal": "delete" }, /must be "keep" or "remove"/],
  [{ "keystore-password": "short" }, /6 to 128 printable ASCII/],
  [{ "keystore-password": "pass word" }, /without spaces/],
  [{ notify: "http://127.0.0.1:80/" }, /the host is always the pod's own address/],
  [{ notify: "https://:443/" }, /must be http:/],
  [{ notify: "http://:0/" }, /must be http:/],
  [{ notify: "http://:65536/" }, /must be http:/],
  [{ notify: "http://:80/a b" }, /must be http:/],
  [{ notify: "http://:80/a\r\nHost: x" }, /must be http:/],
  [{ notify: `http://:80/${"a".repeat(512)}` }, /at most 512 characters/],
  [{ files: "x".repeat(8193) }, /must be at most 8192 bytes/],
];

it.each(REFUSED)("%j is refused", (words, message) => {
  expect(() => parse(words)).toThrow(
    expect.objectContaining({
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(message) as string,
    }),
  );
});

it("a refused password is not repeated", () => {
  expect(() => parse({ "keystore-password": "my pass" })).not.toThrow(/my pass/);
});

const names = Object.values(FILE_SETS).flat();
const piece = fc.oneof(
  fc.constantFrom(...names, "jks", "default", "none", "a", "..", "sec1", "rsa-2048", "0444", "7"),
  fc.string({ maxLength: 12 }),
);
const value = fc
  .array(fc.oneof(piece, fc.constantFrom(",", "=", "/", ".", " ")), { maxLength: 12 })
  .map((pieces) => pieces.join(""));
const anyWords = fc.dictionary(fc.constantFrom(...ATTRIBUTE_NAMES, "signet.dev/x", "o/x"), value);

function expectSound(read: VolumeAttributes): void {
  const { fileNames, jwtFiles, fileSets, fileMode, keyMode = 0o400 } = read;
  const files = [...fileSets].flatMap((set) => [...FILE_SETS[set]]);
  const paths = files.map((file) => fileNames.get(file) ?? file);
  expect(paths.every(isFilePath)).toBe(true);
  expect(collision(paths)).toBeUndefined();
  expect(new Set(jwtFiles.map(({ name }) => name)).size).toBe(jwtFiles.length);
  expect(jwtFiles.every(({ name }) => isFileName(name))).toBe(true);
  expect((fileMode | keyMode) & ~0o444).toBe(0);
}

function expectClear(error: unknown, words: Words): void {
  if (!isSignetError(error, "INVALID_ARGUMENT")) throw error;
  expect(Object.keys(words)).toContain(error.details["annotation"]);
  expect(error.message).toContain(String(error.details["annotation"]));
  expect(error.message.length).toBeLessThan(2500);
}

it("any attributes are read or refused in words that name the attribute, whatever they are", () => {
  let read = 0;
  const attempt = (words: Words): void => {
    try {
      expectSound(parseVolumeAttributes(words, "annotation"));
      read++;
    } catch (error) {
      expectClear(error, words);
    }
  };
  fc.assert(fc.property(anyWords, attempt), { numRuns: 2000 });
  expect(read).toBeGreaterThan(20);
});

it("a collision is a path that is there twice, or a file that is a folder", () => {
  expect(collision(["a", "b/c", "b/d", "bc"])).toBeUndefined();
  expect(collision(["a", "b", "a"])).toBe("a");
  expect(collision(["b/c/d", "b/c"])).toBe("b/c");
  expect(collision(["b", "b/c/d"])).toBe("b");
});

it("key types and sockets are those of the parts that make them", () => {
  expect(VOLUME_KEY_TYPES).toEqual(KEY_TYPES);
  expect(SOCKET_NAMES).toEqual([SOCKET_NAME, ...SOCKET_ALIASES]);
});
