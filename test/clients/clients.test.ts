import { execFileSync } from "node:child_process";
import { mkdtempSync, rmdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { createEndpoints } from "../../src/workload-api/endpoints.ts";
import type { Endpoints } from "../../src/workload-api/endpoints.ts";
import type { WorkloadSvid } from "../../src/workload-api/ports.ts";
import { workshop } from "../e2e/cluster/cluster.ts";
import { testDomain, testWorkload } from "../fakes/workload.ts";
import type { TestDomain, TestWorkload } from "../fakes/workload.ts";
import { testVolume } from "../workload-api/world.ts";
import type { TestVolume } from "../workload-api/world.ts";
import { build, LANGUAGES } from "./programs.ts";
import type { Program } from "./programs.ts";
import { runClient, watchWith } from "./running.ts";
import type { Shown, Watching } from "./running.ts";

const BUILD_MS = 1_800_000;
/** For a busy machine: the times of a calm one are in docs/performance.md. */
const LIMIT_MS = 10_000;
const IS_ROOT = process.getuid?.() === 0;

let domain: TestDomain;
let foreign: TestDomain;
beforeAll(async () => {
  [domain, foreign] = [await testDomain(), await testDomain("partner.test")];
});

let volume: TestVolume;
let workload: TestWorkload;
let endpoints: Endpoints;
let svids: WorkloadSvid[];
const watching: Watching[] = [];
beforeEach(async () => {
  volume = testVolume();
  svids = [
    await domain.svid("/ns/shop/sa/web", { hint: "internal" }),
    await domain.svid("/ns/shop/sa/batch", { hint: "external" }),
  ];
  workload = testWorkload(domain, domain.state(svids, [foreign]));
  await start();
});
afterEach(async () => {
  for (const client of watching.splice(0)) await client.stop();
  await endpoints.stop();
  volume.remove();
});

async function start(): Promise<void> {
  endpoints = createEndpoints({ clock: systemClock(), log: silentLog() });
  await endpoints.open("v", volume.directory, workload);
}

const socketUri = (name?: string): string => `unix://${volume.socket(name)}`;

/** Gives the workload a new default SVID, and the leaf that clients are to show. */
async function rotate(): Promise<Buffer> {
  const renewed = await domain.svid("/ns/shop/sa/web", { hint: "internal" });
  workload.set(domain.state([renewed, ...svids.slice(1)], [foreign]));
  return renewed.chain[0] as Buffer;
}

describe.each(LANGUAGES)("the %s library", (language) => {
  let program: Program;
  beforeAll(async () => {
    program = await build[language](workshop(console.log));
  }, BUILD_MS);

  function watch(): Watching {
    const client = watchWith(program, socketUri());
    watching.push(client);
    return client;
  }

  it("gets every SVID in order, all bundles, a token, and the token's validation [WAPI-1 WEP-2 WEP-7]", async () => {
    const { code, stdout, stderr } = await runClient(program, "once", socketUri());
    expect(code, stderr).toBe(0);
    const shown = JSON.parse(stdout) as Shown;
    expect(shown.svids.map(({ id, leaf }) => [id, leaf])).toEqual(
      svids.map(({ spiffeId, chain }) => [spiffeId, chain[0]?.toString("hex")]),
    );
    const hints = shown.svids.flatMap(({ hint }) => (hint === undefined ? [] : [hint]));
    expect(hints).toEqual(language === "python" ? [] : ["internal", "external"]);
    expect(shown.x509).toEqual(["example.org", "partner.test"]);
    expect(shown.jwt).toEqual(["example.org", "partner.test"]);
    expect([shown.token, shown.validated]).toEqual([svids[0]?.spiffeId, svids[0]?.spiffeId]);
  });

  it("sees a rotation", async () => {
    const client = watch();
    await client.shows(svids[0]?.chain[0] as Buffer, 20_000);
    for (let i = 0; i < 3; i += 1) {
      const took = await client.shows(await rotate(), LIMIT_MS);
      console.log(`${language}: rotation seen after ${took.toFixed(0)} ms`);
    }
    expect(await client.stop()).toBe(0);
  });

  it("comes back by itself when the agent restarts, and sees what changed meanwhile", async () => {
    const client = watch();
    await client.shows(svids[0]?.chain[0] as Buffer, 20_000);
    for (let i = 0; i < 2; i += 1) {
      await endpoints.stop();
      const leaf = await rotate();
      await new Promise((resolve) => setTimeout(resolve, 200));
      await start();
      const took = await client.shows(leaf, LIMIT_MS);
      expect(took).toBeLessThan(LIMIT_MS);
      console.log(`${language}: back ${took.toFixed(0)} ms after the agent`);
    }
  });

  it("comes back when an agent follows another without a gap", async () => {
    const client = watch();
    await client.shows(svids[0]?.chain[0] as Buffer, 20_000);
    const before = endpoints;
    await start();
    await before.stop();
    // Only the new agent can tell of this.
    const took = await client.shows(await rotate(), LIMIT_MS);
    expect(took).toBeLessThan(LIMIT_MS);
    console.log(`${language}: with the next agent ${took.toFixed(0)} ms after the last one ended`);
  });

  it("is told when there is no identity", async () => {
    workload.set({ status: "none" });
    const { code, stdout, stderr } = await runClient(program, "once", socketUri());
    expect(code).not.toBe(0);
    expect(stdout + stderr).toMatch(/no ?identity ?issued|permission.?denied/i);
  });

  it.runIf(IS_ROOT)("reaches the socket by every name through a read-only mount", async () => {
    const mount = mkdtempSync(join(tmpdir(), "pod-"));
    execFileSync("mount", ["--bind", volume.directory, mount]);
    try {
      execFileSync("mount", ["-o", "remount,ro,bind", mount]);
      expect(() => writeFileSync(join(mount, "new"), "")).toThrow("EROFS");
      for (const name of ["api.sock", "spire-agent.sock", "socket"]) {
        const { code, stderr } = await runClient(program, "once", `unix://${mount}/${name}`);
        expect(code, `${name}: ${stderr}`).toBe(0);
      }
    } finally {
      execFileSync("umount", [mount]);
      rmdirSync(mount);
    }
  });
});

describe("grpcurl", () => {
  let program: Program;
  beforeAll(async () => {
    program = await build.grpcurl(workshop(console.log));
  }, BUILD_MS);
  const proto = join(import.meta.dirname, "../../proto/spiffe/workload/workload.proto");

  const call = (method: string, request: unknown, ...extra: string[]) =>
    runClient(
      program,
      ...["-plaintext", "-unix", "-import-path", join(proto, ".."), "-proto", "workload.proto"],
      ...["-max-time", "5", ...extra, "-d", JSON.stringify(request)],
      ...[volume.socket(), `SpiffeWorkloadAPI/${method}`],
    );

  it("finds the services, each under its own name, by reflection [WEP-18 WEP-19]", async () => {
    const base = ["-plaintext", "-unix", "-max-time", "5"];
    const list = await runClient(program, ...base, volume.socket(), "list");
    expect(list.stdout.trim().split("\n")).toEqual([
      "SpiffeWorkloadAPI",
      "grpc.reflection.v1.ServerReflection",
      "grpc.reflection.v1alpha.ServerReflection",
    ]);
    const header = ["-H", "workload.spiffe.io: true"];
    const request = [
      "-d",
      '{"audience":["api"]}',
      volume.socket(),
      "SpiffeWorkloadAPI/FetchJWTSVID",
    ];
    const { stdout, stderr } = await runClient(program, ...base, ...header, ...request);
    expect(stdout, stderr).toContain(svids[0]?.spiffeId);
  });

  it("calls every method with the header, and is refused without it", async () => {
    const header = ["-H", "workload.spiffe.io: true"];
    const { stdout: tokens } = await call("FetchJWTSVID", { audience: ["api"] }, ...header);
    const { svids: given } = JSON.parse(tokens) as { svids: { spiffeId: string; svid: string }[] };
    expect(given.map(({ spiffeId }) => spiffeId)).toEqual(svids.map(({ spiffeId }) => spiffeId));
    const request = { audience: "api", svid: given[0]?.svid };
    const { stdout: claims } = await call("ValidateJWTSVID", request, ...header);
    expect(JSON.parse(claims)).toMatchObject({
      spiffeId: svids[0]?.spiffeId,
      claims: { sub: svids[0]?.spiffeId, aud: ["api"] },
    });
    for (const method of ["FetchX509SVID", "FetchX509Bundles", "FetchJWTBundles"]) {
      const open = await call(method, {}, ...header);
      expect(open.stdout, method).toMatch(/"svids"|"bundles"/);
      expect(open.stderr, method).toContain("DeadlineExceeded");
      const refused = await call(method, {});
      expect(refused.stderr, method).toContain("InvalidArgument");
    }
    const wit = await call("FetchWITSVID", {}, ...header);
    expect(wit.stderr).toContain("Unimplemented");
  });
});
