/**
 * A full node's agent: the program of the image (`npm run build`) with 110 pods, real mounts and sockets, and an operator
 * in another process. Prints its memory and CPU with SVIDs of 1 h and of 60 s. Root only. Usage: node bench/agent-node.ts
 * [FLAGS OF NODE]
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { makePod, makeSandbox } from "../test/csi/fixtures.ts";
import { agentFiles, entry, OPERATOR_ID, TRUST_DOMAIN } from "../test/agent/fixture.ts";
import { serverCredentials, testAuthority } from "../test/fakes/authority.ts";
import { fakeIssuer } from "../test/fakes/issuer.ts";
import type { FakeIssuer } from "../test/fakes/issuer.ts";
import { testJwtAuthority } from "../test/fakes/jwt-authority.ts";
import { fakeKubelet } from "../test/fakes/kubelet.ts";

const PODS = 110;
const DRIVER = "csi.bench.test";
const PROGRAM = join(import.meta.dirname, "../dist/signet.js");
/** As the chart sets them. */
const FLAGS = ["--optimize-for-size", "--max-semi-space-size=1"];
const TICKS_PER_SECOND = 100;

if (!existsSync(PROGRAM)) throw new Error("run npm run build first");
const flags = process.argv.length > 2 ? process.argv.slice(2) : FLAGS;
console.log(`agent with ${PODS} pods, ${flags.join(" ")}`);
for (const [name, ttlMs, seconds] of [
  ["1 h", 3_600_000, 20],
  ["60 s", 60_000, 60],
] as const) {
  console.log(`  SVIDs of ${name}: ${await measure(ttlMs, seconds)}`);
}

async function measure(ttlMs: number, seconds: number): Promise<string> {
  const sandbox = await makeSandbox();
  const authority = await testAuthority("bench");
  const jwtAuthority = await testJwtAuthority("bench");
  const server = await serverCredentials(authority, [OPERATOR_ID]);
  const operator = fakeIssuer({
    trustDomain: TRUST_DOMAIN,
    authority,
    jwtAuthority,
    server,
    ttlMs,
  });
  await operator.start();
  const files = agentFiles(sandbox.dir, [authority]);
  const agent = startAgent(sandbox.dir, operator, files);
  const kubelet = fakeKubelet(sandbox.dir);
  try {
    await kubelet.register(DRIVER);
    await delay(2000);
    const idle = memoryOf(agent);
    const pods = Array.from({ length: PODS }, () => makePod());
    for (const { uid } of pods) operator.setEntries(uid, [entry(uid)]);
    const started = performance.now();
    await Promise.all(pods.map((pod) => kubelet.mount(pod, { tokens: { signet: "token" } })));
    const took = performance.now() - started;
    await delay(10_000);
    const [before, calls] = [cpuOf(agent), operator.calls.length];
    await delay(seconds * 1000);
    const cpu = ((cpuOf(agent) - before) / seconds) * 1000;
    const renewals = operator.calls.length - calls;
    return (
      `all published after ${took.toFixed(0)} ms; ${cpu.toFixed(1)} ms of CPU a second with ` +
      `${(renewals / seconds).toFixed(1)} renewals a second; memory ${idle} → ${memoryOf(agent)}`
    );
  } finally {
    kubelet.close();
    agent.kill("SIGKILL");
    await operator.kill();
    await sandbox.cleanUp();
  }
}

function startAgent(
  kubeletDir: string,
  operator: FakeIssuer,
  files: { bundleDir: string; tokenFile: string },
): ChildProcess {
  const config = join(kubeletDir, "config.json");
  const { bundleDir, tokenFile } = files;
  const settings = { driverName: DRIVER, kubeletDir, operatorAddress: operator.address };
  const agent = { ...settings, bundleDir, tokenFile, healthPort: 18_099 };
  writeFileSync(config, JSON.stringify({ trustDomain: TRUST_DOMAIN, logLevel: "warn", agent }));
  return spawn(process.execPath, [...flags, PROGRAM, "agent", "--config", config], {
    env: { ...process.env, NODE_NAME: "node-1", NODE_ENV: "production", MALLOC_ARENA_MAX: "1" },
    stdio: ["ignore", "ignore", "inherit"],
  });
}

/** Resident memory, and which part of it is the process's own: the rest are pages of files, shared and given back. */
function memoryOf({ pid }: ChildProcess): string {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const mib = (field: string): string =>
    (Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0) / 1024).toFixed(0);
  return `${mib("VmRSS")} MiB (${mib("RssAnon")} its own)`;
}

/** CPU seconds so far. */
function cpuOf({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}
