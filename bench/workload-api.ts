/**
 * The Workload API on real sockets: time to the first response, memory of idle sockets and of open streams, tokens a
 * second from a cache, and how soon an Envoy has a new SVID. The clients run in a process of their own, so that the server's memory and core are its own.
 */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtempSync, mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { systemClock } from "../src/core/clock.ts";
import { silentLog } from "../src/core/log.ts";
import { rpcClient } from "../src/rpc/client.ts";
import type { RpcClient } from "../src/rpc/client.ts";
import { SpiffeWorkloadAPI } from "../src/rpc/gen/spiffe/workload/workload_pb.js";
import { createEndpoints } from "../src/workload-api/endpoints.ts";
import { secretDiscovery } from "../src/workload-api/sds.ts";
import type { JwtSvid } from "../src/workload-api/ports.ts";
import { testDomain, testWorkload } from "../test/fakes/workload.ts";
import type { TestDomain, TestWorkload } from "../test/fakes/workload.ts";
import { envoyNode, sdsClient } from "../test/workload-api/sds-client.ts";
import type { WholeState } from "../test/workload-api/sds-client.ts";
import { quantile } from "./median.ts";

/** Pods of a full node. */
const SOCKETS = 110;
const STREAMS = 1000;
const FIRST_RESPONSES = 500;
const TOKEN_MS = 4000;
const IN_FLIGHT = 64;
const HEADERS = { headers: { "workload.spiffe.io": "true" } } as const;
const NO_RATE_LIMIT = {
  callsPerSecond: 1e6,
  callBurst: 1e6,
  connectionsPerSecond: 1e6,
  connectionBurst: 1e6,
};

const { method } = SpiffeWorkloadAPI;

/** What the client process is told to do; each task answers with numbers. */
type Task =
  | { readonly kind: "first-responses"; readonly sockets: readonly string[] }
  | { readonly kind: "open-streams"; readonly sockets: readonly string[] }
  | { readonly kind: "tokens"; readonly sockets: readonly string[] }
  | { readonly kind: "secret-streams"; readonly sockets: readonly string[] }
  | { readonly kind: "secret-arrivals"; readonly sockets: readonly string[] };

/** Runs the benchmark, about 20 s, and gives its lines. */
export async function run(): Promise<string[]> {
  const root = mkdtempSync(join(tmpdir(), "bench-"));
  const domain = await testDomain();
  const clients = fork(import.meta.filename, ["clients"], { execArgv: process.execArgv });
  const endpoints = createEndpoints({
    limits: NO_RATE_LIMIT,
    services: [secretDiscovery({ clock: systemClock(), log: silentLog() })],
    clock: systemClock(),
    log: silentLog(),
  });
  try {
    const workloads = await Promise.all(
      Array.from({ length: SOCKETS }, async (_, i) => {
        const workload = testWorkload(domain, domain.state([await domain.svid(`/pod-${i}`)]));
        const made = await workload.fetch({
          audiences: ["api"],
          spiffeId: undefined,
          signal: new AbortController().signal,
        });
        const cached: Promise<readonly JwtSvid[]> = Promise.resolve(made);
        workload.fetch = () => cached;
        return workload;
      }),
    );
    const sockets = Array.from({ length: SOCKETS }, (_, i) => join(root, `${i}`));
    const before = memory();
    for (const [i, directory] of sockets.entries()) {
      mkdirSync(directory);
      const workload = workloads[i];
      if (workload) await endpoints.open(`${i}`, directory, workload);
    }
    const idle = memory();
    const firstTimes = await ask(clients, { kind: "first-responses", sockets });
    // The first round warms both processes up.
    await ask(clients, { kind: "tokens", sockets });
    const cpuBefore = process.cpuUsage();
    const [rate = 0, calls = 1] = await ask(clients, { kind: "tokens", sockets });
    const { user, system } = process.cpuUsage(cpuBefore);
    const cpuPerCall = (user + system) / 1000 / calls;
    const unloaded = memory();
    await ask(clients, { kind: "open-streams", sockets });
    const loaded = memory();
    await ask(clients, { kind: "secret-streams", sockets });
    const pushes = await secretPushes(domain, workloads, () =>
      ask(clients, { kind: "secret-arrivals", sockets }),
    );
    const { connections, calls: streams } = endpoints.summary();
    const pushed = performance.now();
    for (const workload of workloads) workload.set(domain.state([await domain.svid("/next")]));
    const spread = performance.now() - pushed;
    return [
      `Workload API, ${SOCKETS} sockets, clients in a process of their own`,
      `  an idle socket      ${((idle.heap - before.heap) / SOCKETS / 1024).toFixed(1)} KiB of heap, ${mib(idle.rss - before.rss)} MiB of RSS for all`,
      `  first response      p50 ${quantile(firstTimes, 0.5).toFixed(2)} ms, p99 ${quantile(firstTimes, 0.99).toFixed(2)} ms (new connection and FetchX509SVID, ${FIRST_RESPONSES} times)`,
      `  FetchJWTSVID        ${Math.round(rate)}/s from a cache, ${IN_FLIGHT} in flight; ${cpuPerCall.toFixed(3)} ms of the server's CPU each, ${Math.round(1000 / cpuPerCall)} a core and second`,
      `  open streams        ${streams} on ${connections} connections: ${mib(loaded.heap - unloaded.heap)} MiB of heap, ${mib(loaded.rss - unloaded.rss)} MiB of RSS`,
      `  rotation            of ${SOCKETS} volumes to ${streams} streams: ${spread.toFixed(0)} ms, signing included`,
      `  SDS push            p50 ${quantile(pushes, 0.5).toFixed(1)} ms, p99 ${quantile(pushes, 0.99).toFixed(1)} ms from a new SVID to an Envoy's stream, ${SOCKETS} at once beside those streams`,
    ];
  } finally {
    clients.disconnect();
    await endpoints.stop();
    rmSync(root, { recursive: true });
  }
}

