import { once } from "node:events";
import type { Writable } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as ws from "ws";
import { encodeFrame, frameDecoder } from "../../src/kube/websocket-frames.ts";
import type { WebSocketMessage } from "../../src/kube/websocket-frames.ts";

/** The other implementation, of which the published types leave these two out. */
const { Sender, Receiver } = ws as unknown as {
  Sender: { frame(data: Buffer, options: FrameOptions): Buffer[] };
  Receiver: new (options: { isServer: boolean }) => Writable;
};
interface FrameOptions {
  readonly opcode: number;
  readonly fin: boolean;
  readonly mask?: boolean;
  readonly readOnly: boolean;
}

const LIMIT = 1024 * 1024;
const OPCODES = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

function frame(opcode: number, payload: Uint8Array, fin = true): Buffer {
  return Buffer.concat(
    Sender.frame(Buffer.from(payload), { opcode, fin, mask: false, readOnly: true }),
  );
}

/** A message as frames of these sizes, the rest in the last one. */
function fragments({ type, payload }: WebSocketMessage, sizes: readonly number[]): Buffer {
  const frames: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    frames.push(
      frame(frames.length === 0 ? OPCODES[type] : 0, payload.subarray(at, at + size), false),
    );
    at += size;
  }
  frames.push(frame(frames.length === 0 ? OPCODES[type] : 0, payload.subarray(at)));
  return Buffer.concat(frames);
}

function decode(bytes: Buffer, cuts: readonly number[]): WebSocketMessage[] {
  const decoder = frameDecoder(LIMIT);
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length];
  places.sort((a, b) => a - b);
  return places.flatMap((place, at) =>
    decoder.push(bytes.subarray(place, places[at + 1] ?? place)),
  );
}

const payload = fc
  .oneof(fc.nat(300), fc.constantFrom(125, 126, 65_535, 65_536, 70_000))
  .map((length) => Buffer.alloc(length, length % 251));
const dataMessage = fc.record({ type: fc.constantFrom("text", "binary"), payload });
const control = fc.record({
  type: fc.constantFrom("ping", "pong", "close"),
  payload: fc.nat(125).map((length) => Buffer.alloc(length, 7)),
});

describe("the decoder", () => {
  it("gives back the messages of another implementation, however frames and chunks are cut", () => {
    const sent = fc.oneof(
      fc.tuple(dataMessage, fc.array(fc.nat(40_000), { maxLength: 4 })),
      fc.tuple(control, fc.constant([])),
    );
    const property = fc.property(
      fc.array(sent, { maxLength: 6 }),
      fc.array(fc.nat(), { maxLength: 20 }),
      (messages, cuts) => {
        const bytes = Buffer.concat(messages.map(([message, sizes]) => fragments(message, sizes)));
        expect(decode(bytes, cuts)).toEqual(messages.map(([message]) => message));
      },
    );
    fc.assert(property, { numRuns: 200 });
  });

  it("gives a control frame that comes between fragments at once", () => {
    const bytes = Buffer.concat([
      frame(OPCODES.binary, Buffer.from("a"), false),
      frame(OPCODES.ping, Buffer.from("p")),
      frame(0, Buffer.from("b")),
    ]);
    expect(decode(bytes, []).map(({ type, payload }) => [type, payload.toString()])).toEqual([
      ["ping", "p"],
      ["binary", "ab"],
    ]);
  });

  it.each([
    ["a reserved bit", Buffer.from([0xc2, 0]), "MALFORMED"],
    ["a masked frame", Buffer.from([0x82, 0x80]), "MALFORMED"],
    ["an unknown opcode", Buffer.from([0x83, 0]), "MALFORMED"],
    ["a continuation of nothing", frame(0, Buffer.from("a")), "MALFORMED"],
    [
      "a new message within a fragmented one",
      Buffer.concat([frame(2, Buffer.from("a"), false), frame(2, Buffer.from("b"))]),
      "MALFORMED",
    ],
    ["a fragmented ping", frame(9, Buffer.from("a"), false), "MALFORMED"],
    ["a long ping", frame(9, Buffer.alloc(126)), "MALFORMED"],
    [
      "a frame over the limit",
      frame(2, Buffer.alloc(LIMIT + 1)).subarray(0, 10),
      "RESOURCE_EXHAUSTED",
    ],
    [
      "fragments over the limit",
      Buffer.concat([frame(2, Buffer.alloc(LIMIT), false), frame(0, Buffer.alloc(1), false)]),
      "RESOURCE_EXHAUSTED",
    ],
    ["a length of 2^63", Buffer.from([0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), "RESOURCE_EXHAUSTED"],
  ])("refuses %s", (_, bytes, code) => {
    expect(() => frameDecoder(LIMIT).push(bytes)).toThrow(
      expect.objectContaining({ code }) as Error,
    );
  });
});

describe("an encoded frame", () => {
  it.each([0, 1, 125, 126, 65_535, 65_536, 200_000])(
    "of %i bytes is read by another implementation",
    async (length) => {
      const receiver = new Receiver({ isServer: true });
      const content = Buffer.alloc(length, 42);
      const received = once(receiver, "message");
      receiver.write(encodeFrame("binary", content, Buffer.from([1, 2, 3, 4])));
      const [message] = (await received) as [Buffer];
      expect(Buffer.compare(Buffer.from(message), content)).toBe(0);
    },
  );
});
