import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import type { LogFields } from "../../src/core/log.ts";
import { bundlePem } from "../../src/spiffe/bundle.ts";
import type { Bundle } from "../../src/spiffe/bundle.ts";
import { pemBlock } from "../../src/spiffe/pem.ts";
import { createEndpoints } from "../../src/workload-api/endpoints.ts";
import type { Endpoints } from "../../src/workload-api/endpoints.ts";
import type { WorkloadState, WorkloadSvid } from "../../src/workload-api/ports.ts";
import { secretDiscovery } from "../../src/workload-api/sds.ts";
import { workshop } from "../e2e/cluster/cluster.ts";
import { testDomain, testWorkload } from "../fakes/workload.ts";
import type { TestDomain, TestWorkload } from "../fakes/workload.ts";
import { testVolume } from "../workload-api/world.ts";
import type { TestVolume } from "../workload-api/world.ts";
import { egressConfig, ingressConfig } from "./envoy/config.ts";
import type { SdsAccess } from "./envoy/config.ts";
import { ask, startLoad } from "./envoy/load.ts";
import type { Load } from "./envoy/load.ts";
import { envoyProgram } from "./envoy/program.ts";
import { startEnvoy } from "./envoy/running.ts";
import type { RunningEnvoy } from "./envoy/running.ts";

const HOST = "127.0.0.1";
const ANY = { host: HOST, port: 0 };
const HELLO = "hello from behind the proxy";
const CLIENT = "/ns/shop/sa/web";
const SERVER = "/ns/shop/sa/api";
const idOf = (path: string): string => `spiffe://example.org${path}`;

let program: string;
let backend: Server;
let domain: TestDomain;
let next: TestDomain;
let partner: TestDomain;
beforeAll(async () => {
  program = await envoyProgram(workshop(console.log));
  [domain, next, partner] = [
    await testDomain(),
    // The same trust domain with its next CA.
    await testDomain(),
    await testDomain("partner.test"),
  ];
  backend = createServer((_request, response) => response.end(HELLO));
  await new Promise<void>((resolve) => backend.listen(0, HOST, resolve));
}, 600_000);
afterAll(() => void backend.close());

/** A pod: its volume's socket, and the Envoy that uses it. */
interface Pod {
  readonly path: string;
  readonly volume: TestVolume;
  readonly workload: TestWorkload;
  envoy: RunningEnvoy;
}

let endpoints: Endpoints;
let warnings: LogFields[];
let pods: Pod[];
let folders: string[];
let loads: Load[];
beforeEach(() => {
  [warnings, pods, folders, loads] = [[], [], [], []];
  endpoints = newAgent();
});
afterEach(async () => {
  for (const load of loads) await load.stop();
  for (const { envoy } of pods) await envoy.stop();
  await endpoints.stop();
  for (const { volume } of pods) volume.remove();
  for (const folder of folders) rmSync(folder, { recursive: true });
});

function newAgent(): Endpoints {
  const log = { ...silentLog(), warn: (fields: LogFields) => void warnings.push(fields) };
  const services = [secretDiscovery({ clock: systemClock(), log })];
  return createEndpoints({ clock: systemClock(), log: silentLog(), services });
}

/** Starts a pod whose proxy has the configuration that `configure` makes for its socket. */
async function pod(
  path: string,
  configure: (socket: string) => object,
  state?: WorkloadState,
): Promise<Pod> {
  const volume = testVolume();
  const first = state ?? domain.state([await domain.svid(path)], [partner]);
  const workload = testWorkload(domain, first);
  await endpoints.open(path, volume.directory, workload);
  const folder = mkdtempSync(join(tmpdir(), "envoy-"));
  folders.push(folder);
  const envoy = await startEnvoy(program, folder, configure(volume.socket()));
  const started = { path, volume, workload, envoy };
  pods.push(started);
  return started;
}

interface Pair {
  readonly client: Pod;
  readonly server: Pod;
  /** Where the client's program reaches the server, and where it asks for one who is not. */
  readonly ports: { readonly right: number; readonly wrong: number; readonly tls: number };
}

type Access = Omit<SdsAccess, "socket">;

interface PairOptions {
  readonly access: Access;
  /** Whom the client wants to reach. */
  readonly peer?: string;
  /** What both know at first. */
  readonly state?: WorkloadState;
}

