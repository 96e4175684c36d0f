import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import type { ErrorCode } from "../../src/core/errors.ts";
import { createCsiDriver } from "../../src/csi/driver.ts";
import type { CsiDriver } from "../../src/csi/driver.ts";
import { fakeKubelet, isFinal, volumeData } from "../fakes/kubelet.ts";
import type { FakeKubelet } from "../fakes/kubelet.ts";
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
import type { Sandbox, ScriptedSource } from "./fixtures.ts";

const DRIVER = "csi.spiffe.io";

let sandbox: Sandbox;
let source: ScriptedSource;
let kubelet: FakeKubelet;
let driver: CsiDriver;
let log: ReturnType<typeof recordingLog>;
let refusals: SignetError[];
beforeEach(async () => {
  sandbox = await makeSandbox();
  source = scriptedSource(await makeIdentity());
  log = recordingLog();
  refusals = [];
  mkdirSync(join(sandbox.dir, "pods"));
  kubelet = fakeKubelet(sandbox.dir);
  driver = makeDriver();
});
afterEach(async () => {
  kubelet.close();
  await driver.stop();
  await sandbox.cleanUp();
});

function makeDriver(kubeletDir = `${sandbox.dir}/`): CsiDriver {
  const config = {
    driverName: DRIVER,
    kubeletDir,
    publishTimeout: 110_000,
    onRemoval: "keep" as const,
  };
  return createCsiDriver({
    config,
    nodeName: "node-1",
    version: "1.2.3",
    audience: "signet",
    identities: () => source,
    sockets: memorySockets(),
    mounter: sandbox.mounter,
    clock: systemClock(),
    log,
    onRefused: (error) => refusals.push(error),
  });
}

async function running(): Promise<void> {
  await driver.start();
  await kubelet.register(DRIVER);
}

const failWith = (code: ErrorCode): void => {
  source.answer = () => Promise.reject(new SignetError(code, `${code} for a test`));
};
const registrationSocket = () => join(sandbox.dir, "plugins_registry", `${DRIVER}-reg.sock`);

describe("registration", () => {
  test("tells kubelet who we are, where we listen and what we can do", async () => {
    await driver.start();
    expect(driver.registered()).toBe(false);
    expect(await kubelet.register(DRIVER)).toEqual({
      type: "CSIPlugin",
      name: DRIVER,
      endpoint: join(sandbox.dir, "plugins", DRIVER, "csi.sock"),
      versions: ["1.0.0"],
      nodeId: "node-1",
      vendorVersion: "1.2.3",
      capabilities: [6, 2, 7],
    });
    expect(driver.registered()).toBe(true);
    for (const socket of [registrationSocket(), join(sandbox.dir, `plugins/${DRIVER}/csi.sock`)]) {
      expect(statSync(socket).mode & 0o777).toBe(0o600);
    }
  });

  test("that kubelet refuses is reported with its words", async () => {
    await driver.start();
    await kubelet.refuse(DRIVER, "driver name is taken");
    expect(refusals).toMatchObject([
      { code: "FAILED_PRECONDITION", message: expect.stringContaining("driver name is taken") },
    ]);
    expect(driver.registered()).toBe(false);
  });

  test("comes back when someone removes its socket", async () => {
    await driver.start();
    rmSync(registrationSocket());
    await kubelet.register(DRIVER);
    expect(driver.registered()).toBe(true);
  });

  test("is asked for again by a kubelet that restarts, and its pods go on", async () => {
    await running();
    const pod = makePod();
    await kubelet.mount(pod);
    kubelet.close();
    kubelet = fakeKubelet(sandbox.dir);
    expect((await kubelet.register(DRIVER)).nodeId).toBe("node-1");
    await kubelet.mount(pod);
    expect(source.attested).toHaveLength(1);
    await kubelet.unmount(pod);
    expect(await sandbox.mountPoints()).toEqual([]);
  });

  test("of a driver whose socket path would be too long fails with the path", async () => {
    const deep = join(sandbox.dir, "x".repeat(100));
    driver = makeDriver(deep);
    await expect(driver.start()).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(existsSync(deep)).toBe(false);
  });
});

