import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { acquireNodeLock } from "../../src/csi/node-lock.ts";
import type { NodeLock } from "../../src/csi/node-lock.ts";

let dir: string;
let path: string;
let waits: number;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "lock-"));
  path = join(dir, "agent.lock");
  waits = 0;
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const acquire = (signal = new AbortController().signal): Promise<NodeLock> =>
  acquireNodeLock(path, { clock: systemClock(), signal, onWait: () => waits++ });
const openFiles = (): number => readdirSync("/proc/self/fd").length;

test("a free lock is taken without a wait, and again after its release", async () => {
  for (let turn = 0; turn < 3; turn++) (await acquire()).release();
  expect(waits).toBe(0);
  expect(existsSync(path)).toBe(true);
});

test("a second holder waits for the first one's release", async () => {
  const first = await acquire();
  let taken = false;
  const second = acquire().then((lock) => {
    taken = true;
    return lock;
  });
  await expect.poll(() => waits).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect([taken, waits]).toEqual([false, 1]);
  first.release();
  (await second).release();
});

test("a wait ends with the signal, and leaves no file open", async () => {
  const first = await acquire();
  const before = openFiles();
  const stop = new AbortController();
  const waiting = acquire(stop.signal);
  await expect.poll(() => waits).toBe(1);
  stop.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow(/enough|aborted/);
  expect(openFiles()).toBe(before);
  first.release();
});

test("a caller that is told to stop before it begins takes nothing", async () => {
  await expect(acquire(AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  (await acquire()).release();
  expect(waits).toBe(0);
});

test("a path that cannot be a file is an error of the system", async () => {
  writeFileSync(join(dir, "file"), "");
  path = join(dir, "file", "agent.lock");
  await expect(acquire()).rejects.toMatchObject({ code: "SYSTEM" });
});