async function pair({ access, peer = idOf(SERVER), state }: PairOptions): Promise<Pair> {
  const backendPort = (backend.address() as AddressInfo).port;
  const ingress = (socket: string) =>
    ingressConfig({
      id: "server",
      admin: ANY,
      sds: { ...access, socket },
      listen: ANY,
      backend: { host: HOST, port: backendPort },
      peer: idOf(CLIENT),
    });
  const server = await pod(SERVER, ingress, state);
  const tls = await server.envoy.port("ingress");
  const route = { listen: ANY, upstream: { host: HOST, port: tls } };
  const egress = (socket: string) =>
    egressConfig({
      id: "client",
      admin: ANY,
      sds: { ...access, socket },
      routes: [
        { ...route, name: "right", peer },
        { ...route, name: "wrong", peer: idOf("/ns/shop/sa/somebody-else") },
      ],
    });
  const client = await pod(CLIENT, egress, state);
  const [right, wrong] = [await client.envoy.port("right"), await client.envoy.port("wrong")];
  return { client, server, ports: { right, wrong, tls } };
}

/** Gives the server's pod another SVID, and whatever else, and waits until its proxy shows it. */
async function showSvid({ server }: Pair, svid: WorkloadSvid): Promise<void> {
  server.workload.set(domain.state([svid], [partner]));
  await expect
    .poll(async () => (await server.envoy.serials()).chain, { timeout: 5000 })
    .toContain(serialOf(svid.chain[0]));
}

/** How often the client's proxy refused the other side's certificate, by reason. */
async function refusals({ client }: Pair, route: string): Promise<Record<string, number>> {
  const stats = await client.envoy.stats(`cluster.${route}.ssl.fail_verify`);
  const reasons = Object.entries(stats).map(([name, n]) => [name.split(".").at(-1), n] as const);
  return Object.fromEntries(reasons.filter(([, n]) => n > 0));
}

function load({ ports }: Pair): Load {
  const started = startLoad(ports.right, HELLO);
  loads.push(started);
  return started;
}

const serialOf = (der: Buffer | undefined): string =>
  new X509Certificate(der ?? Buffer.alloc(0)).serialNumber.toLowerCase().replace(/^0+/, "");

/** Gives a pod an SVID of a CA and waits until its proxy shows it; resolves with the milliseconds. */
async function renew(
  target: Pod,
  from: TestDomain,
  bundle: Bundle = domain.bundle,
): Promise<number> {
  const svid = await from.svid(target.path);
  const started = performance.now();
  target.workload.set({ ...domain.state([svid], [partner]), bundle });
  await expect
    .poll(async () => (await target.envoy.serials()).chain, { interval: 5, timeout: 35_000 })
    .toContain(serialOf(svid.chain[0]));
  return performance.now() - started;
}

/** Gives a pod another bundle and waits until its proxy verifies with it. */
async function trust(target: Pod, bundle: Bundle): Promise<void> {
  const state = target.workload.current();
  if (state.status !== "entitled") throw new Error("no identity");
  target.workload.set({ ...state, bundle });
  const version = async (): Promise<string> => JSON.stringify([...(await target.envoy.secrets())]);
  const pem = Buffer.from(bundlePem(bundle)).toString("base64");
  await expect.poll(version, { interval: 5, timeout: 5000 }).toContain(pem);
}

const STYLES: readonly (readonly [string, Access])[] = [
  ["all bundles", { protocol: "GRPC", certificate: "default", validation: "ALL" }],
  [
    "all bundles, with deltas",
    { protocol: "DELTA_GRPC", certificate: "default", validation: "ALL" },
  ],
  ["ROOTCA", { protocol: "GRPC", certificate: "default", validation: "ROOTCA" }],
  [
    "a plain list of CAs",
    {
      protocol: "GRPC",
      certificate: "default",
      validation: "spiffe://example.org",
      metadata: { disable_spiffe_cert_validation: true },
    },
  ],
];

