import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { firstRequest } from "../../../src/rpc/http2/first-request.ts";
import { encodeFrame } from "../../../src/rpc/http2/frames.ts";
import { BEGIN } from "./raw-client.ts";

const WINDOW_UPDATE = encodeFrame({
  type: 0x8,
  flags: 0,
  streamId: 0,
  payload: Buffer.from([0, 0, 0, 1]),
});

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function heldMemory(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

it("costs hardly more than the bytes that it holds, however short their frames are", () => {
  const sent = Buffer.concat([BEGIN, ...Array.from({ length: 9900 }, () => WINDOW_UPDATE)]);
  const before = heldMemory();
  const waiting = Array.from({ length: 20 }, () => {
    const first = firstRequest();
    for (let at = 0; at < sent.length; at += 65_536) first.push(sent.subarray(at, at + 65_536));
    return first;
  });
  expect(heldMemory() - before).toBeLessThan(5 * waiting.length * sent.length);
  expect(waiting[0]?.held()).toEqual(sent);
});
