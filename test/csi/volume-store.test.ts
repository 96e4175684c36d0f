import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { FILE_SETS } from "../../src/api/volume-attributes/files.ts";
import { manualClock } from "../../src/core/clock.ts";
import type { ManualClock } from "../../src/core/clock.ts";
import { parseAttributes } from "../../src/csi/attributes.ts";
import { writePayload } from "../../src/csi/atomic-writer.ts";
import { identityFiles, layoutOf } from "../../src/csi/layout.ts";
import type { WorkloadIdentity } from "../../src/csi/ports.ts";
import type { VolumeSpec } from "../../src/csi/request.ts";
import { createTargets } from "../../src/csi/target.ts";
import { createVolumeStateStore, entriesOf } from "../../src/csi/volume-state.ts";
import { createVolumeStore } from "../../src/csi/volume-store.ts";
import type { VolumeStore } from "../../src/csi/volume-store.ts";
import { pemBlock } from "../../src/spiffe/pem.ts";
import {
  IS_ROOT,
  makePod,
  makeSandbox,
  memorySockets,
  recordingLog,
  scriptedSource,
} from "./fixtures.ts";
import type { Sandbox } from "./fixtures.ts";
import { makeRichIdentity } from "./identities.ts";

const START = Date.UTC(2026, 5, 1);
const ALL_SETS = Object.keys(FILE_SETS).join(",");
const HINTS = { hints: ["", "b"], federated: ["o.org"], audiences: ["vault"] };

let sandbox: Sandbox;
let clock: ManualClock;
let store: VolumeStore;
let rich: WorkloadIdentity;
beforeAll(async () => (rich = await makeRichIdentity(HINTS)));
beforeEach(async () => {
  sandbox = await makeSandbox();
  clock = manualClock(START);
  store = start();
});
afterEach(async () => {
  store.stop();
  await sandbox.cleanUp();
});

/** A new process on the same node. */
function start(log = recordingLog()): VolumeStore {
  store?.stop();
  const source = { ...scriptedSource(rich), addressOf: () => "127.0.0.1" };
  return createVolumeStore({
    podsDir: sandbox.dir,
    targets: createTargets(sandbox.mounter, "csi.spiffe.io"),
    states: createVolumeStateStore(join(sandbox.dir, "states")),
    identities: () => source,
    sockets: memorySockets(),
    clock,
    log,
  });
}

function newVolume(words: Record<string, string> = {}): VolumeSpec {
  const pod = makePod();
  const target = join(sandbox.dir, pod.uid);
  mkdirSync(target);
  const given = Object.entries(words).map(([name, value]) => [`signet.dev/${name}`, value]);
  const context = Object.fromEntries(given) as Record<string, string>;
  const defaults = { mountGroup: "", removal: "keep" } as const;
  return { id: `csi-${pod.uid}`, target, pod, ...parseAttributes(context, defaults) };
}

/** What a pod sees, by path. */
function shown({ target }: VolumeSpec): Map<string, string> {
  const found = new Map<string, string>();
  const walk = (folder: string, prefix: string): void => {
    for (const name of readdirSync(folder).filter((entry) => !entry.startsWith(".."))) {
      const path = join(folder, name);
      if (statSync(path).isDirectory()) walk(path, `${prefix}${name}/`);
      else found.set(`${prefix}${name}`, readFileSync(path, "latin1"));
    }
  };
  walk(target, "");
  return found;
}

/** Every byte that lies anywhere in the volume. */
const everything = ({ target }: VolumeSpec): string =>
  readdirSync(target, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), "latin1"))
    .join("\n");

describe("a restarted agent", () => {
  test.each(["default", "none", "jks", "rotated", ALL_SETS])(
    "knows again all that a volume with the files %s shows",
    async (files) => {
      const volume = newVolume({ files, "jwt-audiences": "vault", "file-mode": "0440" });
      await store.show(volume, rich);
      store = start();
      expect(store.recall(volume, [])).toEqual(rich);
      expect(store.records.get(volume.id)?.state.entries).toEqual(entriesOf(rich));
      expect(store.records.get(volume.id)?.notAfter).toBe(rich.svids[0]?.notAfter);
    },
  );

  test("knows again what an agent without records wrote, by the state's entry", async () => {
    const volume = newVolume();
    const moment = { now: START, previous: () => undefined };
    const files = new Map(identityFiles(rich, layoutOf(volume), moment));
    files.delete("bundle.json");
    writePayload(volume.target, files, { now: START });
    expect(store.recall(volume, entriesOf(rich))).toBeUndefined();
    const x5c = rich.bundle.x509Authorities.map((der) => der.toString("base64"));
    const json = JSON.stringify({ keys: [{ x5c }], spiffe_sequence: 3, spiffe_refresh_hint: 60 });
    writePayload(
      volume.target,
      new Map([...files, ["bundle.json", { content: Buffer.from(json), mode: 0o444 }]]),
      { now: START },
    );
    const [first] = rich.svids;
    expect(store.recall(volume, entriesOf(rich))).toEqual({
      svids: [{ ...first, federatesWith: [] }],
      privateKey: rich.privateKey,
      bundle: { ...rich.bundle, jwtAuthorities: [] },
      federatedBundles: [],
      tokens: [],
    });
    const foreign = { ...entriesOf(rich)[0], spiffeId: "spiffe://example.org/other" };
    expect(store.recall(volume, [foreign as ReturnType<typeof entriesOf>[0]])).toBeUndefined();
  });

  test("removes the files before, which the agent that ended could not remove any more", async () => {
    const volume = newVolume();
    await store.show(volume, rich);
    await store.show(volume, await makeRichIdentity());
    const generations = () => readdirSync(volume.target).filter((name) => /^\.\.\d/.test(name));
    expect(generations()).toHaveLength(2);
    store = start();
    store.recall(volume, []);
    expect(generations()).toHaveLength(1);
  });

  test("leaves files alone that show what they should, and puts right what does not", async () => {
    const volume = newVolume({ files: ALL_SETS });
    await store.show(volume, rich);
    const before = shown(volume);
    const generation = readdirSync(volume.target).toSorted();
    store = start();
    await clock.advance(60_000);
    store.recall(volume, []);
    await store.show(volume, rich);
    expect(readdirSync(volume.target).toSorted()).toEqual(generation);
    rmSync(join(volume.target, "..data/tls.key"));
    await store.show(volume, rich);
    expect(shown(volume)).toEqual(before);
  });
});