describe.each(STYLES)("two proxies that verify by %s", (_, access) => {
  it("reach each other, and lose no request while SVIDs and the CA rotate", async () => {
    const both = await pair({ access });
    const { client, server } = both;
    const running = load(both);
    await running.more(20);
    const times: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      times.push(await renew(client, domain));
      await running.more(20);
      times.push(await renew(server, domain));
      await running.more(20);
    }
    // As an operator rotates: everybody trusts the next CA before anybody has an SVID of it.
    const x509Authorities = [...domain.bundle.x509Authorities, ...next.bundle.x509Authorities];
    const overlap = { ...domain.bundle, x509Authorities };
    for (const each of [client, server]) await trust(each, overlap);
    await running.more(20);
    for (const each of [client, server]) {
      await renew(each, next, overlap);
      await running.more(20);
    }
    for (const each of [client, server]) await trust(each, next.bundle);
    await running.more(50);
    await running.stop();
    expect(running.failures).toEqual([]);
    const updates = await client.envoy.stats("ssl_context_update_by_sds");
    expect(Math.max(...Object.values(updates))).toBeGreaterThanOrEqual(8);
    const handshakes = await server.envoy.stats("listener.*ssl.handshake$");
    expect(Math.max(...Object.values(handshakes))).toBeGreaterThanOrEqual(running.done);
    console.log(
      `${running.done} requests, each with a handshake; rotation in use after ${times.map((ms) => ms.toFixed(0)).join(", ")} ms`,
    );
  });

  it("refuse who has another SPIFFE ID, and who has none", async () => {
    const both = await pair({ access });
    expect(await ask(both.ports.right)).toEqual({ status: 200, body: HELLO });
    const refused = await ask(both.ports.wrong);
    expect(refused.status).toBe(503);
    expect(Object.keys(await refusals(both, "wrong"))).toEqual(["fail_verify_san"]);
    expect(await refusals(both, "right")).toEqual({});
    const { tls } = both.ports;
    expect(await handshake(tls, await domain.svid(CLIENT))).toBe("taken");
    expect(await handshake(tls, await domain.svid("/ns/shop/sa/batch"))).not.toBe("taken");
    expect(await handshake(tls, await next.svid(CLIENT))).not.toBe("taken");
    expect(await handshake(tls)).not.toBe("taken");
  });
});