/** Renews every workload's SVID; gives the milliseconds until each of the sockets' secret streams has it. */
async function secretPushes(
  domain: TestDomain,
  workloads: readonly TestWorkload[],
  arrivals: () => Promise<number[]>,
): Promise<number[]> {
  const svids = await Promise.all(workloads.map((_, i) => domain.svid(`/renewed-${i}`)));
  const sent = workloads.map((workload, i) => {
    const at = epochNow();
    const svid = svids[i];
    if (svid) workload.set(domain.state([svid]));
    return at;
  });
  return (await arrivals()).map((at, i) => at - (sent[i] ?? at));
}

/** Milliseconds since the epoch, comparable between processes. */
function epochNow(): number {
  return performance.timeOrigin + performance.now();
}

interface Memory {
  readonly heap: number;
  readonly rss: number;
}

/** After a collection, where the process allows to ask for one (`node --expose-gc`). */
function memory(): Memory {
  for (let i = 0; i < 3; i += 1) globalThis.gc?.();
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heap: heapUsed + external, rss };
}

function mib(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(1);
}

function ask(clients: ChildProcess, task: Task): Promise<number[]> {
  return new Promise((resolve, reject) => {
    clients.once("message", (answer) => resolve(answer as number[]));
    clients.once("exit", (code) => reject(new Error(`clients ended with code ${code}`)));
    clients.send(task);
  });
}

function clientOf(directory: string): RpcClient {
  const options = { "grpc.use_local_subchannel_pool": 1 };
  return rpcClient(`unix:${directory}/api.sock`, credentials.createInsecure(), options);
}

async function firstMessage(client: RpcClient): Promise<void> {
  for await (const message of client.stream(method.fetchX509SVID, {}, HEADERS)) {
    if (message.svids.length === 0) throw new Error("no SVID");
    return;
  }
}

/** Opens a stream and reads on for ever; resolves with the first message. */
function openStream(client: RpcClient): Promise<void> {
  return new Promise((resolve, reject) => {
    const reading = (async () => {
      for await (const message of client.stream(method.fetchX509SVID, {}, HEADERS)) {
        if (message.svids.length > 0) resolve();
      }
    })();
    reading.catch(reject);
  });
}

async function firstResponses(sockets: readonly string[]): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < FIRST_RESPONSES + 50; i += 1) {
    const client = clientOf(sockets[i % sockets.length] ?? "");
    const started = performance.now();
    await firstMessage(client);
    // The first ones warm both processes up.
    if (i >= 50) times.push(performance.now() - started);
    client.close();
  }
  return times;
}

async function openStreams(sockets: readonly string[]): Promise<number[]> {
  const opened = Array.from({ length: STREAMS }, (_, i) =>
    openStream(clientOf(sockets[i % sockets.length] ?? "")),
  );
  await Promise.all(opened);
  return [opened.length];
}

async function openSecretStreams(sockets: readonly string[]): Promise<WholeState[]> {
  const streams = sockets.map((directory) => sdsClient(`${directory}/api.sock`).stream());
  for (const stream of streams) stream.say({ resourceNames: ["default"], node: envoyNode() });
  await Promise.all(streams.map((stream) => stream.until(1)));
  return streams;
}

async function tokens(sockets: readonly string[]): Promise<number[]> {
  const clients = sockets.slice(0, 8).map(clientOf);
  let calls = 0;
  const started = performance.now();
  const work = async (client: RpcClient): Promise<void> => {
    while (performance.now() - started < TOKEN_MS) {
      await client.unary(method.fetchJWTSVID, { audience: ["api"] }, HEADERS);
      calls += 1;
    }
  };
  const each = IN_FLIGHT / clients.length;
  await Promise.all(clients.flatMap((client) => Array.from({ length: each }, () => work(client))));
  const rate = (calls * 1000) / (performance.now() - started);
  for (const client of clients) client.close();
  return [rate, calls];
}

function serveTasks(): void {
  let arrivals: Promise<number>[] = [];
  const tasks = {
    "first-responses": firstResponses,
    "open-streams": openStreams,
    tokens,
    "secret-streams": async (sockets: readonly string[]) => {
      const streams = await openSecretStreams(sockets);
      arrivals = streams.map((stream) => stream.until(2).then(epochNow));
      return [streams.length];
    },
    "secret-arrivals": () => Promise.all(arrivals),
  };
  process.on("message", (task: Task) => {
    tasks[task.kind](task.sockets).then(
      (answer) => process.send?.(answer),
      (error: unknown) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
  process.on("disconnect", () => process.exit(0));
}

if (import.meta.main) {
  if (process.argv[2] === "clients") serveTasks();
  else console.log((await run()).join("\n"));
}
