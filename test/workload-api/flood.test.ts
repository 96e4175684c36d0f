import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { encodeFrame, FRAME_TYPE } from "../../src/rpc/http2/frames.ts";
import { secretDiscovery } from "../../src/workload-api/sds.ts";
import { testDomain, testWorkload } from "../fakes/workload.ts";
import type { TestWorkload } from "../fakes/workload.ts";
import {
  BEGIN,
  callHeaders,
  emptyMessage,
  headersFrame,
  rawClient,
} from "../rpc/http2/raw-client.ts";
import type { RawClient } from "../rpc/http2/raw-client.ts";
import { serve } from "./world.ts";
import type { World } from "./world.ts";

const X509 = callHeaders("localhost", "/SpiffeWorkloadAPI/FetchX509SVID");
const CALL = [...X509, ["workload.spiffe.io", "true"]] as const;
const SDS = callHeaders(
  "localhost",
  "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets",
);
/** ENHANCE_YOUR_CALM, which gRPC tells as RESOURCE_EXHAUSTED. */
const CALM = "RST_STREAM 11";
/** With one open call; 64 more streams may wait. */
const STREAMS = 65;

let workload: TestWorkload;
let world: World;
const clients: RawClient[] = [];
beforeEach(async () => {
  const domain = await testDomain();
  workload = testWorkload(domain, domain.state([await domain.svid("/web")]));
  const services = [secretDiscovery({ clock: systemClock(), log: silentLog() })];
  world = await serve(workload, { limits: { openCalls: 1 }, services });
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await world.close();
});

async function begun(): Promise<RawClient> {
  const client = await rawClient(world.volume.socket());
  clients.push(client);
  client.send(BEGIN);
  return client;
}

const data = (streamId: number, payload: Buffer): Buffer =>
  encodeFrame({ type: 0, flags: 0, streamId, payload });
const ping = encodeFrame({
  type: FRAME_TYPE.ping,
  flags: 0,
  streamId: 0,
  payload: Buffer.from("12345678"),
});

/** Opens streams, whose requests do not end, and waits until the server has seen them. */
async function open(client: RawClient, count: number, ...more: readonly Buffer[]): Promise<void> {
  const ids = Array.from({ length: count }, (_, i) => 1 + 2 * i);
  client.send(...ids.map((id) => headersFrame(id, CALL)), ...more, ping);
  await client.frame(({ type, payload }) => type === FRAME_TYPE.ping && payload.length === 8);
}

describe("streams that are no calls yet", () => {
  it("count together over all connections, and those beyond are reset", async () => {
    const [first, second] = [await begun(), await begun()];
    await open(first, STREAMS - 5);
    await open(second, 6);
    expect(await second.outcome(11)).toBe(CALM);
    second.send(emptyMessage(1));
    expect(await second.outcome(1)).toBe("200");
  });

  it("make room when their connection goes", async () => {
    const [first, second] = [await begun(), await begun()];
    await open(first, STREAMS);
    second.send(headersFrame(1, CALL), emptyMessage(1));
    expect(await second.outcome(1)).toBe(CALM);
    first.close();
    await expect.poll(() => world.endpoint.connections).toBe(1);
    second.send(headersFrame(3, CALL), emptyMessage(3));
    expect(await second.outcome(3)).toBe("200");
  });
});

describe("a stream of secret discovery", () => {
  it("is reset for a frame full of empty messages, wherever the frames are cut", async () => {
    const client = await begun();
    client.send(headersFrame(1, SDS), data(1, Buffer.alloc(3)), data(1, Buffer.alloc(5 * 65)));
    expect(await client.outcome(1)).toBe(CALM);
  });

  it("takes many messages in many frames, and one long message in many", async () => {
    const client = await begun();
    const long = Buffer.alloc(30_000);
    // Field 15 of a request, which there is not.
    long.set([0, 0, 0, 0x75, 0x2b, 0x7a, 0xa7, 0xea, 0x01]);
    const parts = [long.subarray(0, 2), long.subarray(2, 16_000), long.subarray(16_000)];
    client.send(headersFrame(1, SDS), ...parts.map((part) => data(1, part)));
    for (let i = 0; i < 3; i += 1) client.send(data(1, Buffer.alloc(5 * 64)));
    expect(await client.outcome(1)).toBe("200");
  });
});