/** Speaks TLS to a proxy as anybody could, and tells whether it takes an HTTP request. */
function handshake(port: number, svid?: WorkloadSvid): Promise<string> {
  const credentials = svid && {
    cert: svid.chain.map((der) => pemBlock("CERTIFICATE", der)).join(""),
    key: pemBlock("PRIVATE KEY", svid.privateKey),
  };
  return new Promise((resolve) => {
    const socket = connect({ host: HOST, port, rejectUnauthorized: false, ...credentials });
    socket.on("secureConnect", () => socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n"));
    socket.on("data", (data) => {
      resolve(data.toString().startsWith("HTTP/1.1 200") ? "taken" : data.toString());
      socket.destroy();
    });
    socket.on("error", (error) => resolve(error.message));
    socket.on("close", () => resolve("closed"));
  });
}

describe("a proxy", () => {
  const access: Access = { protocol: "GRPC", certificate: "default", validation: "ALL" };

  it("accepts a federated trust domain's SVIDs where it verifies by all bundles, and only there", async () => {
    const theirs = await partner.svid(SERVER);
    for (const validation of ["ALL", "spiffe://partner.test", "ROOTCA", "spiffe://example.org"]) {
      const both = await pair({ access: { ...access, validation }, peer: theirs.spiffeId });
      // Its peer is of example.org, whatever it is itself.
      const { server, client } = both;
      await showSvid(both, theirs);
      const { status } = await ask(both.ports.right);
      const own = validation === "ROOTCA" || validation === "spiffe://example.org";
      const expected = validation === "ALL" ? 200 : 503;
      expect([validation, status]).toEqual([validation, expected]);
      const reasons = Object.keys(await refusals(both, "right"));
      expect([validation, reasons]).toEqual([validation, own ? ["fail_verify_error"] : []]);
      for (const { envoy } of [server, client]) await envoy.stop();
      for (const each of pods.splice(0)) {
        await endpoints.close(each.path);
        each.volume.remove();
      }
    }
  });

  it("refuses our own IDs below another trust domain's CA", async () => {
    const both = await pair({ access });
    const { client } = both;
    // The partner's bundle holds a CA that signs as if it were ours.
    const state = domain.state([await domain.svid(CLIENT)], [{ ...partner, bundle: next.bundle }]);
    client.workload.set(state);
    const pem = Buffer.from(bundlePem(next.bundle)).toString("base64");
    await expect
      .poll(async () => JSON.stringify([...(await client.envoy.secrets())]), { timeout: 5000 })
      .toContain(pem.slice(0, 200));
    expect((await ask(both.ports.right)).status).toBe(200);
    await showSvid(both, await next.svid(SERVER));
    expect((await ask(both.ports.right)).status).toBe(503);
    expect(Object.keys(await refusals(both, "right"))).toEqual(["fail_verify_error"]);
  });

  it.each(["GRPC", "DELTA_GRPC"] as const)(
    "keeps its secret when it refuses a new one by %s, and nothing spins",
    async (protocol) => {
      const both = await pair({ access: { ...access, protocol } });
      const { client } = both;
      const running = load(both);
      await running.more(20);
      const [good, other] = [await domain.svid(CLIENT), await domain.svid("/other")];
      const state = domain.state([{ ...good, privateKey: other.privateKey }], [partner]);
      client.workload.set(state);
      const rejected = async (): Promise<number> =>
        (await client.envoy.stats("sds.default.update_rejected"))["sds.default.update_rejected"] ??
        0;
      await expect.poll(rejected, { timeout: 5000 }).toBeGreaterThanOrEqual(1);
      const attempts = () => client.envoy.stats("sds.default.update_(attempt|rejected)");
      const before = await attempts();
      await running.more(200);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      expect(await attempts()).toEqual(before);
      expect(await rejected()).toBe(1);
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toMatchObject({
        spiffeId: idOf(CLIENT),
        reason: expect.stringMatching(/key/i),
      });
      console.log("refused:", warnings[0]?.["reason"]);
      await renew(client, domain);
      await running.more(50);
      await running.stop();
      expect(running.failures).toEqual([]);
    },
  );

  it.each(["GRPC", "DELTA_GRPC"] as const)(
    "keeps working by %s while the agent restarts, and then gets what changed",
    async (protocol) => {
      const both = await pair({ access: { ...access, protocol } });
      const running = load(both);
      await running.more(20);
      for (let i = 0; i < 3; i += 1) {
        await endpoints.stop();
        await running.more(50);
        endpoints = newAgent();
        for (const { path, volume, workload } of pods) {
          await endpoints.open(path, volume.directory, workload);
        }
        const took = await renew(both.client, domain);
        console.log(
          `${protocol}: back and renewed ${took.toFixed(0)} ms after the agent's restart`,
        );
      }
      await running.stop();
      expect(running.failures).toEqual([]);
    },
  );

  const EARLY = { ...access, initialFetchTimeout: "1s" };

  it.each(["GRPC", "DELTA_GRPC"] as const)(
    "that starts before anything is known gets its identity by %s at once when it is",
    async (protocol) => {
      const early = { ...EARLY, protocol };
      const both = await pair({ access: early, state: { status: "unknown" } });
      expect((await ask(both.ports.right)).status).toBe(503);
      const took = [await renew(both.client, domain), await renew(both.server, domain)];
      expect(await ask(both.ports.right)).toEqual({ status: 200, body: HELLO });
      // With its own back-off Envoy would take 22 s and more.
      expect(Math.max(...took)).toBeLessThan(10_000);
    },
  );

  it.each(["GRPC", "DELTA_GRPC"] as const)(
    "that starts without an identity asks again by %s until there is one",
    async (protocol) => {
      const early = { ...EARLY, protocol };
      const both = await pair({ access: early, state: { status: "none" } });
      expect((await ask(both.ports.right)).status).toBe(503);
      await new Promise((resolve) => setTimeout(resolve, 2000));
      const took = Math.max(await renew(both.client, domain), await renew(both.server, domain));
      expect(await ask(both.ports.right)).toEqual({ status: 200, body: HELLO });
      console.log(`${protocol}: identity in use ${took.toFixed(0)} ms after there is one`);
    },
  );

  it("keeps what it has when the identity goes, and asks again only as often as it backs off", async () => {
    const both = await pair({ access });
    const running = load(both);
    await running.more(20);
    for (const { workload } of pods) workload.set({ status: "none" });
    const attempts = async (): Promise<number> =>
      (await both.client.envoy.stats("sds.default.update_attempt"))["sds.default.update_attempt"] ??
      0;
    const before = await attempts();
    await running.more(50);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    expect((await attempts()) - before).toBeLessThan(30);
    await running.stop();
    expect(running.failures).toEqual([]);
  });
});
