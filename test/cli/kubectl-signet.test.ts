import { spawn } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fakePreview } from "../fakes/inspected-registry.ts";
import { fakeEntry, fakePod } from "../fakes/registry.ts";
import { startOperatorWorld, VERSION } from "./operator-world.ts";
import type { OperatorWorld } from "./operator-world.ts";

const PROGRAM = join(import.meta.dirname, "../../src/kubectl-signet.ts");
const CR = "apiVersion: spire.spiffe.io/v1alpha1\nkind: ClusterSPIFFEID\nmetadata: { name: web }\n";

let world: OperatorWorld;
let folder: string;

beforeAll(async () => {
  world = await startOperatorWorld();
  await world.addReplica("operator-a");
  const pod = fakePod("web");
  world.registry.pods.push(pod);
  world.registry.all.push(fakeEntry(pod));
  folder = await mkdtemp(join(tmpdir(), "signet-cli-"));
  await writeFile(join(folder, "ca.pem"), world.api.ca);
  await writeFile(join(folder, "config"), kubeconfig({ token: "plain" }));
});

afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

function kubeconfig(user: object): string {
  return JSON.stringify({
    "current-context": "here",
    contexts: [{ name: "here", context: { cluster: "c", user: "u", namespace: "shop" } }],
    clusters: [
      { name: "c", cluster: { server: world.api.url, "certificate-authority": "ca.pem" } },
    ],
    users: [{ name: "u", user }],
  });
}

interface Run {
  readonly env?: Record<string, string>;
  readonly stdin?: string;
}

function environment(): Record<string, string | undefined> {
  const KUBECONFIG = join(folder, "config");
  return { PATH: process.env["PATH"], HOME: folder, KUBECONFIG, SIGNET_VERSION: VERSION };
}

async function run(args: readonly string[], { env = {}, stdin = "" }: Run = {}) {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    env: { ...environment(), ...env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.end(stdin);
  const code = new Promise((resolve) => child.once("close", resolve));
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, out, err };
}

describe("kubectl-signet", () => {
  it("asks the operator with the kubeconfig's credential", async () => {
    const { code, out } = await run(["explain", "pod", "web", "-o", "json"]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ namespace: "shop", name: "web" });
    expect(world.forwards.requests.at(-1)?.headers.authorization).toBe("Bearer plain");
  });

  it("asks as whom an exec plugin says", async () => {
    const apiVersion = "client.authentication.k8s.io/v1";
    const credential = JSON.stringify({
      apiVersion,
      kind: "ExecCredential",
      status: { token: "from-plugin" },
    });
    await writeFile(join(folder, "login"), `#!/bin/sh\necho '${credential}'\n`);
    await chmod(join(folder, "login"), 0o755);
    const exec = { apiVersion, command: "./login", interactiveMode: "IfAvailable" };
    await writeFile(join(folder, "exec-config"), kubeconfig({ exec }));
    const { code } = await run(["entries", "--kubeconfig", join(folder, "exec-config")]);
    expect(code).toBe(0);
    expect(world.forwards.requests.at(-1)?.headers.authorization).toBe("Bearer from-plugin");
  });

  it("ends with 2 and a hint when the command line is wrong", async () => {
    expect(await run(["explode"])).toEqual({
      code: 2,
      out: "",
      err: 'kubectl signet: there is no command "explode"\nSee: kubectl signet --help\n',
    });
  });

  it("ends with 1 when it fails", async () => {
    expect(await run(["explain", "pod", "nobody"])).toEqual({
      code: 1,
      out: "",
      err: 'kubectl signet: the operator knows no pod "shop/nobody"\n',
    });
    const { code, err } = await run(["entries"], { env: { KUBECONFIG: "/nowhere" } });
    expect([code, err]).toEqual([1, expect.stringMatching(/no kubeconfig at \/nowhere/)]);
  });

  it("renders standard input, and ends with 1 when it is invalid", async () => {
    expect(await run(["render", "-f", "-"], { stdin: CR })).toMatchObject({ code: 0 });
    world.registry.previews = () =>
      fakePreview({ problems: [{ reason: "X", field: "spec", message: "spec is wrong" }] });
    const { code, out } = await run(["render", "-f", "-"], { stdin: CR });
    expect([code, out]).toEqual([1, expect.stringContaining("spec is wrong")]);
  });

  it("prints help and its version without a cluster", async () => {
    const env = { KUBECONFIG: "/nowhere" };
    expect(await run(["--help"], { env })).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^Asks Signet's operator/) as string,
    });
    const topics = ["explain", "render", "entries", "version"];
    const helps = await Promise.all(topics.map((topic) => run(["help", topic], { env })));
    expect(helps.map(({ code, out }) => [code, /^Usage: .*/m.exec(out)?.[0]])).toEqual([
      [0, "Usage: kubectl signet explain pod [NAMESPACE/]NAME"],
      [0, "Usage: kubectl signet render -f FILE"],
      [0, "Usage: kubectl signet entries [OPTIONS]"],
      [0, "Usage: kubectl signet version [--client]"],
    ]);
    expect(await run(["version", "--client"], { env })).toMatchObject({ code: 0 });
  });

  it("ends quietly when its reader has enough", async () => {
    const entry = fakeEntry(fakePod("web"));
    world.registry.entries = function* () {
      for (let at = 0; at < 20_000; at += 1) yield entry;
    };
    const child = spawn(process.execPath, [PROGRAM, "entries", "-o", "json"], {
      env: environment(),
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout.once("data", () => child.stdout.destroy());
    const code = new Promise((resolve) => child.once("close", resolve));
    expect([await text(child.stderr), await code]).toEqual(["", 0]);
  });
});