describe("a rotation", () => {
  test("renews keystores and the time of the write", async () => {
    const volume = newVolume({ files: "jks,pkcs12,rotated" });
    await store.show(volume, rich);
    const before = shown(volume);
    await clock.advance(60_000);
    await store.show(volume, { ...(await makeRichIdentity()), bundle: rich.bundle });
    const after = shown(volume);
    const changed = [...after].filter(([name, text]) => before.get(name) !== text);
    expect(changed.map(([name]) => name).toSorted()).toEqual([
      "keystore.jks",
      "keystore.p12",
      "rotated",
    ]);
    expect(after.get("rotated")).toBe("2026-06-01T00:01:00.000Z\n");
  });

  test("of anything, such as a token, is one in `rotated`", async () => {
    const volume = newVolume({ files: "rotated", "jwt-audiences": "vault" });
    await store.show(volume, rich);
    await clock.advance(1000);
    const tokens = rich.tokens.map((token) => ({ ...token, token: "fresh" }));
    await store.show(volume, { ...rich, tokens });
    expect(shown(volume)).toEqual(
      new Map([
        ["jwt/vault", "fresh"],
        ["rotated", "2026-06-01T00:00:01.000Z\n"],
      ]),
    );
  });
});

describe("a volume whose pod lost its identity", () => {
  const words = { files: ALL_SETS, "jwt-audiences": "vault" };
  const secrets = (): string[] => [
    rich.privateKey.toString("base64").slice(40, 80),
    pemBlock("X", rich.privateKey).split("\n")[2] ?? "",
    rich.tokens[0]?.token ?? "",
    pemBlock("X", rich.svids[0]?.chain[0] ?? Buffer.alloc(0)).split("\n")[2] ?? "",
  ];

  test("keeps trust bundles, and nowhere has a key, an SVID or a token", async () => {
    const volume = newVolume(words);
    await store.show(volume, rich);
    for (const secret of secrets()) expect(everything(volume)).toContain(secret);
    const before = shown(volume);
    await clock.advance(1000);
    await store.clear(volume);
    for (const secret of secrets()) expect(everything(volume)).not.toContain(secret);
    const after = shown(volume);
    expect([...after.keys()].toSorted()).toEqual([
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
    for (const [name, text] of after) expect(text === before.get(name)).toBe(name !== "rotated");
  });

  test("is known to have none, now and after a restart, and may have one again", async () => {
    const volume = newVolume(words);
    await store.show(volume, rich);
    await store.clear(volume);
    expect(store.records.get(volume.id)).toMatchObject({
      notAfter: undefined,
      state: { entries: [] },
    });
    const log = recordingLog();
    store = start(log);
    expect(store.recall(volume, [])).toBeUndefined();
    expect(log.lines).toEqual([]);
    const left = shown(volume);
    await store.clear(volume);
    expect(shown(volume)).toEqual(left);
    await store.show(volume, rich);
    expect(shown(volume).has("tls.key")).toBe(true);
    expect(store.recall(volume, [])).toEqual(rich);
  });

  test("that showed nothing shows nothing", async () => {
    const volume = newVolume(words);
    await store.show(volume, undefined);
    await store.clear(volume);
    expect(readdirSync(volume.target)).toEqual([]);
  });

  test("is emptied when what it showed cannot be read", async () => {
    const volume = newVolume(words);
    await store.show(volume, rich);
    writeFileSync(join(volume.target, "..data/.identity"), "bent");
    await store.clear(volume);
    expect(shown(volume)).toEqual(new Map());
    for (const secret of secrets()) expect(everything(volume)).not.toContain(secret);
  });
});

test("the record is for root alone, in no visible place", async () => {
  const volume = newVolume(IS_ROOT ? { uid: "1000", "fs-group": "1000" } : {});
  await store.show(volume, rich);
  const { mode, uid } = statSync(join(volume.target, "..data/.identity"));
  expect(mode & 0o7777).toBe(0o400);
  expect(uid).toBe(process.getuid?.());
  expect(existsSync(join(volume.target, ".identity"))).toBe(false);
});

/** A pod that notes at which paths it is told of a rotation. */
async function listeningPod() {
  const heard: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    heard.push(request.url);
    response.end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { heard, server, port };
}

test("a pod hears of changes that it wants to hear of, and never of its first files", async () => {
  const { heard, server, port } = await listeningPod();
  const volume = newVolume({ notify: `http://:${port}/rotated` });
  await store.show(volume, rich);
  await store.show(volume, rich);
  const silent = newVolume();
  await store.show(silent, rich);
  await store.show(silent, await makeRichIdentity());
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(heard).toEqual([]);
  await store.show(volume, await makeRichIdentity());
  await expect.poll(() => heard).toEqual(["/rotated"]);
  await store.clear(volume);
  await expect.poll(() => heard).toEqual(["/rotated", "/rotated"]);
  server.close();
});

test("files that changed are known and told of, also when the state cannot be kept", async () => {
  const { heard, server, port } = await listeningPod();
  const volume = newVolume({ notify: `http://:${port}/rotated` });
  await store.show(volume, rich);
  const { svids, ...other } = await makeRichIdentity(HINTS);
  const after = {
    ...other,
    svids: svids.map((svid) => ({ ...svid, notAfter: svid.notAfter + 1 })),
  };
  store = start();
  store.recall(volume, []);
  rmSync(join(sandbox.dir, "states"), { recursive: true });
  writeFileSync(join(sandbox.dir, "states"), "a file where the folder should be");
  await expect(store.show(volume, after)).rejects.toMatchObject({ code: "ENOTDIR" });
  expect(store.records.get(volume.id)?.notAfter).toBe(after.svids[0]?.notAfter);
  await expect.poll(() => heard).toEqual(["/rotated"]);
  rmSync(join(sandbox.dir, "states"));
  await store.show(volume, after);
  expect(readdirSync(join(sandbox.dir, "states"))).toHaveLength(1);
  server.close();
});

describe.skipIf(!IS_ROOT)("the largest layout", () => {
  const audiences = Array.from({ length: 16 }, (_, i) => `audience-${i}`);
  const words = {
    files: ALL_SETS,
    "jwt-audiences": audiences.join(","),
    "key-type": "rsa-4096",
    "key-format": "pkcs1",
  };

  test("fits twice into a volume, as a rotation needs it", async () => {
    const hints = Array.from({ length: 64 }, (_, i) => `identity-${i}`);
    const federated = Array.from({ length: 16 }, (_, i) => `td-${i}.example.org`);
    const largest = await makeRichIdentity({ keyType: "rsa-4096", hints, federated, audiences });
    const volume = newVolume(words);
    await createTargets(sandbox.mounter, "csi.spiffe.io").mount(volume.target);
    await store.show(volume, largest);
    await store.show(volume, { ...largest, bundle: { ...largest.bundle, sequence: 4 } });
    const generations = readdirSync(volume.target).filter((name) => /^\.\.\d/.test(name));
    expect(generations).toHaveLength(2);
    expect(shown(volume).get("jwt/audience-15")).toBe(largest.tokens[15]?.token);
    const { bsize, blocks, bfree } = statfsSync(volume.target);
    expect((blocks - bfree) * bsize).toBeLessThan(0.75 * blocks * bsize);
  });

  test("that does not fit for its foreign bundles is renewed beside those that are shown", async () => {
    const volume = newVolume();
    await createTargets(sandbox.mounter, "csi.spiffe.io").mount(volume.target);
    await store.show(volume, rich);
    const renewed = await makeRichIdentity(HINTS);
    const [foreign] = renewed.federatedBundles;
    const x509Authorities = Array.from({ length: 64 }, () => Buffer.alloc(20_000, 7));
    const grown = { ...renewed, federatedBundles: [{ ...foreign!, x509Authorities }] };
    await expect(store.show(volume, grown)).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
    expect(store.recall(volume, [])?.svids).toEqual(renewed.svids);
    expect(store.recall(volume, [])?.federatedBundles).toEqual(rich.federatedBundles);
  });

  test("that does not fit leaves the files and the state as they were", async () => {
    const volume = newVolume({ files: ALL_SETS });
    sandbox.mounter.mountTmpfs(volume.target, { source: "x", sizeBytes: 1 << 18, mode: 0o755 });
    await store.show(volume, rich);
    const before = shown(volume);
    const hints = Array.from({ length: 64 }, (_, i) => `identity-${i}`);
    const tooMuch = await makeRichIdentity({ hints });
    await expect(store.show(volume, tooMuch)).rejects.toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      message: expect.stringMatching(
        /no space for svids\/identity-\d+\/.*signet.dev\/files/,
      ) as string,
    });
    expect(shown(volume)).toEqual(before);
    expect(store.recall(volume, [])).toEqual(rich);
  });
});
