import { execFileSync } from "node:child_process";
import { mkdir, open, readFile, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createMounter } from "../../src/csi/mount.ts";
import type { Mounter } from "../../src/csi/mount.ts";
import { mountsAt } from "../../src/csi/mount-table.ts";
import { IS_ROOT, makeSandbox } from "./fixtures.ts";
import type { Sandbox } from "./fixtures.ts";

const OPTIONS = { source: "csi.spiffe.io", sizeBytes: 1 << 20, mode: 0o755 };

let sandbox: Sandbox;
let mounter: Mounter;
beforeEach(async () => {
  sandbox = await makeSandbox();
  mounter = await createMounter();
});
afterEach(async () => await sandbox.cleanUp());

describe.skipIf(!IS_ROOT)("as root (mount(2) is refused to others)", () => {
  test("a tmpfs is mounted with its limits, and unmounted", async () => {
    const target = join(sandbox.dir, "with space");
    await mkdir(target);
    mounter.mountTmpfs(target, OPTIONS);
    expect(mountsAt(await mounter.mounts(), target)).toMatchObject([
      { fsType: "tmpfs", source: "csi.spiffe.io" },
    ]);
    const { bsize, blocks } = await statfs(target);
    expect(bsize * blocks).toBe(1 << 20);
    expect((await stat(target)).mode & 0o7777).toBe(0o755);
    const options = execFileSync("findmnt", ["-no", "OPTIONS", "-M", target], {
      encoding: "utf8",
    }).trim();
    for (const option of ["rw", "nosuid", "nodev", "noexec"]) {
      expect(options.split(",")).toContain(option);
    }
    await mounter.unmount(target);
    expect(mountsAt(await mounter.mounts(), target)).toEqual([]);
  });

  test("keys in a volume are not swapped, where the kernel can promise it", async () => {
    const target = join(sandbox.dir, "mount");
    await mkdir(target);
    mounter.mountTmpfs(target, OPTIONS);
    const [major = 0, minor = 0] = (await readFile("/proc/sys/kernel/osrelease", "utf8"))
      .split(".")
      .map(Number);
    const knows = major > 6 || (major === 6 && minor >= 4);
    const text = await readFile("/proc/self/mountinfo", "utf8");
    expect(
      text
        .split("\n")
        .find((line) => line.includes(target))
        ?.includes("noswap"),
    ).toBe(knows);
  });

  test("a mount in use is taken away all the same", async () => {
    const target = join(sandbox.dir, "busy");
    await mkdir(target);
    mounter.mountTmpfs(target, OPTIONS);
    await writeFile(join(target, "a"), "x");
    await using file = await open(join(target, "a"));
    await mounter.unmount(target);
    expect(mountsAt(await mounter.mounts(), target)).toEqual([]);
    expect(await file.readFile("utf8")).toBe("x");
  });

  test("unmounting what is not mounted, or not there, is fine", async () => {
    const target = join(sandbox.dir, "plain");
    await mkdir(target);
    await mounter.unmount(target);
    await mounter.unmount(join(sandbox.dir, "missing"));
    expect((await stat(target)).isDirectory()).toBe(true);
  });

  test("a failed mount names the call, the path and the error", () => {
    const target = join(sandbox.dir, "missing");
    expect(() => mounter.mountTmpfs(target, OPTIONS)).toThrow(
      expect.objectContaining({
        code: "SYSTEM",
        message: `mount ${target}: ENOENT`,
        details: { call: "mount", path: target, errno: "ENOENT" },
      }),
    );
  });

  test("a failed unmount names the call, the path and the error", async () => {
    const file = join(sandbox.dir, "a-file");
    await writeFile(file, "");
    const target = join(file, "below");
    await expect(mounter.unmount(target)).rejects.toMatchObject({
      code: "SYSTEM",
      details: { call: "umount2", path: target, errno: "ENOTDIR" },
    });
  });
});

test.skipIf(IS_ROOT)("without root mounting is refused with a hint", () => {
  expect(() => mounter.mountTmpfs(sandbox.dir, OPTIONS)).toThrow(/EPERM; the agent must run/);
});

test("the mount table of this process holds its root", async () => {
  expect(mountsAt(await mounter.mounts(), "/").length).toBeGreaterThan(0);
});
