import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { manualClock } from "../../src/core/clock.ts";
import type { ManualClock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import type { ErrorCode } from "../../src/core/errors.ts";
import { createTargets } from "../../src/csi/target.ts";
import { createVolumeStateStore } from "../../src/csi/volume-state.ts";
import { createVolumes } from "../../src/csi/volumes.ts";
import type { Volumes } from "../../src/csi/volumes.ts";
import {
  IS_ROOT,
  makeIdentity,
  makePod,
  makeSandbox,
  memorySockets,
  recordingLog,
  scriptedSource,
  waitForAbort,
} from "./fixtures.ts";
import type { MemorySockets, Sandbox, ScriptedSource } from "./fixtures.ts";

const DRIVER = "csi.spiffe.io";
const HOUR = 3_600_000;

let sandbox: Sandbox;
let clock: ManualClock;
let source: ScriptedSource;
let sockets: MemorySockets;
let volumes: Volumes;
let podsDir: string;
beforeEach(async () => {
  sandbox = await makeSandbox();
  podsDir = join(sandbox.dir, "pods");
  mkdirSync(podsDir);
  clock = manualClock(Date.now());
  source = scriptedSource(await makeIdentity());
  sockets = memorySockets();
  volumes = start();
});
afterEach(async () => {
  await volumes.stop();
  await sandbox.cleanUp();
});

/** A new process on the same node. */
function start(log = recordingLog()): Volumes {
  return createVolumes({
    podsDir,
    targets: createTargets(sandbox.mounter, DRIVER),
    states: createVolumeStateStore(join(sandbox.dir, "volumes")),
    identities: () => source,
    sockets,
    clock,
    log,
  });
}

function newVolume(change: { optional?: boolean; gid?: number } = {}) {
  const pod = makePod();
  const target = join(podsDir, pod.uid, "volumes/kubernetes.io~csi/spiffe/mount");
  mkdirSync(dirname(target), { recursive: true });
  return {
    id: `csi-${pod.uid}`,
    target,
    pod,
    gid: undefined,
    optional: false,
    attributes: {},
    jwtAudiences: [],
    keyType: "ec-p256" as const,
    removal: "keep" as const,
    ...change,
  };
}
type TestVolume = ReturnType<typeof newVolume>;

const call = (signal = new AbortController().signal) => ({
  deadline: clock.now() + 60_000,
  signal,
});
const publish = (volume: TestVolume, signal?: AbortSignal): Promise<void> =>
  volumes.publish({ volume, podToken: "SECRET-TOKEN" }, call(signal));
const failWith = (code: ErrorCode): void => {
  source.answer = () => Promise.reject(new SignetError(code, `${code} for a test`));
};
const readFile = (volume: TestVolume, name: string): string =>
  readFileSync(join(volume.target, name), "utf8");
const stateFiles = (): string[] => {
  const folder = join(sandbox.dir, "volumes");
  return existsSync(folder) ? readdirSync(folder) : [];
};
const expectNothingLeft = async (volume: TestVolume): Promise<void> => {
  expect(await sandbox.mountPoints()).toEqual([]);
  expect(existsSync(volume.target)).toBe(false);
  expect(stateFiles()).toEqual([]);
  expect(volumes.get(volume.id)).toBeUndefined();
};

const restart = async (log = recordingLog()): Promise<void> => {
  await volumes.stop();
  source.adopted.clear();
  volumes = start(log);
  await volumes.recover();
};

describe("a first publish", () => {
  test("attests, mounts, writes, remembers and hands the volume over for renewal", async () => {
    const volume = newVolume();
    await publish(volume);
    expect(source.attested).toMatchObject([
      { pod: volume.pod, token: "SECRET-TOKEN", options: { noWait: false } },
    ]);
    expect(await sandbox.mountPoints()).toEqual([volume.target]);
    expect(readFile(volume, "tls.crt")).toContain("BEGIN CERTIFICATE");
    expect(readFile(volume, "tls.key")).toContain("BEGIN PRIVATE KEY");
    expect(stateFiles()).toHaveLength(1);
    expect(source.adopted.get(volume.id)?.current?.svids[0]?.entryId).toBe("entry-1");
    expect(sockets.shown).toEqual(new Map([[volume.id, volume.target]]));
  });

  test("mounts nothing while it waits", async () => {
    const volume = newVolume();
    const waited = Promise.withResolvers<Awaited<ReturnType<typeof makeIdentity>>>();
    source.answer = () => waited.promise;
    const publishing = publish(volume);
    await expect.poll(() => source.attested.length).toBe(1);
    await expectNothingLeft(volume);
    waited.resolve(await makeIdentity());
    await publishing;
    expect(await sandbox.mountPoints()).toEqual([volume.target]);
  });

  test.each<ErrorCode>(["NO_IDENTITY", "POD_GONE", "PERMISSION_DENIED", "UNAVAILABLE"])(
    "that fails with %s passes the code on and leaves nothing",
    async (code) => {
      const volume = newVolume();
      failWith(code);
      await expect(publish(volume)).rejects.toMatchObject({ code });
      await expectNothingLeft(volume);
      expect(source.adopted.size).toBe(0);
    },
  );

  test("that cannot mount leaves nothing", async () => {
    const volume = newVolume();
    sandbox.mounter.failMount = true;
    await expect(publish(volume)).rejects.toMatchObject({ code: "SYSTEM" });
    await expectNothingLeft(volume);
  });

  test("that cannot keep its state takes the mount away again", async () => {
    const volume = newVolume();
    writeFileSync(join(sandbox.dir, "volumes"), "a file where the folder should be");
    await expect(publish(volume)).rejects.toMatchObject({ code: "SYSTEM" });
    expect(await sandbox.mountPoints()).toEqual([]);
    expect(existsSync(volume.target)).toBe(false);
    expect(source.adopted.size).toBe(0);
  });

  test("ends when kubelet no longer waits", async () => {
    const volume = newVolume();
    source.answer = () => new Promise(() => undefined);
    const gone = new AbortController();
    const publishing = publish(volume, gone.signal);
    await expect.poll(() => source.attested.length).toBe(1);
    gone.abort();
    await expect(publishing).rejects.toMatchObject({ code: "CANCELLED" });
    await expectNothingLeft(volume);
  });

  test("ends with UNAVAILABLE when the agent stops", async () => {
    const volume = newVolume();
    source.answer = (_, { signal }) => waitForAbort(signal);
    const publishing = publish(volume);
    await expect.poll(() => source.attested.length).toBe(1);
    await Promise.all([
      expect(publishing).rejects.toMatchObject({ code: "UNAVAILABLE" }),
      volumes.stop(),
    ]);
  });

  test("after the target was taken by another volume is refused", async () => {
    const volume = newVolume();
    await publish(volume);
    await expect(publish({ ...volume, id: "csi-other" })).rejects.toMatchObject({
      code: "ALREADY_EXISTS",
    });
    const target = join(dirname(volume.target), "elsewhere");
    await expect(publish({ ...volume, target })).rejects.toMatchObject({
      code: "FAILED_PRECONDITION",
    });
    expect(readFile(volume, "tls.crt")).toContain("BEGIN CERTIFICATE");
  });
});

describe("an optional volume", () => {
  test.each<ErrorCode>(["NO_IDENTITY", "UNAVAILABLE"])(
    "starts its pod without an identity after %s",
    async (code) => {
      const volume = newVolume({ optional: true });
      failWith(code);
      await publish(volume);
      expect(source.attested[0]?.options.noWait).toBe(true);
      expect(await sandbox.mountPoints()).toEqual([volume.target]);
      expect(readdirSync(volume.target)).toEqual([]);
      expect(source.adopted.get(volume.id)).toMatchObject({ current: undefined });
      await volumes.write(volume.id, await makeIdentity());
      expect(readFile(volume, "tls.crt")).toContain("BEGIN CERTIFICATE");
    },
  );

  test("does not start a pod that is refused", async () => {
    const volume = newVolume({ optional: true });
    failWith("PERMISSION_DENIED");
    await expect(publish(volume)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
    await expectNothingLeft(volume);
  });

  test("is republished without asking", async () => {
    const volume = newVolume({ optional: true });
    failWith("NO_IDENTITY");
    await publish(volume);
    await publish(volume);
    expect(source.attested).toHaveLength(1);
    expect(await sandbox.mountPoints()).toEqual([volume.target]);
  });
});

describe("a republish", () => {
  test("of a valid SVID is done at once, whatever the operator does", async () => {
    const volume = newVolume();
    await publish(volume);
    const before = readFile(volume, "tls.crt");
    failWith("POD_GONE");
    await publish(volume);
    expect(source.attested).toHaveLength(1);
    expect(readFile(volume, "tls.crt")).toBe(before);
    expect(await sandbox.mountPoints()).toEqual([volume.target]);
  });

  test("of a volume that was cleared is done at once, also by another agent", async () => {
    const volume = newVolume();
    await publish(volume);
    await volumes.clear(volume.id);
    failWith("NO_IDENTITY");
    await publish(volume);
    await restart();
    rmSync(join(sandbox.dir, "volumes"), { recursive: true });
    await restart();
    await publish(volume);
    expect(source.attested).toHaveLength(1);
    expect(source.adopted.get(volume.id)).toMatchObject({ current: undefined });
    expect(existsSync(join(volume.target, "tls.key"))).toBe(false);
    expect(readFile(volume, "ca.crt")).toContain("BEGIN CERTIFICATE");
  });

  test("of an expired SVID fetches a new one without a wait", async () => {
    const volume = newVolume();
    await publish(volume);
    await clock.advance(2 * HOUR);
    const renewed = await makeIdentity({ notAfter: clock.now() + HOUR, revision: "r2" });
    source.answer = () => Promise.resolve(renewed);
    await publish(volume);
    expect(source.attested[1]?.options).toMatchObject({ noWait: true });
    expect(source.adopted.get(volume.id)?.current).toBe(renewed);
    expect(await sandbox.mountPoints()).toEqual([volume.target]);
  });

  test.each<ErrorCode>(["POD_GONE", "PERMISSION_DENIED", "NO_IDENTITY", "INTERNAL"])(
    "of an expired SVID turns %s into a code that kubelet retries, and keeps the mount",
    async (code) => {
      const volume = newVolume();
      await publish(volume);
      await clock.advance(2 * HOUR);
      failWith(code);
      await expect(publish(volume)).rejects.toMatchObject({
        code: code === "NO_IDENTITY" ? "NO_IDENTITY" : "UNAVAILABLE",
      });
      expect(await sandbox.mountPoints()).toEqual([volume.target]);
      expect(readFile(volume, "tls.crt")).toContain("BEGIN CERTIFICATE");
    },
  );

  test("that cannot look at the mounts fails with a code that kubelet retries", async () => {
    const volume = newVolume();
    await publish(volume);
    const error = Object.assign(new Error("too many open files"), {
      syscall: "open",
      code: "EMFILE",
    });
    sandbox.mounter.mounts = () => Promise.reject(error);
    await expect(publish(volume)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(readFile(volume, "tls.crt")).toContain("BEGIN CERTIFICATE");
  });

  test("never puts a key on the disk when the mount goes while it waits", async () => {
    const volume = newVolume();
    await publish(volume);
    await clock.advance(2 * HOUR);
    const waited = Promise.withResolvers<Awaited<ReturnType<typeof makeIdentity>>>();
    source.answer = () => waited.promise;
    const publishing = publish(volume);
    await expect.poll(() => source.attested.length).toBe(2);
    await sandbox.mounter.unmount(volume.target);
    mkdirSync(volume.target, { recursive: true });
    waited.resolve(await makeIdentity({ notAfter: clock.now() + HOUR }));
    await expect(publishing).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(readdirSync(volume.target)).toEqual([]);
  });

  test.runIf(IS_ROOT)("leaves the mount of another driver alone (real mounts only)", async () => {
    const volume = newVolume();
    mkdirSync(volume.target);
    sandbox.mounter.mountTmpfs(volume.target, { source: "other", sizeBytes: 4096, mode: 0o755 });
    await expect(publish(volume)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(await sandbox.mountPoints()).toEqual([volume.target]);
    expect(readdirSync(volume.target)).toEqual([]);
  });
});

describe("two calls at once", () => {
  test("a second publish is told to try again", async () => {
    const volume = newVolume();
    const waited = Promise.withResolvers<Awaited<ReturnType<typeof makeIdentity>>>();
    source.answer = () => waited.promise;
    const first = publish(volume);
    await expect(publish(volume)).rejects.toMatchObject({ code: "ABORTED" });
    waited.resolve(await makeIdentity());
    await first;
  });

  test("an unpublish ends a publish that waits, and succeeds", async () => {
    const volume = newVolume();
    source.answer = (_, { signal }) => waitForAbort(signal);
    const publishing = publish(volume);
    const failed = publishing.catch((error: unknown) => error);
    await expect.poll(() => source.attested.length).toBe(1);
    await volumes.unpublish({ id: volume.id, target: volume.target });
    expect(await failed).toMatchObject({ code: "ABORTED" });
    await expectNothingLeft(volume);
  });
});

describe("an unpublish", () => {
  test("takes everything away without asking anyone", async () => {
    const volume = newVolume();
    await publish(volume);
    await volumes.unpublish({ id: volume.id, target: volume.target });
    await expectNothingLeft(volume);
    expect(source.forgotten).toEqual([volume.id]);
  });

  test("may be repeated, and of an unknown volume is fine", async () => {
    const volume = newVolume();
    await volumes.unpublish({ id: volume.id, target: volume.target });
    await publish(volume);
    expect(volumes.get(volume.id)).toBeDefined();
    await volumes.unpublish({ id: volume.id, target: volume.target });
    await volumes.unpublish({ id: volume.id, target: volume.target });
    rmSync(join(podsDir, volume.pod.uid), { recursive: true });
    await volumes.unpublish({ id: volume.id, target: volume.target });
    await expectNothingLeft(volume);
  });

  test("that fails half-way is finished by the next one", async () => {
    const volume = newVolume();
    await publish(volume);
    sandbox.mounter.failUnmount = 1;
    const unpublish = () => volumes.unpublish({ id: volume.id, target: volume.target });
    await expect(unpublish()).rejects.toMatchObject({ code: "SYSTEM" });
    expect(volumes.get(volume.id)).toBeDefined();
    await unpublish();
    await expectNothingLeft(volume);
  });

  test("that fails half-way leaves no volume that a publish takes for a whole one", async () => {
    const volume = newVolume();
    await publish(volume);
    sandbox.mounter.failUnmount = 1;
    const unpublish = volumes.unpublish({ id: volume.id, target: volume.target });
    await expect(unpublish).rejects.toMatchObject({ code: "SYSTEM" });
    await publish(volume);
    expect(readFile(volume, "tls.key")).toContain("BEGIN PRIVATE KEY");
  });

  test.runIf(IS_ROOT)("takes mounts away that were stacked (real mounts only)", async () => {
    const volume = newVolume();
    await publish(volume);
    sandbox.mounter.mountTmpfs(volume.target, { source: "other", sizeBytes: 4096, mode: 0o755 });
    expect(await sandbox.mountPoints()).toHaveLength(2);
    await volumes.unpublish({ id: volume.id, target: volume.target });
    await expectNothingLeft(volume);
  });
});

describe("a write", () => {
  test("replaces the files as a whole and records the entry", async () => {
    const volume = newVolume({ gid: process.getgid?.() ?? 0 });
    await publish(volume);
    const before = readFile(volume, "tls.crt");
    await volumes.write(volume.id, await makeIdentity({ revision: "r2" }));
    expect(readFile(volume, "tls.crt")).not.toBe(before);
    expect(volumes.get(volume.id)?.state.entries[0]?.revision).toBe("r2");
    const file = readFileSync(join(sandbox.dir, "volumes", stateFiles()[0] ?? ""), "utf8");
    expect(file).toContain('"revision":"r2"');
    expect(file).not.toMatch(/SECRET-TOKEN|PRIVATE KEY/);
  });

  test("keeps the files before for a while, then removes them", async () => {
    const volume = newVolume();
    await publish(volume);
    await volumes.write(volume.id, await makeIdentity());
    const hidden = (): number =>
      readdirSync(volume.target).filter((name) => name.startsWith("..")).length;
    expect(hidden()).toBe(3);
    await clock.advance(20_000);
    await expect.poll(hidden).toBe(2);
  });

  test("to a volume that is not there is NOT_FOUND", async () => {
    const volume = newVolume();
    const identity = await makeIdentity();
    await expect(volumes.write(volume.id, identity)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("never puts a key on the disk when the mount is gone", async () => {
    const volume = newVolume();
    await publish(volume);
    await sandbox.mounter.unmount(volume.target);
    mkdirSync(volume.target, { recursive: true });
    await expect(volumes.write(volume.id, await makeIdentity())).rejects.toMatchObject({
      code: "NOT_FOUND",
    });
    expect(readdirSync(volume.target)).toEqual([]);
  });

  test("that comes during a publish waits for it", async () => {
    const volume = newVolume();
    const identity = await makeIdentity({ revision: "r2" });
    const publishing = publish(volume);
    const writing = volumes.write(volume.id, identity);
    await publishing;
    await writing;
    expect(volumes.get(volume.id)?.state.entries[0]?.revision).toBe("r2");
  });
});

describe("a restart", () => {
  test("takes live volumes over with what they show", async () => {
    const volume = newVolume();
    await publish(volume);
    const before = source.adopted.get(volume.id)?.current;
    await restart();
    expect(source.adopted.get(volume.id)?.current).toEqual(before);
    expect(await sandbox.mountPoints()).toEqual([volume.target]);
    failWith("UNAVAILABLE");
    await publish(volume);
    await volumes.write(volume.id, await makeIdentity({ revision: "r3" }));
    await volumes.unpublish({ id: volume.id, target: volume.target });
    await expectNothingLeft(volume);
  });

  test("has an SVID that ended meanwhile renewed at once", async () => {
    const volume = newVolume();
    await publish(volume);
    await clock.advance(2 * HOUR);
    await restart();
    expect(source.adopted.get(volume.id)).toMatchObject({ current: undefined });
  });

  test("has a volume whose files are not readable renewed at once", async () => {
    const volume = newVolume();
    await publish(volume);
    for (const name of [".identity", "tls.key"]) rmSync(join(volume.target, "..data", name));
    const log = recordingLog();
    await restart(log);
    expect(source.adopted.get(volume.id)).toMatchObject({ current: undefined });
    expect(log.lines.some(({ level }) => level === "warn")).toBe(true);
    await volumes.write(volume.id, await makeIdentity());
    expect(readFile(volume, "tls.key")).toContain("PRIVATE KEY");
  });

  test("forgets a volume whose mount did not survive, and publishes it anew", async () => {
    const volume = newVolume();
    await publish(volume);
    await sandbox.mounter.unmount(volume.target);
    await restart();
    expect(source.adopted.size).toBe(0);
    expect(stateFiles()).toEqual([]);
    await publish(volume);
    expect(await sandbox.mountPoints()).toEqual([volume.target]);
  });

  test("that lost a volume's state leaves its mount, and the next republish takes it over", async () => {
    const volume = newVolume();
    await publish(volume);
    const before = readFile(volume, "tls.crt");
    rmSync(join(sandbox.dir, "volumes"), { recursive: true });
    await restart();
    expect(source.adopted.size).toBe(0);
    failWith("UNAVAILABLE");
    await publish(volume);
    expect(readFile(volume, "tls.crt")).toBe(before);
    expect(source.adopted.get(volume.id)?.current?.svids).toHaveLength(1);
    expect(stateFiles()).toHaveLength(1);
    expect(await sandbox.mountPoints()).toEqual([volume.target]);
  });

  test("that lost a volume's state, and cannot keep it anew, has the volume renewed all the same", async () => {
    const volume = newVolume();
    await publish(volume);
    rmSync(join(sandbox.dir, "volumes"), { recursive: true });
    await restart();
    rmSync(join(sandbox.dir, "volumes"), { recursive: true });
    writeFileSync(join(sandbox.dir, "volumes"), "a file where the folder should be");
    await expect(publish(volume)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await publish(volume);
    expect(source.adopted.get(volume.id)?.current?.svids).toHaveLength(1);
  });

  test("between mount and write leaves a volume that the next publish finishes", async () => {
    const volume = newVolume();
    await createTargets(sandbox.mounter, DRIVER).mount(volume.target);
    await restart();
    await publish(volume);
    expect(source.attested[0]?.options.noWait).toBe(false);
    expect(readFile(volume, "tls.crt")).toContain("BEGIN CERTIFICATE");
    expect(await sandbox.mountPoints()).toEqual([volume.target]);
    expect(stateFiles()).toHaveLength(1);
  });

  test("never unmounts by a state that points outside of kubelet's pods", async () => {
    const volume = newVolume();
    const outside = join(sandbox.dir, "outside");
    mkdirSync(outside);
    await createTargets(sandbox.mounter, DRIVER).mount(outside);
    await createVolumeStateStore(join(sandbox.dir, "volumes")).save({
      ...volume,
      target: outside,
      entries: [],
    });
    await restart();
    await volumes.collect();
    expect(await sandbox.mountPoints()).toEqual([outside]);
    expect(source.adopted.size).toBe(0);
  });
});

describe("collecting", () => {
  test("forgets volumes of pods that kubelet removed without an unpublish, and no others", async () => {
    const [gone, alive] = [newVolume(), newVolume()];
    await publish(gone);
    await publish(alive);
    await sandbox.mounter.unmount(gone.target);
    rmSync(join(podsDir, gone.pod.uid), { recursive: true });
    await volumes.collect();
    expect(volumes.get(gone.id)).toBeUndefined();
    expect(source.forgotten).toEqual([gone.id]);
    expect(stateFiles()).toHaveLength(1);
    expect(await sandbox.mountPoints()).toEqual([alive.target]);
  });

  test("forgets nothing when the whole folder of pods is missing", async () => {
    const volume = newVolume();
    await publish(volume);
    await sandbox.mounter.unmount(volume.target);
    rmSync(podsDir, { recursive: true });
    await volumes.collect();
    expect(volumes.get(volume.id)).toBeDefined();
  });
});