describe("kubelet's calls", () => {
  test("a pod gets its files, and leaves nothing when it goes", async () => {
    await running();
    const pod = makePod();
    // Only root may give files to a group that it is not in.
    const gid = IS_ROOT ? 2000 : (process.getgid?.() ?? 0);
    await kubelet.mount(pod, { tokensIn: "secrets", fsGroup: String(gid) });
    const target = kubelet.target(pod);
    expect(readFileSync(join(target, "tls.crt"), "utf8")).toContain("BEGIN CERTIFICATE");
    expect(statSync(join(target, "tls.key")).gid).toBe(gid);
    expect(statSync(join(target, "tls.key")).mode & 0o777).toBe(0o440);
    expect(source.attested).toMatchObject([{ pod, token: `token-of-${pod.uid}` }]);
    await kubelet.unmount(pod);
    expect(await sandbox.mountPoints()).toEqual([]);
    expect(readdirSync(join(sandbox.dir, "plugins", DRIVER, "volumes"))).toEqual([]);
    expect(readdirSync(kubelet.podsDir)).toEqual([]);
  });

  test.runIf(IS_ROOT)(
    "a user of the pod without groups reads the key, and cannot write (needs another user)",
    async () => {
      await running();
      const pod = makePod();
      await kubelet.mount(pod);
      const script = `cd /proc/self/fd/9 && cat tls.key && ! touch x 2>/dev/null`;
      const out = execFileSync(
        "sh",
        [
          "-c",
          `exec 9<"$0"; setpriv --reuid 65532 --regid 65532 --clear-groups sh -c '${script}'`,
          kubelet.target(pod),
        ],
        { encoding: "utf8" },
      );
      expect(out).toContain("BEGIN PRIVATE KEY");
    },
  );

  test("the wait for an identity ends before kubelet's patience does", async () => {
    await running();
    const deadline = Date.now() + 60_000;
    await kubelet.mount(makePod(), { deadline });
    const until = source.attested[0]?.options.deadline ?? 0;
    expect(until).toBeLessThanOrEqual(deadline - 2900);
    expect(until).toBeGreaterThan(deadline - 10_000);
  });

  test.each<[ErrorCode, boolean]>([
    ["NO_IDENTITY", false],
    ["UNAVAILABLE", false],
    ["PERMISSION_DENIED", true],
    ["POD_GONE", true],
  ])("%s on the first publish is final for kubelet: %s", async (code, final) => {
    await running();
    const pod = makePod();
    failWith(code);
    const error: unknown = await kubelet.mount(pod).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code, message: `${code} for a test` });
    expect(isFinal(error)).toBe(final);
    expect(await volumeData(kubelet.podsDir)).toHaveLength(final ? 0 : 1);
    expect(await sandbox.mountPoints()).toEqual([]);
  });

  test("a request that can never work is final and names the way out", async () => {
    await running();
    await expect(kubelet.mount(makePod(), { readonly: false })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("readOnly: true"),
    });
  });

  test("a running pod keeps its volume when a republish is not valid any more", async () => {
    await running();
    const pod = makePod();
    await kubelet.mount(pod);
    await kubelet.mount(pod, { tokens: { other: "SECRET-TOKEN" } });
    await kubelet.mount(pod, { attributes: { "signet.dev/future": "x" } });
    expect(await sandbox.mountPoints()).toEqual([kubelet.target(pod)]);
    expect(log.lines.filter(({ text }) => text.includes("stays as it is"))).toHaveLength(2);
  });

  test("a running pod keeps a volume that only another version understands", async () => {
    await running();
    const pod = makePod();
    await kubelet.mount(pod);
    await driver.stop();
    const folder = join(sandbox.dir, "plugins", DRIVER, "volumes");
    const [name = ""] = readdirSync(folder);
    writeFileSync(join(folder, name), JSON.stringify({ version: 99 }));
    driver = makeDriver();
    await running();
    const failure = kubelet.mount(pod, { attributes: { "signet.dev/future": "x" } });
    await expect(failure).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("signet.dev/future"),
    });
    expect(await sandbox.mountPoints()).toEqual([kubelet.target(pod)]);
  });

  test("a call that kubelet gives up ends the wait, and a pod that goes meanwhile is let go", async () => {
    await running();
    const pod = makePod();
    source.answer = (_, { signal }) => waitForAbort(signal);
    const gone = new AbortController();
    const first = kubelet.mount(pod, { signal: gone.signal }).catch((error: unknown) => error);
    await expect.poll(() => source.attested.length).toBe(1);
    gone.abort();
    expect(await first).toMatchObject({ code: "CANCELLED" });
    await expect
      .poll(() => source.attested[0]?.options.signal.aborted, { timeout: 10_000 })
      .toBe(true);
    const second = kubelet.mount(pod).catch((error: unknown) => error);
    await expect.poll(() => source.attested.length).toBe(2);
    await kubelet.unmount(pod);
    expect(await second).toMatchObject({ code: "ABORTED" });
    expect(await sandbox.mountPoints()).toEqual([]);
  });

  test.runIf(IS_ROOT)("statistics are those of the tmpfs (real mounts only)", async () => {
    await running();
    const pod = makePod();
    await expect(kubelet.stats(pod)).rejects.toMatchObject({ code: "NOT_FOUND" });
    await kubelet.mount(pod);
    const [bytes, inodes] = await kubelet.stats(pod);
    expect(bytes).toMatchObject({ unit: 1, total: BigInt(4 << 20) });
    expect(bytes?.used).toBeGreaterThan(0n);
    expect(inodes?.unit).toBe(2);
    expect(inodes?.used).toBeGreaterThan(9n);
    await kubelet.unmount(pod);
    await expect(kubelet.stats(pod)).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("no token and no key is ever logged", async () => {
    await running();
    const tokens = { signet: "SECRET-TOKEN" };
    await kubelet.mount(makePod(), { tokens });
    failWith("PERMISSION_DENIED");
    await kubelet.mount(makePod(), { tokens }).catch(() => undefined);
    await kubelet.mount(makePod(), { tokens: { other: "SECRET-TOKEN" } }).catch(() => undefined);
    const text = JSON.stringify(log.lines);
    expect(text).toContain("volume published");
    expect(text).toContain("call failed");
    expect(text).not.toMatch(/SECRET-TOKEN|PRIVATE/);
  });
});

