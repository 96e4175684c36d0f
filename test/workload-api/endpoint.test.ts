import { once } from "node:events";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { rpcClient } from "../../src/rpc/client.ts";
import type { RpcClient } from "../../src/rpc/client.ts";
import {
  ServerReflection,
  ServerReflectionRequestSchema,
} from "../../src/rpc/gen/grpc/reflection/v1/reflection_pb.js";
import { SpiffeWorkloadAPI } from "../../src/rpc/gen/spiffe/workload/workload_pb.js";
import { encodeFrame } from "../../src/rpc/http2/frames.ts";
import { methodDefinition } from "../../src/rpc/service.ts";
import { createEndpoints } from "../../src/workload-api/endpoints.ts";
import type { Endpoints } from "../../src/workload-api/endpoints.ts";
import { testDomain, testWorkload } from "../fakes/workload.ts";
import type { TestDomain, TestWorkload } from "../fakes/workload.ts";
import { BEGIN, callHeaders, headersFrame, rawClient } from "../rpc/http2/raw-client.ts";
import { HEADERS, read, serve, testVolume } from "./world.ts";
import type { TestVolume, World, WorldOptions } from "./world.ts";

const { method } = SpiffeWorkloadAPI;
const NAMES = ["api.sock", "socket", "spire-agent.sock"];

let domain: TestDomain;
beforeAll(async () => {
  domain = await testDomain();
});

let workload: TestWorkload;
const worlds: World[] = [];
beforeEach(async () => {
  workload = testWorkload(domain, domain.state([await domain.svid("/web")]));
});
afterEach(async () => {
  for (const world of worlds.splice(0)) await world.close();
});

async function start(options: WorldOptions = {}): Promise<World> {
  const world = await serve(workload, options);
  worlds.push(world);
  return world;
}

const x509 = (client: RpcClient) =>
  read((signal) => client.stream(method.fetchX509SVID, {}, { headers: HEADERS, signal }));
const jwt = (client: RpcClient) =>
  client.unary(
    method.fetchJWTSVID,
    { audience: ["a"] },
    { headers: HEADERS, deadline: Date.now() + 10_000 },
  );

describe("the socket", () => {
  it("lies in a folder whose path is too long for a socket, under all names, open to any user [WEP-3 WEP-13]", async () => {
    const mask = process.umask(0o077);
    const { volume } = await start().finally(() => process.umask(mask));
    expect(volume.directory.length).toBeGreaterThan(107);
    expect(readdirSync(volume.directory).toSorted()).toEqual(NAMES);
    expect(lstatSync(join(volume.directory, "api.sock")).isSocket()).toBe(true);
    for (const name of NAMES) {
      expect(statSync(join(volume.directory, name)).mode & 0o7777, name).toBe(0o777);
      const client = rpcClient(`unix:${volume.socket(name)}`, credentials.createInsecure());
      expect((await jwt(client)).svids, name).toHaveLength(1);
      client.close();
    }
  });

  it("takes the place of what an earlier process left, without a moment in between", async () => {
    const first = await start();
    const { directory } = first.volume;
    writeFileSync(join(directory, ".0123abcd.sock"), "");
    rmSync(join(directory, "socket"));
    symlinkSync("elsewhere", join(directory, "socket"));
    let missing = 0;
    const looking = setInterval(
      () => (missing += existsSync(join(directory, "api.sock")) ? 0 : 1),
      0,
    );
    const endpoints = createEndpoints({ clock: systemClock(), log: silentLog() });
    await endpoints.open("v", directory, workload);
    clearInterval(looking);
    expect(missing).toBe(0);
    expect(readdirSync(directory).toSorted()).toEqual(NAMES);
    expect(readlinkSync(join(directory, "socket"))).toBe("api.sock");
    expect(await first.endpoint.isShown()).toBe(false);
    // The one before ends late, and takes nothing away.
    await first.endpoint.close({ removeFiles: true });
    expect(readdirSync(directory).toSorted()).toEqual(NAMES);
    expect((await jwt(first.client())).svids).toHaveLength(1);
    await endpoints.stop();
  });

  it("says which folder it could not listen in, and leaves nothing behind", async () => {
    const volume = testVolume();
    const endpoints = createEndpoints({ clock: systemClock(), log: silentLog() });
    const missing = join(volume.directory, "missing");
    await expect(endpoints.open("v", missing, workload)).rejects.toMatchObject({
      code: "SYSTEM",
      message: expect.stringContaining(`${missing}/api.sock`),
    });
    mkdirSync(join(volume.directory, "socket", "full"), { recursive: true });
    await expect(endpoints.open("v", volume.directory, workload)).rejects.toMatchObject({
      code: "SYSTEM",
    });
    expect(endpoints.summary()).toEqual({ sockets: 0, connections: 0, calls: 0 });
    volume.remove();
  });
});

