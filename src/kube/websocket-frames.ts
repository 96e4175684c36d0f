import { SignetError } from "../core/errors.ts";

/** RFC 6455, 5.2. */
const TYPES: Readonly<Record<number, FrameType>> = {
  0x0: "continuation",
  0x1: "text",
  0x2: "binary",
  0x8: "close",
  0x9: "ping",
  0xa: "pong",
};
const OPCODES = { binary: 0x2, close: 0x8, pong: 0xa } as const;
const FIRST_CONTROL = 0x8;

const FIN = 0x80;
const RESERVED = 0x70;
const MASKED = 0x80;
const LENGTH_16 = 126;
const LENGTH_64 = 127;
const MASK_BYTES = 4;
/** RFC 6455, 5.5. */
const LONGEST_CONTROL = 125;

type FrameType = WebSocketMessage["type"] | "continuation";

/** A whole message, or a control frame. */
export interface WebSocketMessage {
  readonly type: "text" | "binary" | "close" | "ping" | "pong";
  readonly payload: Buffer;
}

/** Puts what a server sends together again, however the bytes are cut. */
export interface FrameDecoder {
  /** What `chunk` completed. Throws MALFORMED for what RFC 6455 forbids a server, RESOURCE_EXHAUSTED over the limit. */
  push(chunk: Uint8Array): WebSocketMessage[];
}

interface Frame {
  readonly final: boolean;
  readonly type: FrameType;
  readonly payload: Buffer;
  /** Header and payload. */
  readonly bytes: number;
}

/** A frame as a client sends it: whole, and masked with four random bytes. */
export function encodeFrame(
  type: keyof typeof OPCODES,
  payload: Uint8Array,
  mask: Uint8Array,
): Buffer {
  const length = lengthField(payload.length);
  const start = 1 + length.length + MASK_BYTES;
  const frame = Buffer.allocUnsafe(start + payload.length);
  frame[0] = FIN | OPCODES[type];
  frame.set(length, 1);
  frame.set(mask, 1 + length.length);
  for (let at = 0; at < payload.length; at += 1) {
    frame[start + at] = (payload[at] ?? 0) ^ (mask[at % MASK_BYTES] ?? 0);
  }
  return frame;
}

function lengthField(length: number): Buffer {
  if (length < LENGTH_16) return Buffer.from([MASKED | length]);
  const isLong = length > 0xffff;
  const field = Buffer.alloc(isLong ? 9 : 3);
  field[0] = MASKED | (isLong ? LENGTH_64 : LENGTH_16);
  if (isLong) field.writeBigUInt64BE(BigInt(length), 1);
  else field.writeUInt16BE(length, 1);
  return field;
}

/** Makes a decoder that holds at most one message of `maxBytes`. */
export function frameDecoder(maxBytes: number): FrameDecoder {
  const messages = messageAssembler(maxBytes);
  let pending: Buffer = Buffer.alloc(0);
  return {
    push(chunk) {
      pending = Buffer.concat([pending, chunk]);
      const complete: WebSocketMessage[] = [];
      for (;;) {
        const frame = readFrame(pending, maxBytes);
        if (frame === undefined) return complete;
        pending = pending.subarray(frame.bytes);
        const message = messages.add(frame);
        if (message) complete.push(message);
      }
    },
  };
}

/** Joins fragments; control frames may come between them. */
function messageAssembler(maxBytes: number): { add(frame: Frame): WebSocketMessage | undefined } {
  let started: "text" | "binary" | undefined;
  let parts: Buffer[] = [];
  let size = 0;
  return {
    add({ type, final, payload }) {
      if (type === "close" || type === "ping" || type === "pong") return { type, payload };
      if ((type === "continuation") !== (started !== undefined)) {
        throw malformed("a fragment is out of order");
      }
      if (type !== "continuation") started = type;
      size += payload.length;
      if (size > maxBytes) throw tooLong(maxBytes);
      if (payload.length > 0) parts.push(payload);
      if (!final || started === undefined) return undefined;
      const message = { type: started, payload: Buffer.concat(parts) };
      started = undefined;
      parts = [];
      size = 0;
      return message;
    },
  };
}

/** The frame that `bytes` begins with; undefined while it is not all there. */
function readFrame(bytes: Buffer, maxBytes: number): Frame | undefined {
  const [first, second] = bytes;
  if (first === undefined || second === undefined) return undefined;
  const { type, final } = readFirstByte(first);
  if ((second & MASKED) !== 0) throw malformed("a server's frame is masked");
  const short = second & 0x7f;
  if ((first & 0x0f) >= FIRST_CONTROL && (!final || short > LONGEST_CONTROL)) {
    throw malformed(`a ${type} frame is fragmented or too long`);
  }
  const extent = readLength(bytes, short);
  if (extent === undefined) return undefined;
  if (extent.length > maxBytes) throw tooLong(maxBytes);
  const end = extent.start + extent.length;
  if (bytes.length < end) return undefined;
  return { final, type, payload: bytes.subarray(extent.start, end), bytes: end };
}

function readFirstByte(byte: number): Pick<Frame, "type" | "final"> {
  const opcode = byte & 0x0f;
  const type = TYPES[opcode];
  if (type === undefined) throw malformed(`opcode ${opcode} is unknown`);
  if ((byte & RESERVED) !== 0) throw malformed("a reserved bit is set");
  return { type, final: (byte & FIN) !== 0 };
}

/** Where the payload starts and how long it is; undefined while the field is not all there. */
function readLength(
  bytes: Buffer,
  short: number,
): { readonly start: number; readonly length: number } | undefined {
  const start = 2 + (short === LENGTH_64 ? 8 : short === LENGTH_16 ? 2 : 0);
  if (bytes.length < start) return undefined;
  if (short === LENGTH_64) return { start, length: Number(bytes.readBigUInt64BE(2)) };
  return { start, length: short === LENGTH_16 ? bytes.readUInt16BE(2) : short };
}

function malformed(what: string): SignetError {
  return new SignetError("MALFORMED", `the WebSocket stream is broken: ${what}`);
}

function tooLong(maxBytes: number): SignetError {
  return new SignetError(
    "RESOURCE_EXHAUSTED",
    `a message of the WebSocket stream is over ${maxBytes} bytes`,
  );
}
