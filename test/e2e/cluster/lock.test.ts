import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { withLock } from "./lock.ts";
import { checkedStep, folderStep } from "./steps.ts";
import type { Workshop } from "./steps.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "signet-lock-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

it("lets one action run at a time", async () => {
  const events: string[] = [];
  const action = (name: string) => async (): Promise<void> => {
    events.push(`${name} in`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    events.push(`${name} out`);
  };
  const lines: string[] = [];
  const log = (line: string): number => lines.push(line);
  await Promise.all([
    withLock(folder, "x", action("a"), log),
    withLock(folder, "x", action("b"), log),
  ]);
  const first = events[0]?.slice(0, 1);
  expect(events[1]).toBe(`${first} out`);
  expect(lines).toHaveLength(1);
});

it("takes over the lock of a process that is gone, and of one whose id was given away", async () => {
  const child = spawn(process.execPath, ["-e", ""]);
  await once(child, "exit");
  for (const pid of [child.pid ?? 0, process.pid]) {
    await writeFile(join(folder, "x.lock"), JSON.stringify({ pid, started: "1" }));
    expect(
      await withLock(
        folder,
        "x",
        async () => "ran",
        () => undefined,
      ),
    ).toBe("ran");
  }
  expect(existsSync(join(folder, "x.lock"))).toBe(false);
});

it("frees the lock when the action fails", async () => {
  const failing = withLock(
    folder,
    "x",
    async () => {
      throw new Error("broken");
    },
    () => undefined,
  );
  await expect(failing).rejects.toThrow("broken");
  expect(existsSync(join(folder, "x.lock"))).toBe(false);
});

it("builds a step once, and again after a build that ended half-way", async () => {
  const shop = workshopIn(folder);
  let builds = 0;
  const step = {
    name: "s",
    inputs: ["1"],
    build: async (target: string): Promise<void> => {
      builds += 1;
      expect(existsSync(join(target, "half"))).toBe(false);
      await writeFile(join(target, "half"), "");
      if (builds === 1) throw new Error("crash");
    },
  };
  await expect(folderStep(shop, step)).rejects.toThrow("crash");
  const made = await folderStep(shop, step);
  expect(await folderStep(shop, step)).toBe(made);
  expect(await folderStep(shop, { ...step, inputs: ["2"] }).catch(String)).not.toBe(made);
  expect(builds).toBe(3);
});

it("reports a step that ends without its result", async () => {
  const step = { name: "s", find: async () => undefined, build: async () => undefined };
  await expect(checkedStep(workshopIn(folder), step)).rejects.toThrow("without its result");
});

function workshopIn(root: string): Workshop {
  const at = (name: string): string => join(root, name);
  const places = {
    cache: root,
    steps: at("steps"),
    locks: at("locks"),
    logs: at("logs"),
    clusters: at("clusters"),
    engineData: at("docker"),
    engineRun: at("run"),
  };
  return { places, log: () => undefined };
}