describe("limits", () => {
  it("refuse a call when too many are open, and take one again when one has ended", async () => {
    const world = await start({ limits: { openCalls: 3 } });
    const streams = Array.from({ length: 3 }, () => x509(world.client()));
    await Promise.all(streams.map((stream) => stream.until(1)));
    await expect(jwt(world.client())).rejects.toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      message: "no more than 3 calls may be open on this socket",
    });
    streams[0]?.stop();
    await expect.poll(() => world.endpoint.calls).toBe(2);
    expect((await jwt(world.client())).svids).toHaveLength(1);
  });

  it("refuse by name also when all streams share one connection", async () => {
    const world = await start({ limits: { openCalls: 2 } });
    const client = world.client();
    const streams = Array.from({ length: 3 }, () => x509(client));
    const ended = await Promise.race(streams.map((stream) => stream.ended));
    expect(ended).toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  });

  it("refuse calls that come too quickly, but only on their own socket", async () => {
    const world = await start({ limits: { callsPerSecond: 0.1, callBurst: 5 } });
    const other = await start();
    const client = world.client();
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => jwt(client)));
    const refused = outcomes.filter(({ status }) => status === "rejected");
    expect(refused).toHaveLength(3);
    // A caller in a loop is slowed down, not served refusals as fast as the node can.
    const started = performance.now();
    for (let i = 0; i < 3; i += 1)
      await expect(jwt(client)).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
    expect(performance.now() - started).toBeGreaterThan(290);
    expect(refused[0]).toMatchObject({
      reason: { code: "RESOURCE_EXHAUSTED", message: expect.stringContaining("calls a second") },
    });
    expect((await jwt(other.client())).svids).toHaveLength(1);
  });

  it("count calls without the header, and every question of reflection", async () => {
    const headless = await start({ limits: { callsPerSecond: 0.1, callBurst: 2 } });
    const client = headless.client();
    const call = () => client.unary(method.fetchJWTSVID, { audience: ["a"] });
    for (let i = 0; i < 2; i += 1)
      await expect(call()).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(call()).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });

    const curious = await start({ limits: { callsPerSecond: 0.1, callBurst: 3 } });
    const { path, requestSerialize, responseDeserialize } = methodDefinition(
      ServerReflection.method.serverReflectionInfo,
    );
    const address = `unix:${curious.volume.socket()}`;
    const asking = new Client(address, credentials.createInsecure());
    const stream = asking.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      new Metadata(),
    );
    stream.on("error", () => undefined).resume();
    const ended = new Promise((resolve) => void stream.once("status", resolve));
    // The stream itself is the first call.
    for (let i = 0; i < 3; i += 1) stream.write(create(ServerReflectionRequestSchema));
    expect(await ended).toMatchObject({ details: expect.stringContaining("calls a second") });
    asking.close();
  });

  it("close connections beyond their number, and those that come too quickly", async () => {
    const world = await start({ limits: { connections: 2 } });
    const first = [await rawClient(world.volume.socket()), await rawClient(world.volume.socket())];
    const third = await rawClient(world.volume.socket());
    expect(await third.frame(() => true)).toBeUndefined();
    expect(world.endpoint.connections).toBe(2);
    first[0]?.close();
    await expect.poll(() => world.endpoint.connections).toBe(1);
    const quick = await start({ limits: { connectionsPerSecond: 0.1, connectionBurst: 1 } });
    const [good, late] = [
      await rawClient(quick.volume.socket()),
      await rawClient(quick.volume.socket()),
    ];
    expect(await late.frame(() => true)).toBeUndefined();
    good.send(BEGIN);
    expect(await good.frame(() => true)).toBeDefined();
  });

  it("refuse a message that is too large", async () => {
    const world = await start();
    const audience = ["x".repeat(300_000)];
    const call = world.client().unary(method.fetchJWTSVID, { audience }, { headers: HEADERS });
    await expect(call).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  });

  it("do not let a message out that no gRPC client takes by default", async () => {
    const state = domain.state([await domain.svid("/web")]);
    const huge = Buffer.concat(
      Array.from({ length: 5000 }, () => domain.bundle.x509Authorities[0] ?? Buffer.alloc(0)),
    );
    workload.set({ ...state, bundle: { ...domain.bundle, x509Authorities: [huge, huge, huge] } });
    const world = await start();
    await expect(x509(world.client()).ended).resolves.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  });
});

