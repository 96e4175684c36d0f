import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { driverPaths } from "../../src/csi/driver.ts";
import type { CsiDriver } from "../../src/csi/driver.ts";
import { DRIVER, startDriver } from "../csi/driver-fixture.ts";
import { makeIdentity, makePod, makeSandbox, scriptedSource } from "../csi/fixtures.ts";
import type { Sandbox } from "../csi/fixtures.ts";
import { workshop } from "../e2e/cluster/cluster.ts";
import { must, run } from "../e2e/cluster/exec.ts";
import { goProgram } from "../e2e/cluster/go-tools.ts";
import { fileInputs, folderStep } from "../e2e/cluster/steps.ts";

/** Tests of csi-sanity that do not run, by the beginning of their names: each with the reason. */
const NOT_RUN: Readonly<Record<string, string>> = {
  "Controller Service": "ephemeral volumes are made by their pod: there is no controller",
  "ListSnapshots [Controller Server]": "an identity has no snapshots",
  "GetSnapshot [Controller Server]": "an identity has no snapshots",
  "DeleteSnapshot [Controller Server]": "an identity has no snapshots",
  "CreateSnapshot [Controller Server]": "an identity has no snapshots",
  "ExpandVolume [Controller Server]": "a volume has one size",
  "ModifyVolume [Controller Server]": "there is no controller",
  "ControllerGetVolumeHealth [Controller Server]": "the node tells of its volumes' health",
  "ControllerListVolumeHealth [Controller Server]": "the node tells of its volumes' health",
  "GroupController Service": "there is no controller",
  "Node Service NodePublishVolume with single node multi writer capability":
    "a volume belongs to one pod and one path, in whatever access mode kubelet names",
  "Node Service NodeStageVolume": "a tmpfs is mounted where it is needed, in one step",
  "Node Service NodeUnstageVolume": "a tmpfs is mounted where it is needed, in one step",
  "Node Service NodeExpandVolume": "a volume has one size",
  "Node Service NodeGetStorageHealth": "there is no storage behind the volumes",
};

interface SpecReport {
  readonly ContainerHierarchyTexts: readonly string[] | null;
  readonly LeafNodeText: string;
  readonly LeafNodeType: string;
  readonly State: string;
  readonly Failure?: { readonly Message: string };
}

const WITHOUT_RUN = new Set(["skipped", "pending"]);
const pod = makePod();

let sandbox: Sandbox;
let driver: CsiDriver;
let specs: { name: string; state: string; message: string }[];

beforeAll(async () => {
  const program = await build();
  sandbox = await makeSandbox();
  driver = await startDriver(sandbox, scriptedSource(await makeIdentity()));
  specs = await runSanity(program, driverPaths({ kubeletDir: sandbox.dir, driverName: DRIVER }));
}, 1_200_000);

afterAll(async () => {
  await driver.stop();
  await sandbox.cleanUp();
});

async function build(): Promise<string> {
  const shop = workshop(console.log);
  const source = join(import.meta.dirname, "csi-sanity");
  const files = ["go.mod", "go.sum", "main.go"].map((file) => join(source, file));
  const folder = await folderStep(shop, {
    name: "csi-sanity",
    inputs: [...(await fileInputs(files)), process.arch],
    build: async (folder, logFile) => {
      const go = await goProgram(shop);
      const env = { CGO_ENABLED: "0" };
      const output = join(folder, "csi-sanity");
      await must([go, "build", "-trimpath", "-o", output, "."], {
        ...{ cwd: source, env, logFile },
        timeoutMs: 1_200_000,
      });
    },
  });
  return join(folder, "csi-sanity");
}

async function runSanity(program: string, paths: ReturnType<typeof driverPaths>) {
  const report = join(sandbox.dir, "report.json");
  const facts = {
    volumeContext: {
      "csi.storage.k8s.io/ephemeral": "true",
      "csi.storage.k8s.io/pod.uid": pod.uid,
      "csi.storage.k8s.io/pod.name": pod.name,
      "csi.storage.k8s.io/pod.namespace": pod.namespace,
      "csi.storage.k8s.io/serviceAccount.name": pod.serviceAccount,
    },
    secrets: {
      "csi.storage.k8s.io/serviceAccount.tokens": JSON.stringify({
        signet: { token: "a token", expirationTimestamp: "2099-01-01T00:00:00Z" },
      }),
    },
  };
  const folder = join(paths.pods, pod.uid);
  await run(
    [
      ...[program, "-endpoint", paths.csiSocket, "-pod-folder", folder],
      ...["-pod", JSON.stringify(facts), "-report", report],
    ],
    { timeoutMs: 120_000 },
  );
  const [suite] = JSON.parse(readFileSync(report, "utf8")) as { SpecReports: SpecReport[] }[];
  return (suite?.SpecReports ?? [])
    .filter(({ LeafNodeType }) => LeafNodeType === "It")
    .map(({ ContainerHierarchyTexts, LeafNodeText, State, Failure }) => ({
      name: [...(ContainerHierarchyTexts ?? []), LeafNodeText].join(" "),
      state: State,
      message: Failure?.Message ?? "",
    }));
}

const reasonFor = (name: string): string | undefined =>
  Object.keys(NOT_RUN).find((beginning) => name.startsWith(beginning));

describe("csi-sanity against a node's real driver", () => {
  test("finds nothing wrong", () => {
    const ran = specs.filter(({ state }) => !WITHOUT_RUN.has(state));
    expect(ran.filter(({ state }) => state !== "passed")).toEqual([]);
  });

  test("runs all tests of identity and node but those that have a reason not to", () => {
    const silent = specs.filter(({ name, state }) => WITHOUT_RUN.has(state) && !reasonFor(name));
    expect(silent).toEqual([]);
    const passed = specs.filter(({ state }) => state === "passed").map(({ name }) => name);
    expect(passed.filter((name) => reasonFor(name) !== undefined)).toEqual([]);
    expect(passed).toContain("Node Service should be idempotent");
    expect(passed).toHaveLength(19);
  });

  test("has a test for every reason", () => {
    const used = new Set(specs.map(({ name }) => reasonFor(name)));
    expect(Object.keys(NOT_RUN).filter((beginning) => !used.has(beginning))).toEqual([]);
  });

  test("leaves nothing behind", async () => {
    expect(await sandbox.mountPoints()).toEqual([]);
    expect(readdirSync(join(sandbox.dir, "plugins", DRIVER, "volumes"))).toEqual([]);
    expect(readdirSync(join(sandbox.dir, "pods"))).toEqual([]);
  });
});
