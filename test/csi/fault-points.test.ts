import { spawn } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { serialize } from "node:v8";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { WorkloadIdentity } from "../../src/csi/ports.ts";
import { IS_ROOT, makeIdentity, makePod, makeSandbox } from "./fixtures.ts";
import type { Sandbox } from "./fixtures.ts";
import { play, prepare, publish, SCENARIOS, startNode } from "./scenarios.ts";
import type { NodeProcess, Scenario, World } from "./scenarios.ts";

/** What kubelet asks for after the agent's death. */
const ENDS = ["publish", "unpublish"] as const;
type End = (typeof ENDS)[number];

const LONG_MS = 180_000;
/** Killed in each scenario. */
const CHILDREN = 6;

let sandbox: Sandbox;
let first: WorkloadIdentity;
let second: WorkloadIdentity;
let node: NodeProcess | undefined;
beforeAll(async () => {
  first = await makeIdentity();
  second = await makeIdentity({ revision: "r2" });
  sandbox = await makeSandbox();
  mkdirSync(join(sandbox.dir, "pods"));
});
afterEach(async () => {
  await node?.volumes.stop();
  node?.vanish();
  node = undefined;
  for (const path of (await sandbox.mountPoints()).toReversed()) {
    await sandbox.mounter.unmount(path);
  }
});
afterAll(() => sandbox.cleanUp());

function makeWorld(): World {
  const pod = makePod();
  const target = join(sandbox.dir, "pods", pod.uid, "volumes/kubernetes.io~csi/spiffe/mount");
  mkdirSync(dirname(target), { recursive: true });
  const volume = {
    ...{ id: `csi-${pod.uid}`, target, pod, gid: undefined, optional: false, attributes: {} },
    ...{ jwtAudiences: [], keyType: "ec-p256" as const, removal: "keep" as const },
  };
  return { dir: sandbox.dir, volume, first, second };
}

class Death extends Error {}

/** Plays a scenario whose process is dead from step `fatal` on: nothing it tries has an effect any more. */
async function dieAt(fatal: number, scenario: Scenario, world: World): Promise<string> {
  let left = fatal;
  let at = "";
  await play(scenario, world, sandbox.mounter, (name) => {
    if (left > 0) return void left--;
    at ||= name;
    throw new Death();
  }).catch((error: unknown) => {
    if (at === "") throw error;
  });
  return at;
}

async function stepsOf(scenario: Scenario): Promise<string[]> {
  const world = makeWorld();
  await prepare(scenario, world, sandbox.mounter);
  const steps: string[] = [];
  await play(scenario, world, sandbox.mounter, (name) => void steps.push(name));
  node = startNode(world, sandbox.mounter);
  const { id, target } = world.volume;
  await node.volumes.unpublish({ id, target });
  return steps;
}

/** A volume's leaf; throws unless key and certificate are there, a pair, and one of those that were issued. */
function shownLeaf({ volume }: World): X509Certificate {
  const read = (name: string): Buffer => readFileSync(join(volume.target, name));
  const leaf = new X509Certificate(read("tls.crt"));
  expect(leaf.checkPrivateKey(createPrivateKey(read("tls.key")))).toBe(true);
  expect([first, second].map(({ svids }) => svids[0]?.chain[0])).toContainEqual(leaf.raw);
  return leaf;
}

const stateFiles = (): string[] => {
  const folder = join(sandbox.dir, "volumes");
  return existsSync(folder) ? readdirSync(folder) : [];
};

/** Whether somebody listens; a socket's whole path may be longer than connect(2) takes. */
async function answers(folder: string, name: string): Promise<boolean> {
  await using opened = await open(folder);
  const socket = connect(`/proc/self/fd/${opened.fd}/${name}`);
  const [outcome] = await Promise.race([
    once(socket, "connect").then(() => [true]),
    once(socket, "error").then(() => [false]),
  ]);
  socket.destroy();
  return outcome === true;
}

