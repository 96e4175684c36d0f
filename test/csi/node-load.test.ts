import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { manualClock } from "../../src/core/clock.ts";
import { isSignetError } from "../../src/core/errors.ts";
import type { CsiDriver } from "../../src/csi/driver.ts";
import type { WorkloadIdentity } from "../../src/csi/ports.ts";
import { fakeKubelet } from "../fakes/kubelet.ts";
import { DRIVER, startDriver } from "./driver-fixture.ts";
import { makeIdentity, makePod, makeSandbox, memorySockets, scriptedSource } from "./fixtures.ts";
import type { Sandbox } from "./fixtures.ts";
import { plainSockets, publish, startNode } from "./scenarios.ts";
import type { NodeProcess, World } from "./scenarios.ts";

let sandbox: Sandbox;
let first: WorkloadIdentity;
let second: WorkloadIdentity;
beforeEach(async () => {
  sandbox = await makeSandbox();
  first = await makeIdentity();
  second = await makeIdentity({ revision: "r2" });
});
afterEach(() => sandbox.cleanUp());

const openFiles = (): number => readdirSync("/proc/self/fd").length;
const timers = (): number =>
  process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;

/** Waits without a timer, which `expect.poll` would add to what is counted. */
async function falls(count: () => number, to: number): Promise<void> {
  for (const end = Date.now() + 30_000; count() > to && Date.now() < end;) await turn();
  expect(count()).toBeLessThanOrEqual(to);
}

test("a node's 110 pods start, renew and end all at once, and nothing is left", async () => {
  const [filesBefore, timersBefore] = [openFiles(), timers()];
  const sockets = plainSockets();
  const driver: CsiDriver = await startDriver(sandbox, scriptedSource(first), { sockets });
  const kubelet = fakeKubelet(sandbox.dir);
  await kubelet.register(DRIVER);
  const pods = Array.from({ length: 110 }, () => makePod());
  const times: Record<string, number> = {};
  const timed = async (name: string, run: (pod: (typeof pods)[number]) => Promise<void>) => {
    const started = performance.now();
    await Promise.all(pods.map(run));
    times[name] = Math.round(performance.now() - started);
  };
  await timed("publish", (pod) => kubelet.mount(pod));
  expect(await sandbox.mountPoints()).toHaveLength(110);
  await timed("republish", (pod) => kubelet.mount(pod));
  await timed("renew", (pod) => driver.sink.write(kubelet.volumeId(pod), second));
  for (const pod of pods) {
    const names = readdirSync(kubelet.target(pod));
    expect(names).toEqual(expect.arrayContaining(["tls.crt", "api.sock"]));
    const leaf = readFileSync(join(kubelet.target(pod), "tls.crt"), "utf8");
    expect(leaf).toContain(second.svids[0]?.chain[0]?.toString("base64").slice(0, 60));
  }
  expect(driver.summary()).toEqual({ volumes: 110, abnormal: 0 });
  await timed("unpublish", (pod) => kubelet.unmount(pod));
  console.log(`110 volumes at once, in ms: ${JSON.stringify(times)}`);
  expect(driver.summary()).toEqual({ volumes: 0, abnormal: 0 });
  expect(await sandbox.mountPoints()).toEqual([]);
  expect(readdirSync(join(sandbox.dir, "plugins", DRIVER, "volumes"))).toEqual([]);
  expect(readdirSync(join(sandbox.dir, "pods"))).toEqual([]);
  kubelet.close();
  await driver.stop();
  await falls(openFiles, filesBefore);
  await falls(timers, timersBefore);
}, 120_000);

test("volumes are looked after while the driver runs", async () => {
  const clock = manualClock(Date.now());
  const sockets = memorySockets();
  const driver = await startDriver(sandbox, scriptedSource(first), { sockets, clock });
  const kubelet = fakeKubelet(sandbox.dir);
  await kubelet.register(DRIVER);
  const [gone, alive] = [makePod(), makePod()];
  for (const pod of [gone, alive]) await kubelet.mount(pod);
  sockets.shown.clear();
  await sandbox.mounter.unmount(kubelet.target(gone));
  rmSync(join(sandbox.dir, "pods", gone.uid), { recursive: true });
  await clock.advance(10_000);
  await expect.poll(() => [...sockets.shown.keys()]).toEqual([kubelet.volumeId(alive)]);
  await expect.poll(() => driver.summary()).toEqual({ volumes: 2, abnormal: 1 });
  for (let look = 0; look < 30; look++) {
    await expect.poll(() => clock.sleeping).toBeGreaterThanOrEqual(3);
    await clock.advance(10_000);
  }
  await expect.poll(() => driver.summary()).toEqual({ volumes: 1, abnormal: 0 });
  kubelet.close();
  await driver.stop();
});

describe("calls for one volume that cross each other", () => {
  /** What may come of a call that met another; all of these make kubelet or the renewal try again. */
  const EXPECTED = new Set(["ABORTED", "NOT_FOUND"]);

  function newWorld(): World {
    const pod = makePod();
    const target = join(sandbox.dir, "pods", pod.uid, "volumes/kubernetes.io~csi/spiffe/mount");
    mkdirSync(dirname(target), { recursive: true });
    const volume = {
      ...{ id: `csi-${pod.uid}`, target, pod, gid: undefined, optional: false, attributes: {} },
      ...{ jwtAudiences: [], keyType: "ec-p256" as const, removal: "keep" as const },
    };
    return { dir: sandbox.dir, volume, first, second };
  }

  const acts = {
    publish: ({ volumes }: NodeProcess, world: World) => publish(volumes, world),
    unpublish: ({ volumes }: NodeProcess, { volume }: World) =>
      volumes.unpublish({ id: volume.id, target: volume.target }),
    write: ({ volumes }: NodeProcess, { volume }: World) => volumes.write(volume.id, second),
    tend: ({ volumes }: NodeProcess) => volumes.tend(),
    collect: ({ volumes }: NodeProcess) => volumes.collect(),
  };
  const call = fc.record({
    act: fc.constantFrom(...(Object.keys(acts) as (keyof typeof acts)[])),
    volume: fc.nat({ max: 2 }),
    /** Turns of the event loop before it comes. */
    after: fc.nat({ max: 12 }),
  });

  test("end in what the last one of kubelet asked for, in any order (three volumes)", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 24 }), fc.boolean(), async (calls, up) => {
        const worlds = [newWorld(), newWorld(), newWorld()];
        const node = startNode(worlds[0] as World, sandbox.mounter);
        await node.volumes.recover();
        const running = calls.map(async ({ act, volume, after }) => {
          for (let turn = 0; turn < after; turn++) await new Promise(setImmediate);
          await acts[act](node, worlds[volume] as World).catch((error: unknown) => {
            if (!isSignetError(error) || !EXPECTED.has(error.code)) throw error;
          });
        });
        await Promise.all(running);
        for (const world of worlds) {
          await acts[up ? "publish" : "unpublish"](node, world);
          const { target, id } = world.volume;
          expect(existsSync(join(target, "tls.key"))).toBe(up);
          expect(await node.volumes.faultsOf(id)).toEqual(up ? [] : undefined);
        }
        expect(await sandbox.mountPoints()).toHaveLength(up ? 3 : 0);
        expect(readdirSync(join(sandbox.dir, "volumes"))).toHaveLength(up ? 3 : 0);
        for (const world of worlds) await acts.unpublish(node, world);
        await node.volumes.stop();
        node.vanish();
        expect(await sandbox.mountPoints()).toEqual([]);
      }),
      { numRuns: 60 },
    );
  }, 120_000);
});