describe("a slow reader", () => {
  /** Opens a stream on a connection whose client has stopped reading. */
  async function slowStream(world: World) {
    const client = await rawClient(world.volume.socket());
    const headers = [
      ...callHeaders("localhost", "/SpiffeWorkloadAPI/FetchX509SVID"),
      ["workload.spiffe.io", "true"] as const,
    ];
    const empty = Buffer.from([0, 0, 5, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    client.send(BEGIN, headersFrame(1, headers), empty);
    await client.outcome(1);
    client.socket.pause();
    return client;
  }
  /** Lets the server send 100 MB more. */
  function windowUpdate(streamId: number): Buffer {
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(100_000_000);
    return encodeFrame({ type: 0x8, flags: 0, streamId, payload });
  }
  /** A state of about 100 kB, so that a stream's window of 64 kB is full at once. */
  async function largeState(i: number) {
    const padding = Buffer.concat(
      Array.from({ length: 250 }, () => domain.bundle.x509Authorities[0] ?? Buffer.alloc(0)),
    );
    const state = domain.state([await domain.svid(`/web-${i}`)]);
    return { ...state, bundle: { ...domain.bundle, x509Authorities: [padding] } };
  }

  it("costs one message, whatever happens meanwhile, and holds up nobody", async () => {
    const world = await start();
    const slow = await slowStream(world);
    const quick = x509(world.client());
    await quick.until(1);
    for (let i = 1; i <= 50; i += 1) {
      workload.set(await largeState(i));
      await quick.until(i + 1);
    }
    expect(slow.socket.bytesRead).toBeLessThan(200_000);
    expect(world.endpoint.calls).toBe(2);
    // Once it reads, it gets the message that was on its way, and the newest one.
    slow.socket.resume();
    slow.send(windowUpdate(0), windowUpdate(1));
    const size = (quick.seen.at(-1)?.svids[0]?.bundle.length ?? 0) * 1.1;
    await expect.poll(() => slow.socket.bytesRead).toBeGreaterThan(size);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(slow.socket.bytesRead).toBeLessThan(3 * size);
    slow.close();
    await expect.poll(() => world.endpoint.calls).toBe(1);
  });

  it("gets the newest state when it reads again, not those in between", async () => {
    const world = await start();
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const seen: string[] = [];
    const reading = (async () => {
      for await (const message of world
        .client()
        .stream(method.fetchX509SVID, {}, { headers: HEADERS })) {
        seen.push(message.svids[0]?.spiffeId ?? "");
        if (seen.length === 1) await gate;
      }
    })().catch(() => undefined);
    await expect.poll(() => seen.length).toBe(1);
    for (let i = 1; i <= 200; i += 1) workload.set(await largeState(i));
    await new Promise((resolve) => setTimeout(resolve, 100));
    release();
    await expect.poll(() => seen.at(-1), { timeout: 10_000 }).toBe("spiffe://example.org/web-200");
    expect(seen.length).toBeLessThan(100);
    await world.endpoint.close({ removeFiles: true });
    await reading;
  });

  it("does not hold up the end", async () => {
    const world = await start();
    const slow = await slowStream(world);
    for (let i = 1; i <= 20; i += 1) {
      workload.set(await largeState(i));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const started = performance.now();
    await world.endpoint.close({ removeFiles: false });
    expect(performance.now() - started).toBeLessThan(2000);
    slow.close();
  });
});

describe("closing", () => {
  it("ends streams and calls with UNAVAILABLE, refuses new ones, and is quick", async () => {
    const world = await start();
    const streams = [x509(world.client()), x509(world.client())];
    await Promise.all(streams.map((stream) => stream.until(1)));
    workload.fetch = () => new Promise(() => undefined);
    const call = jwt(world.client());
    await expect.poll(() => world.endpoint.calls).toBe(3);
    const started = performance.now();
    const closed = world.endpoint.close({ removeFiles: false });
    await expect(call).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("come again"),
    });
    for (const stream of streams)
      await expect(stream.ended).resolves.toMatchObject({ code: "UNAVAILABLE" });
    await closed;
    expect(performance.now() - started).toBeLessThan(400);
    expect(workload.listeners).toBe(0);
    await expect(jwt(world.client())).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(existsSync(join(world.volume.directory, "api.sock"))).toBe(true);
  });

  it("ends connections on which nothing was asked yet", async () => {
    const world = await start();
    const idle = await rawClient(world.volume.socket());
    idle.send(BEGIN);
    await idle.frame(() => true);
    await world.endpoint.close({ removeFiles: true });
    await once(idle.socket, "close").catch(() => undefined);
    expect(idle.socket.closed).toBe(true);
    expect(readdirSync(world.volume.directory)).toEqual([]);
  });
});

describe("a node's sockets", () => {
  let endpoints: Endpoints;
  let volumes: TestVolume[];
  beforeEach(() => {
    endpoints = createEndpoints({ clock: systemClock(), log: silentLog() });
    volumes = [testVolume(), testVolume()];
  });
  afterEach(async () => {
    await endpoints.stop();
    for (const volume of volumes) volume.remove();
  });
  const clientOf = (volume: TestVolume): RpcClient =>
    rpcClient(`unix:${volume.socket()}`, credentials.createInsecure());

  it("are opened once, made again when one was removed, and counted", async () => {
    const [a, b] = volumes as [TestVolume, TestVolume];
    await endpoints.open("a", a.directory, workload);
    await endpoints.open("b", b.directory, workload);
    const inode = statSync(a.socket()).ino;
    await endpoints.open("a", a.directory, workload);
    expect(statSync(a.socket()).ino).toBe(inode);
    const client = clientOf(a);
    const stream = x509(client);
    await stream.until(1);
    expect(endpoints.summary()).toEqual({ sockets: 2, connections: 1, calls: 1 });
    rmSync(join(a.directory, "api.sock"));
    await endpoints.open("a", a.directory, workload);
    expect(await stream.ended).toMatchObject({ code: "UNAVAILABLE" });
    expect((await jwt(client)).svids).toHaveLength(1);
    client.close();
  });

  it("vanish with their volume, and stay behind when the agent stops", async () => {
    const [a, b] = volumes as [TestVolume, TestVolume];
    await endpoints.open("a", a.directory, workload);
    await endpoints.open("b", b.directory, workload);
    await endpoints.close("a");
    await endpoints.close("unknown");
    expect(readdirSync(a.directory)).toEqual([]);
    await endpoints.stop();
    expect(readdirSync(b.directory).toSorted()).toEqual(NAMES);
    expect(endpoints.summary().sockets).toBe(0);
  });

  it("are found again by a client within 2 s after the agent has restarted [WAPI-4]", async () => {
    const [a] = volumes as [TestVolume];
    await endpoints.open("a", a.directory, workload);
    const client = clientOf(a);
    const before = x509(client);
    await before.until(1);
    await endpoints.stop();
    expect(await before.ended).toMatchObject({ code: "UNAVAILABLE" });
    const next = createEndpoints({ clock: systemClock(), log: silentLog() });
    await new Promise((resolve) => setTimeout(resolve, 300));
    await next.open("a", a.directory, workload);
    const back = performance.now();
    await expect
      .poll(
        () =>
          jwt(client).then(
            ({ svids }) => svids.length,
            () => 0,
          ),
        { timeout: 5000, interval: 50 },
      )
      .toBe(1);
    expect(performance.now() - back).toBeLessThan(2000);
    client.close();
    await next.stop();
  });

  it("do not disturb each other: a stranger's socket in the way is not ours to remove", async () => {
    const [a] = volumes as [TestVolume];
    await endpoints.open("a", a.directory, workload);
    rmSync(join(a.directory, "api.sock"));
    const stranger = createServer().listen(join(a.socket()));
    await once(stranger, "listening");
    await endpoints.close("a");
    expect(existsSync(a.socket())).toBe(true);
    const socket = connect(a.socket());
    await once(socket, "connect");
    socket.destroy();
    stranger.close();
  });
});
