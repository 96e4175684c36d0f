import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { serialize } from "node:v8";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fakeKubelet } from "../fakes/kubelet.ts";
import type { FakeKubelet } from "../fakes/kubelet.ts";
import { IS_ROOT, makeIdentity, makePod, makeSandbox } from "./fixtures.ts";
import type { Sandbox } from "./fixtures.ts";

const DRIVER = "csi.spiffe.io";
const VOLUMES = 110;
/** What HTTP/2 clients begin with: its words and empty SETTINGS. */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");

interface Agent {
  readonly process: ChildProcessWithoutNullStreams;
  says(word: string): Promise<string>;
}

let sandbox: Sandbox;
let kubelet: FakeKubelet;
const agents: Agent[] = [];
beforeEach(async () => {
  sandbox = await makeSandbox();
  for (const folder of ["pods", "plugins_registry"]) mkdirSync(join(sandbox.dir, folder));
  writeFileSync(join(sandbox.dir, "identity"), serialize(await makeIdentity()));
  kubelet = fakeKubelet(sandbox.dir);
});
afterEach(async () => {
  kubelet.close();
  for (const { process } of agents.splice(0)) process.kill("SIGKILL");
  await sandbox.cleanUp();
});

function startAgent(name: string): Agent {
  const script = join(import.meta.dirname, "agent-process.ts");
  const args = [script, sandbox.dir, join(sandbox.dir, "identity"), name];
  const child = spawn(process.execPath, args);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  }
  const agent: Agent = {
    process: child,
    async says(word) {
      await expect.poll(() => output, { timeout: 20_000, interval: 5 }).toContain(word);
      return output;
    },
  };
  agents.push(agent);
  return agent;
}

interface Watch {
  /** The longest time between two answers, in milliseconds. */
  stop(): Promise<number>;
}

/** Connects to a volume's socket again and again, as a new client each time, and reads the files beside it. */
function watchVolume(target: string): Watch {
  const folder = openSync(target, "r");
  const stopping = new AbortController();
  let [last, longest] = [performance.now(), 0];
  const loop = (async () => {
    while (!stopping.signal.aborted) {
      expect(readFileSync(join(target, "tls.key"), "utf8")).toContain("PRIVATE KEY");
      if (await isServed(`/proc/self/fd/${folder}/api.sock`)) {
        const now = performance.now();
        longest = Math.max(longest, now - last);
        last = now;
      }
      await delay(1);
    }
    longest = Math.max(longest, performance.now() - last);
  })();
  return {
    async stop() {
      stopping.abort();
      await loop;
      closeSync(folder);
      return longest;
    },
  };
}

async function isServed(path: string): Promise<boolean> {
  const socket = connect(path);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.on("connect", () => socket.write(PREFACE));
  socket.on("data", () => resolve(true));
  socket.on("error", () => resolve(false));
  socket.on("close", () => resolve(false));
  const served = await promise;
  socket.destroy();
  return served;
}

const registrationSocket = () => join(sandbox.dir, "plugins_registry", `${DRIVER}-reg.sock`);

describe.runIf(IS_ROOT)("two agents on one node (real mounts and processes)", () => {
  test("the second waits, takes over when the first stops, and no pod loses anything", async () => {
    const before = startAgent("v1");
    await before.says("serving 0");
    await kubelet.register(DRIVER);
    const pods = Array.from({ length: VOLUMES }, () => makePod());
    for (const pod of pods) await kubelet.mount(pod);
    const after = startAgent("v2");
    await after.says("standby");
    const socket = statSync(registrationSocket()).mtimeMs;
    const watches = [0, 54, 109]
      .map((at) => pods[at] ?? makePod())
      .map((pod) => watchVolume(kubelet.target(pod)));
    await delay(100);
    expect((await kubelet.register(DRIVER)).vendorVersion).toBe("v1");

    const told = performance.now();
    before.process.kill("SIGTERM");
    await after.says(`serving ${VOLUMES} volumes`);
    const took = performance.now() - told;
    const gaps = await Promise.all(watches.map((watch) => watch.stop()));
    const stopped = (await before.says("stopped")).trim().split("\n").at(-1);
    console.log(
      `hand-over of ${VOLUMES} volumes: ${took.toFixed(0)} ms from SIGTERM to the next agent, silence ` +
        `${gaps.map((gap) => gap.toFixed(0)).join(", ")} ms; first agent ${stopped}`,
    );
    for (const gap of gaps) expect(gap).toBeLessThan(5000);

    expect(statSync(registrationSocket()).mtimeMs).toBeGreaterThan(socket);
    expect((await kubelet.register(DRIVER)).vendorVersion).toBe("v2");
    expect(await sandbox.mountPoints()).toHaveLength(VOLUMES);
    for (const pod of pods) await kubelet.unmount(pod);
    expect(await sandbox.mountPoints()).toEqual([]);
  }, 60_000);

  test("the second takes over at once when the first is killed", async () => {
    const before = startAgent("v1");
    await before.says("serving 0");
    await kubelet.register(DRIVER);
    const pod = makePod();
    await kubelet.mount(pod);
    const after = startAgent("v2");
    await after.says("standby");
    before.process.kill("SIGKILL");
    await after.says("serving 1 volumes");
    kubelet.close();
    expect((await kubelet.register(DRIVER)).vendorVersion).toBe("v2");
    await kubelet.unmount(pod);
    expect(await sandbox.mountPoints()).toEqual([]);
  }, 60_000);

  test("one that is told to stop while it waits leaves the other in peace", async () => {
    const before = startAgent("v1");
    await before.says("serving 0");
    const after = startAgent("v2");
    await after.says("standby");
    after.process.kill("SIGTERM");
    await after.says("stopped");
    expect((await kubelet.register(DRIVER)).vendorVersion).toBe("v1");
  }, 60_000);
});
