import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { connect, createServer, Socket } from "node:net";
import type { Server as NetServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { credentials, Server, ServerCredentials } from "@grpc/grpc-js";
import fc from "fast-check";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { rpcClient } from "../../../src/rpc/client.ts";
import { Identity } from "../../../src/rpc/gen/csi/v1/csi_pb.js";
import { acceptHttp2 } from "../../../src/rpc/http2/accept.ts";
import { encodeFrame, FLAG, FRAME_TYPE, PREFACE } from "../../../src/rpc/http2/frames.ts";
import { addService } from "../../../src/rpc/server.ts";
import {
  BEGIN,
  callHeaders,
  emptyMessage,
  GOAWAY,
  headersFrame,
  literals,
  rawClient,
  SETTINGS_ACK,
} from "./raw-client.ts";
import type { RawClient } from "./raw-client.ts";

const PATH = "/csi.v1.Identity/Probe";
const RAW_PATH = "/run/spiffe/a/path/api.sock";

let dir: string;
let path: string;
let listener: NetServer;
let handed: Duplex[];
const clients: RawClient[] = [];
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "accept-"));
  path = join(dir, "s");
  handed = [];
  const server = new Server();
  addService(server, Identity, { probe: () => Promise.resolve({ ready: true }) });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  listener = createServer((socket) =>
    acceptHttp2(socket, (connection) => {
      handed.push(connection);
      injector.injectConnection(connection);
    }),
  );
  listener.listen(path);
  await once(listener, "listening");
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  listener.close();
  for (const connection of handed) connection.destroy();
  rmSync(dir, { recursive: true });
});

async function raw(options?: { polite: boolean }): Promise<RawClient> {
  const client = await rawClient(path, options);
  clients.push(client);
  return client;
}

async function probe(authority?: string): Promise<boolean | undefined> {
  const options = authority === undefined ? {} : { "grpc.default_authority": authority };
  const client = rpcClient(`unix:${path}`, credentials.createInsecure(), options);
  try {
    const answers = await Promise.all(
      [1, 2, 3].map(() => client.unary(Identity.method.probe, {}, { deadline: Date.now() + 5000 })),
    );
    return answers.every(({ ready }) => ready?.valueOf() === true || ready !== undefined);
  } finally {
    client.close();
  }
}

it.each([undefined, "localhost", "tmp%2Fapi.sock", "[::]:50051"])(
  "hands a connection with the authority %s over as it is",
  async (authority) => {
    expect(await probe(authority)).toBe(true);
    expect(handed).toHaveLength(1);
    expect(handed[0]).toBeInstanceOf(Socket);
  },
);

it.each([RAW_PATH, "unix:///run/api.sock", "a@b", "ä"])(
  "lets calls through whose authority is %s",
  async (authority) => {
    expect(await probe(authority)).toBe(true);
    expect(handed[0]).not.toBeInstanceOf(Socket);
  },
);

it("lets calls through that have no authority at all", async () => {
  const client = await raw();
  client.send(BEGIN);
  client.send(headersFrame(1, callHeaders(undefined, PATH)), emptyMessage(1));
  expect(await client.outcome(1)).toBe("200");
  client.send(headersFrame(3, callHeaders("", PATH)), emptyMessage(3));
  expect(await client.outcome(3)).toBe("200");
});

it("keeps the client's header table in step over many requests", async () => {
  const session = connectHttp2("http://localhost", { createConnection: () => connect(path) });
  const call = (extra: Record<string, string>): Promise<number> =>
    new Promise((resolve, reject) => {
      const headers = { ":method": "POST", ":path": PATH, ":authority": RAW_PATH, ...extra };
      const request = session.request({
        ...headers,
        "content-type": "application/grpc",
        te: "trailers",
      });
      request.on("response", (response) => resolve(Number(response[":status"])));
      request.on("error", reject);
      request.end(Buffer.from([0, 0, 0, 0, 0]));
    });
  for (let i = 0; i < 200; i += 1) {
    const long = `value-${i % 60}`.padEnd(40 + (i % 7) * 50, "x");
    expect(await call({ [`x-${i % 60}`]: long, "user-agent": "grpc-java-netty/1.80" })).toBe(200);
  }
  session.close();
});

it("answers a client that sends its request before it has seen SETTINGS", async () => {
  const client = await raw();
  client.send(BEGIN, headersFrame(1, callHeaders(RAW_PATH, PATH)), emptyMessage(1));
  expect(await client.outcome(1)).toBe("200");
});

