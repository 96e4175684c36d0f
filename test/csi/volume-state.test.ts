import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { KEY_TYPES } from "../../src/ca/key-pair.ts";
import { createVolumeStateStore, decodeState, encodeState } from "../../src/csi/volume-state.ts";
import type { VolumeState } from "../../src/csi/volume-state.ts";
import { makeSandbox } from "./fixtures.ts";
import type { Sandbox } from "./fixtures.ts";

let sandbox: Sandbox;
let folder: string;
beforeEach(async () => {
  sandbox = await makeSandbox();
  folder = join(sandbox.dir, "volumes");
});
afterEach(async () => await sandbox.cleanUp());

const state = (id: string, change: Partial<VolumeState> = {}): VolumeState => ({
  id,
  target: "/pods/uid-1/mount",
  pod: { uid: "uid-1", name: "web-0", namespace: "shop", serviceAccount: "web" },
  gid: undefined,
  optional: false,
  jwtAudiences: [],
  keyType: "ec-p256",
  removal: "keep",
  attributes: {},
  entries: [{ entryId: "e", revision: "r", spiffeId: "spiffe://example.org/a", hint: "h" }],
  ...change,
});
const KUBELET_ID = `csi-${"0a".repeat(32)}`;

test("states survive the process", async () => {
  await createVolumeStateStore(folder).save(state(KUBELET_ID, { gid: 2000 }));
  await createVolumeStateStore(folder).save(state("../odd id", { optional: true, entries: [] }));
  const { states, broken } = await createVolumeStateStore(folder).loadAll();
  expect(broken).toEqual([]);
  expect(states).toHaveLength(2);
  expect(states).toContainEqual(state(KUBELET_ID, { gid: 2000 }));
  expect(states).toContainEqual(state("../odd id", { optional: true, entries: [] }));
});

test("a file is named by kubelet's ID, or by the hash of any other", async () => {
  const store = createVolumeStateStore(folder);
  await store.save(state(KUBELET_ID));
  await store.save(state("../../etc/passwd"));
  const names = (await readdir(folder)).toSorted();
  expect(names).toEqual([
    `${KUBELET_ID}.json`,
    expect.stringMatching(/^sha256-[0-9a-f]{64}\.json$/),
  ]);
  expect((await stat(join(folder, `${KUBELET_ID}.json`))).mode & 0o777).toBe(0o600);
});

test("removing is repeatable", async () => {
  const store = createVolumeStateStore(folder);
  await store.save(state(KUBELET_ID));
  await store.remove(KUBELET_ID);
  await store.remove(KUBELET_ID);
  expect(await store.loadAll()).toEqual({ states: [], broken: [] });
});

test("what a crash or a stranger left is named and removed", async () => {
  await mkdir(folder);
  await writeFile(join(folder, `${KUBELET_ID}.json`), "");
  await writeFile(join(folder, `${KUBELET_ID}.json.tmp`), encodeState(state(KUBELET_ID)));
  await writeFile(join(folder, "stolen-name.json"), encodeState(state(KUBELET_ID)));
  const store = createVolumeStateStore(folder);
  expect(await store.loadAll()).toMatchObject({ states: [] });
  expect(await readdir(folder)).toEqual([]);
});

test("a folder that an intruder put there does not stop the start", async () => {
  await mkdir(join(folder, `${KUBELET_ID}.json`), { recursive: true });
  const store = createVolumeStateStore(folder);
  expect(await store.loadAll()).toEqual({ states: [], broken: [`${KUBELET_ID}.json`] });
});

test("nothing but the named fields reaches the disk", async () => {
  const store = createVolumeStateStore(folder);
  const entry = { ...state("x").entries[0], privateKey: "SECRET" };
  const pod = { ...state("x").pod, token: "SECRET" };
  const leaky = { ...state(KUBELET_ID), podToken: "SECRET", pod, entries: [entry] };
  await store.save(leaky as unknown as VolumeState);
  expect(await readFile(join(folder, `${KUBELET_ID}.json`), "utf8")).not.toContain("SECRET");
});

test("every state is read as it was written", () => {
  const text = fc.string({ minLength: 1 });
  const pod = fc.record({ uid: text, name: text, namespace: text, serviceAccount: text });
  const entry = fc.record({ entryId: text, revision: text, spiffeId: text, hint: fc.string() });
  const states = fc.record({
    id: text,
    target: text.map((path) => `/${path}`),
    pod,
    gid: fc.option(fc.nat(), { nil: undefined }),
    optional: fc.boolean(),
    removal: fc.constantFrom("keep" as const, "remove" as const),
    words: fc.record({
      audience: fc.constantFrom("vault", "sts"),
      keyType: fc.constantFrom(...KEY_TYPES),
    }),
    entries: fc.array(entry),
  });
  fc.assert(
    fc.property(states, ({ words: { audience, keyType }, ...rest }) => {
      const attributes = { "signet.dev/jwt-audiences": audience, "signet.dev/key-type": keyType };
      const volume = { ...rest, attributes, keyType, jwtAudiences: [audience] };
      expect(decodeState(encodeState(volume))).toEqual(volume);
    }),
  );
});

const VERSION_1 = {
  version: 1,
  id: KUBELET_ID,
  target: "/pods/uid-1/mount",
  pod: { uid: "uid-1", name: "web-0", namespace: "shop", serviceAccount: "web" },
  gid: 2000,
  optional: false,
  entries: [{ entryId: "e", revision: "r", spiffeId: "spiffe://example.org/a", hint: "h" }],
};

test("what an agent without attributes wrote is read as a volume of which nothing was said", async () => {
  await mkdir(folder);
  await writeFile(join(folder, `${KUBELET_ID}.json`), JSON.stringify(VERSION_1));
  const { states, broken } = await createVolumeStateStore(folder).loadAll();
  expect(broken).toEqual([]);
  expect(states).toEqual([state(KUBELET_ID, { gid: 2000 })]);
});

test("a volume keeps what decides over its files, key, tokens and end", async () => {
  const attributes = {
    "signet.dev/files": "jks",
    "signet.dev/jwt-audiences": "x=vault,y=sts",
    "signet.dev/key-type": "rsa-2048",
    "signet.dev/fs-group": "7",
  };
  const volume = state(KUBELET_ID, {
    attributes,
    gid: 7,
    jwtAudiences: ["vault", "sts"],
    keyType: "rsa-2048",
    removal: "remove",
  });
  await createVolumeStateStore(folder).save(volume);
  expect(await createVolumeStateStore(folder).loadAll()).toEqual({ states: [volume], broken: [] });
});

test.each([
  ["of a later version", { ...VERSION_1, version: 3 }],
  [
    "with attributes of a later version",
    { ...VERSION_1, version: 2, attributes: { "signet.dev/new": "x" } },
  ],
])("what is %s is named and stays: it may describe a live volume", async (_, value) => {
  await mkdir(folder);
  const name = `${KUBELET_ID}.json`;
  await writeFile(join(folder, name), JSON.stringify(value));
  expect(await createVolumeStateStore(folder).loadAll()).toEqual({ states: [], broken: [name] });
  expect(await readdir(folder)).toEqual([name]);
});

test("no text makes the reader throw", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      expect(decodeState(text)).toBeUndefined();
    }),
  );
});
