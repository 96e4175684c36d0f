import { spawn } from "node:child_process";
import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { createPrivateKey } from "node:crypto";
import { request } from "node:https";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import type { TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { writePayload } from "../../src/csi/atomic-writer.ts";
import { pemBlock } from "../../src/spiffe/pem.ts";
import { createEndpoints } from "../../src/workload-api/endpoints.ts";
import type { Endpoints } from "../../src/workload-api/endpoints.ts";
import type { WorkloadSvid } from "../../src/workload-api/ports.ts";
import { workshop } from "../e2e/cluster/cluster.ts";
import { testDomain, testWorkload } from "../fakes/workload.ts";
import type { TestDomain, TestWorkload } from "../fakes/workload.ts";
import { testVolume } from "../workload-api/world.ts";
import type { TestVolume } from "../workload-api/world.ts";
import { buildExample, FOLLOWERS, SERVERS } from "./example-programs.ts";
import type { Program } from "./programs.ts";

const BUILD_MS = 1_800_000;

let domain: TestDomain;
let volume: TestVolume;
let workload: TestWorkload;
let endpoints: Endpoints;
let allowed: WorkloadSvid;
let stranger: WorkloadSvid;
let child: ChildProcessWithoutNullStreams | undefined;
let errors = "";
beforeEach(async () => {
  domain = await testDomain();
  volume = testVolume();
  [allowed, stranger] = [await domain.svid("/client"), await domain.svid("/stranger")];
  workload = testWorkload(domain, { status: "unknown" });
  await rotate();
  endpoints = createEndpoints({ clock: systemClock(), log: silentLog() });
  await endpoints.open("v", volume.directory, workload);
});
afterEach(async () => {
  child?.kill("SIGKILL");
  await endpoints.stop();
  volume.remove();
});

const pemOf = (ders: readonly Buffer[]): string =>
  ders.map((der) => pemBlock("CERTIFICATE", der)).join("");
const keyOf = ({ privateKey }: WorkloadSvid): string =>
  createPrivateKey({ key: privateKey, format: "der", type: "pkcs8" })
    .export({ type: "pkcs8", format: "pem" })
    .toString();

/** Gives the server a new SVID, in the files and by the Workload API. */
async function rotate(): Promise<Buffer> {
  const svid = await domain.svid("/server");
  const file = (text: string) => ({ content: Buffer.from(text), mode: 0o444 });
  const payload = new Map([
    ["tls.crt", file(pemOf(svid.chain))],
    ["tls.key", file(keyOf(svid))],
    ["ca.crt", file(pemOf(domain.bundle.x509Authorities))],
  ]);
  writePayload(volume.directory, payload, { now: Date.now() });
  workload.set(domain.state([svid]));
  return svid.chain[0] as Buffer;
}

interface Answer {
  readonly status: number;
  readonly text: string;
  /** The server's certificate. */
  readonly leaf: Buffer;
}

/** One call on a connection of its own. Rejects when the server does not let the client in. */
function call(port: number, svid: WorkloadSvid): Promise<Answer> {
  const ca = pemOf(domain.bundle.x509Authorities);
  const tls = {
    cert: pemOf(svid.chain),
    key: keyOf(svid),
    ca,
    checkServerIdentity: () => undefined,
  };
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, agent: false, timeout: 5000, ...tls };
    const sent = request(options, (response) => {
      const leaf = (response.socket as TLSSocket).getPeerCertificate().raw;
      let text = "";
      response.on("data", (chunk: Buffer) => (text += chunk.toString()));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text, leaf }));
      response.on("error", reject);
    });
    sent.on("timeout", () => sent.destroy(new Error("no answer")));
    sent.on("error", reject);
    sent.end();
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (const end = Date.now() + 30_000; Date.now() < end;) {
    const found = await look().catch(() => undefined);
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`not in time: ${errors}`);
}

/** Starts a program as a container of the pod would be. */
function start({ argv, env }: Program, port = 0): ChildProcessWithoutNullStreams {
  const [command = "", ...args] = argv;
  errors = "";
  const started = spawn(command, args, {
    env: {
      ...process.env,
      ...env,
      PORT: String(port),
      ALLOWED_ID: allowed.spiffeId,
      SPIFFE_CREDENTIAL_FOLDER: volume.directory,
      SPIFFE_ENDPOINT_SOCKET: `unix://${volume.socket()}`,
    },
  });
  started.stderr.on("data", (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-4000)));
  child = started;
  return started;
}

async function serve(server: (typeof SERVERS)[number]): Promise<number> {
  const port = await freePort();
  start(await buildExample[server](workshop(console.log)), port);
  await until(() => call(port, allowed));
  return port;
}

describe.each(SERVERS)("the server %s", (example) => {
  it(
    "lets in the one SPIFFE ID it knows, and turns others away",
    { timeout: BUILD_MS },
    async () => {
      const port = await serve(example);
      const answer = await call(port, allowed);
      expect(answer.status).toBe(200);
      expect(answer.text).toContain(`hello`);
      expect(answer.text).toContain(allowed.spiffeId);
      const refused = await call(port, stranger).catch(() => undefined);
      expect(refused?.status ?? 403).toBe(403);
      const foreign = await testDomain("partner.test");
      await expect(call(port, await foreign.svid("/client"))).rejects.toBeInstanceOf(Error);
    },
  );

  it("serves each new SVID without a failed connection", { timeout: BUILD_MS }, async () => {
    const port = await serve(example);
    for (let i = 0; i < 2; i += 1) {
      const leaf = await rotate();
      let calls = 0;
      for (const end = Date.now() + 30_000; ; calls += 1) {
        // Every one of them counts: a failed call ends the test.
        const answer = await call(port, allowed);
        expect(answer.status).toBe(200);
        if (answer.leaf.equals(leaf)) break;
        expect(Date.now(), errors).toBeLessThan(end);
      }
      console.log(`${example}: new SVID after ${calls} calls`);
    }
  });
});

describe.each(FOLLOWERS)("the program %s", (example) => {
  it("prints a line for each SVID", { timeout: BUILD_MS }, async () => {
    const lines: string[] = [];
    const program = start(await buildExample[example](workshop(console.log)));
    createInterface(program.stdout).on("line", (line) => lines.push(line));
    for (let count = 1; count <= 3; count += 1) {
      await until(async () => (lines.length >= count ? true : undefined));
      await rotate();
    }
    for (const line of lines) expect(line).toMatch(/^spiffe:\/\/example\.org\/server \d+ /);
  });
});
