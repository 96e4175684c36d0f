import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { CsiDriver } from "../../src/csi/driver.ts";
import { fakeKubelet } from "../fakes/kubelet.ts";
import type { FakeKubelet } from "../fakes/kubelet.ts";
import { DRIVER, startDriver } from "./driver-fixture.ts";
import { IS_ROOT, makeIdentity, makePod, makeSandbox, scriptedSource } from "./fixtures.ts";
import type { Sandbox } from "./fixtures.ts";

let sandbox: Sandbox;
let driver: CsiDriver;
let kubelet: FakeKubelet;
const children: ChildProcess[] = [];
beforeEach(async () => {
  sandbox = await makeSandbox();
  driver = await startDriver(sandbox, scriptedSource(await makeIdentity()));
  kubelet = fakeKubelet(sandbox.dir);
  await kubelet.register(DRIVER);
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  kubelet.close();
  await driver.stop();
  await sandbox.cleanUp();
});

describe.runIf(IS_ROOT)("a volume that somebody holds (real mounts only)", () => {
  test("is taken down all the same, and no process finds a key in it any more", async () => {
    const pod = makePod();
    await kubelet.mount(pod);
    const target = kubelet.target(pod);
    const child = spawn("sleep", ["60"], { cwd: target });
    children.push(child);
    const held = `/proc/${child.pid}/cwd`;
    await expect.poll(() => existsSync(join(held, "tls.key"))).toBe(true);
    await using file = await open(join(target, "tls.crt"));
    await kubelet.unmount(pod);
    expect(await sandbox.mountPoints()).toEqual([]);
    expect(existsSync(target)).toBe(false);
    expect(readdirSync(held)).toEqual([]);
    expect(file.fd).toBeGreaterThan(0);
  });

  test("shows nothing in the mounts of a container that outlives it", async () => {
    const pod = makePod();
    await kubelet.mount(pod);
    const container = join(sandbox.dir, "container");
    mkdirSync(container);
    execFileSync("mount", ["--bind", kubelet.target(pod), container]);
    expect(readFileSync(join(container, "tls.key"), "utf8")).toContain("PRIVATE KEY");
    await kubelet.unmount(pod);
    expect(readdirSync(container)).toEqual([]);
    expect(await sandbox.mountPoints()).toEqual([container]);
  });

  test("of another driver on top of ours loses none of its files", async () => {
    const pod = makePod();
    await kubelet.mount(pod);
    const target = kubelet.target(pod);
    const disk = join(sandbox.dir, "disk");
    mkdirSync(disk);
    writeFileSync(join(disk, "precious"), "");
    execFileSync("mount", ["--bind", disk, target]);
    await kubelet.unmount(pod);
    expect(readdirSync(disk)).toEqual(["precious"]);
    expect(await sandbox.mountPoints()).toEqual([]);
  });
});

test.runIf(IS_ROOT)(
  "a full volume keeps what it shows, and is renewed when there is room (real mounts only)",
  async () => {
    const pod = makePod();
    await kubelet.mount(pod);
    const target = kubelet.target(pod);
    const before = readFileSync(join(target, "tls.crt"), "utf8");
    const filler = join(target, "filler");
    const { blocks, bsize } = statfsSync(target);
    const size = blocks * bsize;
    expect(() => writeFileSync(filler, Buffer.alloc(size + 1))).toThrow(/ENOSPC/);
    const renewed = await makeIdentity({ revision: "r2" });
    const renew = (): Promise<void> => driver.sink.write(kubelet.volumeId(pod), renewed);
    await expect(renew()).rejects.toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      message: expect.stringContaining("too small"),
    });
    expect(readFileSync(join(target, "tls.crt"), "utf8")).toBe(before);
    await kubelet.mount(pod);
    rmSync(filler);
    await renew();
    expect(readFileSync(join(target, "tls.crt"), "utf8")).not.toBe(before);
    await kubelet.unmount(pod);
  },
);