it.each([RAW_PATH, "localhost"])("takes the authority %s one byte at a time", async (authority) => {
  const client = await raw({ polite: false });
  const bytes = Buffer.concat([
    BEGIN,
    headersFrame(1, callHeaders(authority, PATH)),
    emptyMessage(1),
  ]);
  for (const byte of bytes) {
    client.send(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  client.send(SETTINGS_ACK);
  expect(await client.outcome(1)).toBe("200");
});

it("waits for the client's answer to its own SETTINGS, and keeps that from the server", async () => {
  const client = await raw({ polite: false });
  client.send(BEGIN);
  const settings = await client.frame(({ type }) => type === FRAME_TYPE.settings);
  expect(settings?.payload).toHaveLength(0);
  client.send(headersFrame(1, callHeaders("localhost", PATH)), emptyMessage(1));
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(handed).toHaveLength(0);
  client.send(SETTINGS_ACK);
  expect(await client.outcome(1)).toBe("200");
});

it("answers a PING that comes before the first request", async () => {
  const client = await raw();
  const payload = Buffer.from("12345678");
  client.send(BEGIN, encodeFrame({ type: FRAME_TYPE.ping, flags: 0, streamId: 0, payload }));
  const pong = await client.frame(({ type }) => type === FRAME_TYPE.ping);
  expect(pong).toMatchObject({ flags: FLAG.ack, payload });
  client.send(headersFrame(1, callHeaders("localhost", PATH)), emptyMessage(1));
  expect(await client.outcome(1)).toBe("200");
});

it("reads headers with padding and priority, in several frames", async () => {
  const client = await raw();
  const block = literals(callHeaders(RAW_PATH, PATH));
  const first = Buffer.concat([
    Buffer.from([3, 0, 0, 0, 0, 15]),
    block.subarray(0, 20),
    Buffer.alloc(3),
  ]);
  const continuation = (payload: Buffer, flags = 0): Buffer =>
    encodeFrame({ type: FRAME_TYPE.continuation, flags, streamId: 1, payload });
  client.send(
    BEGIN,
    headersFrame(1, first, FLAG.padded | FLAG.priority),
    continuation(block.subarray(20, 40)),
    continuation(block.subarray(40), FLAG.endHeaders),
    emptyMessage(1),
  );
  expect(await client.outcome(1)).toBe("200");
});

it("writes a block that grew too long for one frame in several", async () => {
  const client = await raw();
  const filler = ["x-filler", "y".repeat(3000)] as const;
  const indexed = Buffer.concat([
    literals(callHeaders(RAW_PATH, PATH)),
    // Indexed once, then named by one byte each: 24 kB of headers in 3 kB.
    Buffer.from([0x40]),
    literals([filler]).subarray(1),
    Buffer.alloc(7, 0x80 | 62),
  ]);
  client.send(BEGIN, headersFrame(1, indexed), emptyMessage(1));
  expect(await client.outcome(1)).toBe("200");
});

const continuationOf = (streamId: number, bytes: number, flags = 0): Buffer =>
  encodeFrame({ type: FRAME_TYPE.continuation, flags, streamId, payload: Buffer.alloc(bytes) });
const request = headersFrame(1, callHeaders(RAW_PATH, PATH));
it.each<[string, Buffer[]]>([
  ["no HTTP/2", [Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n")]],
  ["a frame of 4 MB", [BEGIN, Buffer.from([0x40, 0, 0, 0, 0, 0, 0, 0, 1])]],
  [
    "a header block without end",
    [
      BEGIN,
      headersFrame(1, Buffer.alloc(9), 0),
      ...Array.from({ length: 9 }, () => continuationOf(1, 1)),
    ],
  ],
  [
    "a header block that is too long",
    [
      BEGIN,
      headersFrame(1, Buffer.alloc(16_000), 0),
      continuationOf(1, 16_000),
      continuationOf(1, 16_000),
    ],
  ],
  ["a continuation of nothing", [BEGIN, continuationOf(1, 5, FLAG.endHeaders)]],
  [
    "a continuation of another stream",
    [BEGIN, headersFrame(1, Buffer.alloc(9), 0), continuationOf(3, 5)],
  ],
  ["a frame within headers", [BEGIN, headersFrame(1, Buffer.alloc(9), 0), SETTINGS_ACK]],
  ["a block that is no HPACK", [BEGIN, headersFrame(1, Buffer.alloc(9, 0xff))]],
  [
    "padding longer than its frame",
    [BEGIN, headersFrame(1, Buffer.from([200, 0]), FLAG.padded | FLAG.endHeaders)],
  ],
  [
    "bad HPACK after a good request",
    [BEGIN, request, emptyMessage(1), headersFrame(3, Buffer.alloc(9, 0xff))],
  ],
  [
    "a header bomb",
    [
      BEGIN,
      request,
      emptyMessage(1),
      headersFrame(
        3,
        Buffer.concat([
          Buffer.from([0x40]),
          literals([["a", "b".repeat(3900)]]).subarray(1),
          Buffer.alloc(12_000, 0x80 | 62),
        ]),
      ),
    ],
  ],
  [
    "much without a request",
    [
      BEGIN,
      ...Array.from({ length: 60 }, () =>
        encodeFrame({ type: 0xfa, flags: 0, streamId: 0, payload: Buffer.alloc(4096) }),
      ),
    ],
  ],
])("cuts off a client that sends %s, and goes on with others", async (_name, parts) => {
  const client = await raw();
  client.send(...parts);
  expect(await client.frame(({ type }) => type === GOAWAY)).toBeUndefined();
  expect(client.socket.closed).toBe(true);
  expect(await probe(RAW_PATH)).toBe(true);
});

it("cuts off a client that says nothing, and lets one be idle that has begun", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const [silent, idle] = [await raw(), await raw()];
    idle.send(BEGIN);
    await idle.frame(({ type }) => type === FRAME_TYPE.settings);
    vi.advanceTimersByTime(10_001);
    expect(await silent.frame(() => true)).toBeUndefined();
    idle.send(headersFrame(1, callHeaders("localhost", PATH)), emptyMessage(1));
    expect(await idle.outcome(1)).toBe("200");
  } finally {
    vi.useRealTimers();
  }
});

it("survives any bytes", async () => {
  const frame = fc
    .record({
      type: fc.integer({ min: 0, max: 11 }),
      flags: fc.integer({ min: 0, max: 255 }),
      streamId: fc.integer({ min: 0, max: 5 }),
      payload: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    })
    .map(encodeFrame);
  const bytes = fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array));
  const parts = fc.array(fc.oneof(frame, bytes, fc.constant(request)), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(BEGIN, PREFACE, Buffer.alloc(0)),
      parts,
      async (begin, rest) => {
        const client = await rawClient(path);
        client.send(begin, ...rest);
        await new Promise((resolve) => setTimeout(resolve, 2));
        client.close();
      },
    ),
    { numRuns: 150 },
  );
  expect(await probe(RAW_PATH)).toBe(true);
});