/** A new agent starts after the death, and kubelet repeats or ends what it wanted. */
async function recoverAndCheck(scenario: Scenario, end: End, world: World): Promise<void> {
  const { id, target, pod } = world.volume;
  const keptShowing = !["publish", "failing publish", "unpublish"].includes(scenario);
  if (keptShowing) shownLeaf(world);
  node = startNode(world, sandbox.mounter);
  await node.volumes.recover();
  if (keptShowing) shownLeaf(world);
  if (end === "publish" && scenario !== "unpublish") {
    await publish(node.volumes, world);
    if (scenario === "write") await node.volumes.write(id, second);
    await expectVolume(scenario, world);
  }
  await node.volumes.unpublish({ id, target });
  await node.volumes.unpublish({ id, target });
  expect(await sandbox.mountPoints()).toEqual([]);
  expect(existsSync(target)).toBe(false);
  expect(readdirSync(join(sandbox.dir, "pods", pod.uid), { recursive: true })).toHaveLength(3);
  expect(stateFiles()).toEqual([]);
}

async function expectVolume(scenario: Scenario, world: World): Promise<void> {
  const { target, id } = world.volume;
  expect(await sandbox.mountPoints()).toEqual([target]);
  const leaf = shownLeaf(world);
  if (scenario === "write") expect(leaf.raw).toEqual(second.svids[0]?.chain[0]);
  expect(await node?.volumes.faultsOf(id)).toEqual([]);
  expect(await answers(target, "api.sock")).toBe(true);
  const names = readdirSync(target);
  expect(names).toEqual(expect.arrayContaining(["api.sock", "spire-agent.sock", "socket"]));
  expect(names.filter((name) => /^\.[^.]/.test(name))).toEqual([]);
  // The new files, and those before until their readers had time.
  const generations = names.filter((name) => name.startsWith("..") && name !== "..data");
  expect(generations.length).toBeLessThanOrEqual(scenario === "write" ? 2 : 1);
  expect(stateFiles()).toHaveLength(1);
}

describe.each(SCENARIOS)("an agent that dies in: %s", (scenario) => {
  test(
    "at any step leaves what its successor and kubelet's next try put right",
    async () => {
      const steps = await stepsOf(scenario);
      expect(steps.length).toBeGreaterThan(1);
      for (const [at, name] of steps.entries()) {
        for (const end of ENDS) {
          const world = makeWorld();
          await prepare(scenario, world, sandbox.mounter);
          expect(await dieAt(at, scenario, world)).toBe(name);
          await recoverAndCheck(scenario, end, world).catch((error: unknown) => {
            throw new Error(`died ${name} (step ${at}), then ${end}`, { cause: error });
          });
        }
      }
    },
    LONG_MS,
  );

  test.runIf(IS_ROOT)(
    "by SIGKILL leaves the same (real mounts only)",
    async () => {
      const steps = await stepsOf(scenario);
      for (const at of sample(steps)) {
        const world = makeWorld();
        await prepare(scenario, world, sandbox.mounter);
        const file = join(sandbox.dir, "world");
        writeFileSync(file, serialize(world));
        const script = join(import.meta.dirname, "dying-node.ts");
        const child = spawn(process.execPath, [script, file, scenario, String(at)]);
        expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
        await recoverAndCheck(scenario, "publish", world).catch((error: unknown) => {
          throw new Error(`killed ${steps[at]} (step ${at})`, { cause: error });
        });
      }
    },
    LONG_MS,
  );
});

/** The first of each kind of step, and of these some from beginning to end; every child takes a while. */
function sample(steps: readonly string[]): number[] {
  const kinds = steps.map((name) => name.split(" ").slice(1, 3).join(" "));
  const firsts = [...kinds.keys()].filter((at) => kinds.indexOf(kinds[at] ?? "") === at);
  const stride = Math.max(1, (firsts.length - 1) / (CHILDREN - 1));
  return firsts.filter((_, at) => Math.floor(at / stride) > Math.floor((at - 1) / stride));
}
