import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { manualClock } from "../../src/core/clock.ts";
import type { ManualClock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import type { Mounter } from "../../src/csi/mount.ts";
import type { WorkloadSockets } from "../../src/csi/ports.ts";
import type { VolumeSpec } from "../../src/csi/request.ts";
import { createVolumeSockets } from "../../src/csi/volume-sockets.ts";
import { createTargets } from "../../src/csi/target.ts";
import { createVolumeStateStore } from "../../src/csi/volume-state.ts";
import { createVolumes } from "../../src/csi/volumes.ts";
import type { Volumes } from "../../src/csi/volumes.ts";
import {
  makeIdentity,
  makePod,
  makeSandbox,
  memorySockets,
  recordingLog,
  scriptedSource,
  waitForAbort,
} from "./fixtures.ts";
import type { MemorySockets, Sandbox, ScriptedSource } from "./fixtures.ts";

const HOUR = 3_600_000;

let sandbox: Sandbox;
let podsDir: string;
let clock: ManualClock;
let source: ScriptedSource;
let sockets: MemorySockets;
/** What was asked of sockets, mounts and the source, in order. */
let events: string[];
let failOpen: boolean;
let failClose: boolean;
let log: ReturnType<typeof recordingLog>;
let volumes: Volumes;
beforeEach(async () => {
  sandbox = await makeSandbox();
  podsDir = join(sandbox.dir, "pods");
  mkdirSync(podsDir);
  clock = manualClock(Date.now());
  source = scriptedSource(await makeIdentity());
  sockets = memorySockets();
  [events, failOpen, failClose] = [[], false, false];
  volumes = start();
});
afterEach(async () => {
  await volumes.stop();
  await sandbox.cleanUp();
});

function start(): Volumes {
  log = recordingLog();
  return createVolumes({
    podsDir,
    targets: createTargets(tellingMounter(), "csi.spiffe.io"),
    states: createVolumeStateStore(join(sandbox.dir, "volumes")),
    identities: () => ({
      ...source,
      adopt(volume, current) {
        events.push("adopt");
        source.adopt(volume, current);
      },
    }),
    sockets: tellingSockets(),
    clock,
    log,
  });
}

function tellingMounter(): Mounter {
  return {
    ...sandbox.mounter,
    async unmount(target) {
      events.push("unmount");
      await sandbox.mounter.unmount(target);
    },
  };
}

function tellingSockets(): WorkloadSockets {
  return {
    ...sockets,
    async open(id, directory) {
      events.push("open");
      if (failOpen) throw new SignetError("SYSTEM", "cannot listen for a test");
      await sockets.open(id, directory);
    },
    async close(id) {
      events.push("close");
      if (failClose) throw new SignetError("SYSTEM", "cannot close for a test");
      await sockets.close(id);
    },
  };
}

function newVolume(optional = false): VolumeSpec {
  const pod = makePod();
  const target = join(podsDir, pod.uid, "volumes/kubernetes.io~csi/spiffe/mount");
  mkdirSync(dirname(target), { recursive: true });
  return {
    ...{ id: `csi-${pod.uid}`, target, pod, gid: undefined, optional, attributes: {} },
    ...{ jwtAudiences: [], keyType: "ec-p256", removal: "keep" },
  };
}

const publish = (volume: VolumeSpec): Promise<void> => {
  const call = { deadline: clock.now() + 60_000, signal: new AbortController().signal };
  return volumes.publish({ volume, podToken: "TOKEN" }, call);
};
const unpublish = ({ id, target }: VolumeSpec): Promise<void> => volumes.unpublish({ id, target });
const reasons = async ({ id }: VolumeSpec): Promise<string[] | undefined> =>
  (await volumes.faultsOf(id))?.map(({ reason }) => reason);
const logged = (text: string): number =>
  log.lines.filter((line) => line.text.includes(text)).length;
const restart = async (): Promise<void> => {
  await volumes.stop();
  events = [];
  sockets.shown.clear();
  volumes = start();
  await volumes.recover();
};

describe("a volume's socket", () => {
  test("is opened again by the next agent, once the volume has an owner", async () => {
    const volume = newVolume();
    await publish(volume);
    await restart();
    expect(events).toEqual(["adopt", "open"]);
    expect(sockets.shown).toEqual(new Map([[volume.id, volume.target]]));
  });

  test("is made again by a republish, and between kubelet's calls", async () => {
    const volume = newVolume();
    await publish(volume);
    sockets.shown.clear();
    await publish(volume);
    expect(sockets.shown.size).toBe(1);
    sockets.shown.clear();
    await volumes.tend();
    expect(sockets.shown.size).toBe(1);
  });

  test("is opened when a republish takes over a mount without state", async () => {
    const volume = newVolume();
    await publish(volume);
    rmSync(join(sandbox.dir, "volumes"), { recursive: true });
    await restart();
    expect(sockets.shown.size).toBe(0);
    await publish(volume);
    expect(events).toEqual(["adopt", "open"]);
  });

  test("is closed before the file system goes", async () => {
    const [first, second] = [newVolume(), newVolume()];
    await publish(first);
    await publish(second);
    events = [];
    await unpublish(first);
    expect(events).toEqual(["close", "unmount"]);
    events = [];
    await sandbox.mounter.unmount(second.target);
    rmSync(join(podsDir, second.pod.uid), { recursive: true, force: true });
    await volumes.collect();
    expect(events[0]).toBe("close");
    expect(sockets.shown.size).toBe(0);
  });

  test("that cannot be opened undoes a first publish", async () => {
    const volume = newVolume();
    failOpen = true;
    await expect(publish(volume)).rejects.toMatchObject({ code: "SYSTEM" });
    expect(events).toEqual(["adopt", "open", "close", "unmount"]);
    expect(await sandbox.mountPoints()).toEqual([]);
    expect(readdirSync(join(sandbox.dir, "volumes"))).toEqual([]);
    expect(source.adopted.size).toBe(0);
    expect(volumes.get(volume.id)).toBeUndefined();
    failOpen = false;
    await publish(volume);
    expect(sockets.shown.size).toBe(1);
  });

  test("that cannot be opened for a living volume is tried again, and does no harm", async () => {
    const volume = newVolume();
    await publish(volume);
    failOpen = true;
    await restart();
    await publish(volume);
    await volumes.tend();
    await volumes.tend();
    expect(logged("could not be opened")).toBe(1);
    expect(await reasons(volume)).toEqual(["NoSocket"]);
    expect(volumes.summary()).toEqual({ volumes: 1, abnormal: 1 });
    expect(readdirSync(volume.target)).toContain("tls.crt");
    failOpen = false;
    await volumes.tend();
    expect(logged("is there again")).toBe(1);
    expect(await reasons(volume)).toEqual([]);
    expect(volumes.summary()).toEqual({ volumes: 1, abnormal: 0 });
  });

  test("that cannot be closed does not hold up the end of its volume", async () => {
    const volume = newVolume();
    await publish(volume);
    failClose = true;
    await unpublish(volume);
    expect(await sandbox.mountPoints()).toEqual([]);
    expect(logged("was not closed")).toBe(1);
    await volumes.tend();
    expect(events.at(-1)).not.toBe("open");
  });

  test("of a volume that has no owner yet is nobody's to open", async () => {
    const volume = newVolume();
    await publish(volume);
    rmSync(join(sandbox.dir, "volumes"), { recursive: true });
    await clock.advance(2 * HOUR);
    await restart();
    source.answer = () => Promise.reject(new SignetError("UNAVAILABLE", "for a test"));
    await expect(publish(volume)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await volumes.tend();
    expect(events).toEqual([]);
    expect(await reasons(volume)).toEqual(["SvidExpired"]);
  });

  test("is forgotten with its volume", async () => {
    const shown = createVolumeSockets(tellingSockets(), log);
    const volume = newVolume();
    failOpen = true;
    await shown.keep(volume);
    expect([shown.has(volume.id), shown.isMissing(volume.id)]).toEqual([true, true]);
    await shown.close(volume.id);
    expect([shown.has(volume.id), shown.isMissing(volume.id)]).toEqual([false, false]);
  });

  test("of a volume that kubelet is busy with is left to kubelet's call", async () => {
    const volume = newVolume();
    await publish(volume);
    await clock.advance(2 * HOUR);
    source.answer = (_, { signal }) => waitForAbort(signal);
    const publishing = publish(volume).catch((error: unknown) => error);
    await expect.poll(() => source.attested.length).toBe(2);
    events = [];
    await volumes.tend();
    expect(events).toEqual([]);
    await unpublish(volume);
    expect(await publishing).toMatchObject({ code: "ABORTED" });
  });
});

describe("the health of a volume", () => {
  test("of a pod that waits for nothing is good, and unknown volumes have none", async () => {
    const volume = newVolume(true);
    source.answer = () => Promise.reject(new SignetError("NO_IDENTITY", "for a test"));
    await publish(volume);
    expect(await reasons(volume)).toEqual([]);
    expect(await reasons(newVolume())).toBeUndefined();
  });

  test("tells of an SVID that has expired, once, and of its renewal", async () => {
    const volume = newVolume();
    await publish(volume);
    await clock.advance(2 * HOUR);
    await volumes.tend();
    await volumes.tend();
    expect(await reasons(volume)).toEqual(["SvidExpired"]);
    expect(volumes.summary().abnormal).toBe(1);
    expect(logged("something is wrong")).toBe(1);
    await volumes.write(volume.id, await makeIdentity({ notAfter: clock.now() + HOUR }));
    await volumes.tend();
    expect(volumes.summary().abnormal).toBe(0);
    expect(logged("well again")).toBe(1);
  });

  test("tells of files that were taken away", async () => {
    const volume = newVolume();
    await publish(volume);
    await volumes.clear(volume.id);
    expect(await reasons(volume)).toEqual(["NoSvid"]);
  });

  test("tells of a file system that is gone, and no socket is made on the node's disk", async () => {
    const volume = newVolume();
    await publish(volume);
    await sandbox.mounter.unmount(volume.target);
    events = [];
    await volumes.tend();
    expect(events).toEqual([]);
    expect(await volumes.faultsOf(volume.id)).toMatchObject([
      { status: "INACCESSIBLE", reason: "NotMounted" },
    ]);
    await unpublish(volume);
    expect(volumes.summary()).toEqual({ volumes: 0, abnormal: 0 });
  });
});