describe("a restart of the agent", () => {
  test("removes the sockets, leaves the mounts, and the next agent renews and unmounts them", async () => {
    await running();
    const pod = makePod();
    await kubelet.mount(pod);
    await driver.stop();
    kubelet.close();
    expect(existsSync(registrationSocket())).toBe(false);
    expect(readdirSync(join(sandbox.dir, "plugins", DRIVER))).toEqual(["agent.lock", "volumes"]);
    expect(await sandbox.mountPoints()).toEqual([kubelet.target(pod)]);
    source.adopted.clear();

    driver = makeDriver();
    await running();
    const id = kubelet.volumeId(pod);
    expect(source.adopted.get(id)?.current?.svids[0]?.entryId).toBe("entry-1");
    const before = readFileSync(join(kubelet.target(pod), "tls.crt"), "utf8");
    await driver.sink.write(id, await makeIdentity({ revision: "r2" }));
    expect(readFileSync(join(kubelet.target(pod), "tls.crt"), "utf8")).not.toBe(before);
    await kubelet.unmount(pod);
    expect(await sandbox.mountPoints()).toEqual([]);
  });

  test("ends waiting calls with a code that kubelet retries", async () => {
    await running();
    const pod = makePod();
    source.answer = (_, { signal }) => waitForAbort(signal);
    const waiting = kubelet.mount(pod).catch((error: unknown) => error);
    await expect.poll(() => source.attested.length).toBe(1);
    await driver.stop();
    const error = await waiting;
    expect(error).toMatchObject({ code: "UNAVAILABLE" });
    expect(isFinal(error)).toBe(false);
  });
});

describe("a second agent on the node", () => {
  test("stands by, touches nothing, and begins when the first one stops", async () => {
    await running();
    const pod = makePod();
    await kubelet.mount(pod);
    const first = driver;
    const inode = statSync(registrationSocket()).ino;
    driver = makeDriver();
    const started = driver.start();
    await expect.poll(() => driver.standby()).toBe(true);
    expect([driver.registered(), driver.summary().volumes]).toEqual([false, 0]);
    expect(statSync(registrationSocket()).ino).toBe(inode);
    source.adopted.clear();
    await first.stop();
    await started;
    expect([driver.standby(), driver.summary().volumes]).toEqual([false, 1]);
    expect(source.adopted.size).toBe(1);
    kubelet.close();
    await kubelet.register(DRIVER);
    expect(driver.registered()).toBe(true);
    await kubelet.unmount(pod);
  });

  test("that is stopped while it stands by does not start", async () => {
    await running();
    const second = makeDriver();
    const started = second.start().catch((error: unknown) => error);
    await expect.poll(() => second.standby()).toBe(true);
    await second.stop();
    expect(await started).toBeInstanceOf(Error);
    expect(second.standby()).toBe(false);
    await kubelet.mount(makePod());
  });
});

test("after a reboot of the node, which keeps no mount, pods get their volumes anew", async () => {
  await running();
  const pods = [makePod(), makePod()] as const;
  for (const pod of pods) await kubelet.mount(pod);
  await driver.stop();
  kubelet.close();
  for (const pod of pods) await sandbox.mounter.unmount(kubelet.target(pod));
  source.adopted.clear();
  driver = makeDriver();
  await running();
  expect([source.adopted.size, driver.summary().volumes]).toEqual([0, 0]);
  await kubelet.mount(pods[0]);
  expect(existsSync(join(kubelet.target(pods[0]), "tls.key"))).toBe(true);
  for (const pod of pods) await kubelet.unmount(pod);
  expect(await sandbox.mountPoints()).toEqual([]);
  expect(readdirSync(kubelet.podsDir)).toEqual([]);
});

test("two hundred pods come and go, sixteen at a time, and nothing is left", async () => {
  await running();
  const pods = Array.from({ length: 200 }, () => makePod());
  const queue = [...pods];
  const worker = async (): Promise<void> => {
    for (let pod = queue.pop(); pod; pod = queue.pop()) {
      await kubelet.mount(pod);
      expect(existsSync(join(kubelet.target(pod), "tls.key"))).toBe(true);
      await kubelet.mount(pod);
      await kubelet.unmount(pod);
    }
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  expect(source.attested).toHaveLength(200);
  expect(source.forgotten).toHaveLength(200);
  expect(await sandbox.mountPoints()).toEqual([]);
  expect(readdirSync(join(sandbox.dir, "plugins", DRIVER, "volumes"))).toEqual([]);
});
