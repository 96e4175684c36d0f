import fc from "fast-check";
import { expect, it } from "vitest";
import {
  blockFragment,
  encodeFrame,
  FLAG,
  FRAME_TYPE,
  frameReader,
  PREFACE,
} from "../../../src/rpc/http2/frames.ts";
import { blockAssembler } from "../../../src/rpc/http2/header-blocks.ts";
import { headerRewriter } from "../../../src/rpc/http2/header-rewriter.ts";
import { hpackDecoder } from "../../../src/rpc/http2/hpack.ts";
import { BEGIN, callHeaders, headersFrame } from "./raw-client.ts";

function rewrite(chunks: readonly Buffer[]): Buffer {
  const rewriter = headerRewriter();
  return Buffer.concat(chunks.flatMap((chunk) => rewriter.push(chunk)));
}

/** What a server reads: each block's headers, and every other frame as it came. */
function read(bytes: Buffer): unknown[] {
  expect(bytes.subarray(0, PREFACE.length)).toEqual(PREFACE);
  const decoder = hpackDecoder(1 << 20);
  const blocks = blockAssembler();
  return frameReader()
    .push(bytes.subarray(PREFACE.length))
    .flatMap((frame): unknown[] => {
      const block = blocks.take(frame);
      if (block === undefined) return [frame.raw.toString("hex")];
      if (block === "pending") return [];
      const headers = decoder.decode(block.block).map(({ name, value }) => [name, value]);
      return [{ streamId: block.streamId, endStream: block.endStream, headers }];
    });
}

/** "fine", or the code of the error. */
function outcome(act: () => unknown): unknown {
  try {
    act();
    return "fine";
  } catch (error) {
    return (error as { code?: unknown }).code ?? error;
  }
}

const data = fc
  .record({
    type: fc.constantFrom(0x0, 0x2, 0x3, 0x4, 0x6, 0x7, 0x8, 0xb),
    flags: fc.integer({ min: 0, max: 255 }),
    streamId: fc.integer({ min: 0, max: 100 }),
    payload: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  })
  .map(encodeFrame);
const authority = fc.oneof(
  fc.constantFrom(undefined, "localhost", "", "/run/a.sock", "unix:///a"),
  fc.string({ unit: "binary-ascii", maxLength: 20 }),
);
const request = fc
  .record({ authority, streamId: fc.integer({ min: 1, max: 99 }), end: fc.boolean() })
  .map(({ authority: name, streamId, end }) =>
    headersFrame(streamId, callHeaders(name), FLAG.endHeaders | (end ? FLAG.endStream : 0)),
  );
const connection = fc.array(fc.oneof(data, request), { maxLength: 15 });
const cuts = fc.array(fc.nat({ max: 400 }), { maxLength: 30 });

it("gives the same bytes however the connection is cut into pieces", () => {
  fc.assert(
    fc.property(connection, cuts, (frames, sizes) => {
      const bytes = Buffer.concat([BEGIN, ...frames]);
      const pieces: Buffer[] = [];
      let at = 0;
      for (const size of sizes) {
        pieces.push(bytes.subarray(at, at + size));
        at = Math.min(bytes.length, at + size);
      }
      expect(rewrite([...pieces, bytes.subarray(at)])).toEqual(rewrite([bytes]));
    }),
  );
});

it("changes nothing but authorities", () => {
  fc.assert(
    fc.property(connection, (frames) => {
      const bytes = Buffer.concat([BEGIN, ...frames]);
      const withoutAuthority = (items: unknown[]): unknown[] =>
        items.map((item) =>
          typeof item === "object" && item !== null && "headers" in item
            ? {
                ...item,
                headers: (item.headers as string[][]).filter(([name]) => name !== ":authority"),
              }
            : item,
        );
      expect(withoutAuthority(read(rewrite([bytes])))).toEqual(withoutAuthority(read(bytes)));
    }),
  );
});

it("gives headers or MALFORMED for any bytes, never another error", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 10 }), (chunks) => {
      const bytes = [BEGIN, ...chunks.map((chunk) => Buffer.from(chunk))];
      expect(["fine", "MALFORMED"]).toContain(outcome(() => rewrite(bytes)));
    }),
    { numRuns: 1000 },
  );
});

it("takes padding and priority off headers", () => {
  const payload = Buffer.from([2, 0, 0, 0, 0, 15, 0x82, 0, 0]);
  const frame = {
    type: FRAME_TYPE.headers,
    flags: FLAG.padded | FLAG.priority,
    streamId: 1,
    payload,
  };
  expect(blockFragment({ ...frame, raw: payload })).toEqual(Buffer.from([0x82]));
});
