import { SignetError } from "../../core/errors.ts";

/** What a client sends before its first frame (RFC 9113 §3.4). */
export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export const FRAME_TYPE = { headers: 0x1, settings: 0x4, ping: 0x6, continuation: 0x9 } as const;
export const FLAG = { ack: 0x1, endStream: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 };

/** HTTP/2's initial limit of a frame's payload (RFC 9113 §6.5.2), which our servers do not change. */
export const MAX_PAYLOAD_BYTES = 16_384;
const HEADER_BYTES = 9;

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
  /** The whole frame as it came. */
  readonly raw: Buffer;
}

/** Cuts a stream of bytes into frames. */
export interface FrameReader {
  /** The frames that `bytes` completes. Throws MALFORMED for a frame that is too long. */
  push(bytes: Buffer): Frame[];
  /** The bytes of a frame that is not complete. */
  rest(): Buffer;
}

/** Makes a reader that stands at the beginning of a frame. */
export function frameReader(): FrameReader {
  let held: Buffer = Buffer.alloc(0);
  return {
    push(bytes) {
      held = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
      const frames: Frame[] = [];
      for (;;) {
        const frame = firstFrame(held);
        if (frame === undefined) break;
        frames.push(frame);
        held = held.subarray(frame.raw.length);
      }
      // A copy, so that a small rest does not keep a large chunk alive.
      if (frames.length > 0) held = Buffer.from(held);
      return frames;
    },
    rest: () => held,
  };
}

/** Writes one frame. */
export function encodeFrame(frame: Omit<Frame, "raw">): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUIntBE(frame.payload.length, 0, 3);
  header.writeUInt8(frame.type, 3);
  header.writeUInt8(frame.flags, 4);
  header.writeUInt32BE(frame.streamId, 5);
  return Buffer.concat([header, frame.payload]);
}

/** The part of a header block that a HEADERS or CONTINUATION frame holds. Throws MALFORMED for bad padding. */
export function blockFragment({ type, flags, payload }: Frame): Buffer {
  if (type === FRAME_TYPE.continuation) return payload;
  const padded = (flags & FLAG.padded) !== 0;
  const begin = (padded ? 1 : 0) + ((flags & FLAG.priority) === 0 ? 0 : 5);
  const end = payload.length - (padded ? (payload[0] ?? 0) : 0);
  if (begin > end) throw malformed("headers that are shorter than their padding");
  return payload.subarray(begin, end);
}

function firstFrame(bytes: Buffer): Frame | undefined {
  if (bytes.length < HEADER_BYTES) return undefined;
  const length = bytes.readUIntBE(0, 3);
  if (length > MAX_PAYLOAD_BYTES) throw malformed(`a frame of ${length} bytes`);
  const end = HEADER_BYTES + length;
  if (bytes.length < end) return undefined;
  return {
    type: bytes.readUInt8(3),
    flags: bytes.readUInt8(4),
    streamId: bytes.readUInt32BE(5) & 0x7fffffff,
    payload: bytes.subarray(HEADER_BYTES, end),
    raw: bytes.subarray(0, end),
  };
}

function malformed(what: string): SignetError {
  return new SignetError("MALFORMED", `HTTP/2: ${what}`);
}
