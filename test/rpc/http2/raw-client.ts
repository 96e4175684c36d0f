import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import {
  encodeFrame,
  FLAG,
  FRAME_TYPE,
  frameReader,
  PREFACE,
} from "../../../src/rpc/http2/frames.ts";
import type { Frame } from "../../../src/rpc/http2/frames.ts";
import { blockFragment } from "../../../src/rpc/http2/frames.ts";
import { encodeLiterals, hpackDecoder } from "../../../src/rpc/http2/hpack.ts";

export const RST_STREAM = 0x3;
export const GOAWAY = 0x7;
const DATA = 0x0;

/** An HTTP/2 client that sends exactly the frames that a test gives it. */
export interface RawClient {
  readonly socket: Socket;
  send(...parts: readonly Buffer[]): void;
  /** The next frame for which `wanted` holds; undefined when the connection ends before. */
  frame(wanted: (frame: Frame) => boolean): Promise<Frame | undefined>;
  /** The status of a response (`200`), or how its stream ended (`RST_STREAM 1`), or `closed`. */
  outcome(streamId: number): Promise<string>;
  close(): void;
}

/** Connects; answers the server's SETTINGS when `polite`. */
export async function rawClient(path: string, { polite = true } = {}): Promise<RawClient> {
  const socket = connect(path);
  await once(socket, "connect");
  const frames: Frame[] = [];
  const reader = frameReader();
  const decoder = hpackDecoder(1 << 20);
  const statuses = new Map<number, string>();
  let closed = false;
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const resolve of waiting) resolve();
    waiting.clear();
  };
  socket.on("error", () => undefined);
  socket.on("close", () => {
    closed = true;
    wake();
  });
  socket.on("data", (bytes: Buffer) => {
    for (const frame of reader.push(bytes)) {
      if (polite && frame.type === FRAME_TYPE.settings && (frame.flags & FLAG.ack) === 0) {
        socket.write(SETTINGS_ACK);
      }
      if (frame.type === FRAME_TYPE.headers) {
        const fields = decoder.decode(blockFragment(frame));
        const status = fields.find(({ name }) => name === ":status");
        if (status) statuses.set(frame.streamId, status.value);
      }
      frames.push(frame);
    }
    wake();
  });
  const frame = async (wanted: (frame: Frame) => boolean): Promise<Frame | undefined> => {
    for (let seen = 0; ;) {
      const found = frames.slice(seen).find(wanted);
      if (found !== undefined) return found;
      seen = frames.length;
      if (closed) return undefined;
      await new Promise<void>((resolve) => void waiting.add(resolve));
    }
  };
  return {
    socket,
    frame,
    send: (...parts) => void socket.write(Buffer.concat(parts)),
    async outcome(streamId) {
      const last = await frame(
        ({ type, ...found }) =>
          found.streamId === streamId && (type === FRAME_TYPE.headers || type === RST_STREAM),
      );
      if (last === undefined) return "closed";
      if (last.type === RST_STREAM) return `RST_STREAM ${last.payload.readUInt32BE(0)}`;
      return statuses.get(streamId) ?? "no status";
    },
    close: () => void socket.destroy(),
  };
}

export const SETTINGS_ACK = settings(FLAG.ack);
/** What every client begins with. */
export const BEGIN = Buffer.concat([PREFACE, settings(0)]);

function settings(flags: number): Buffer {
  return encodeFrame({ type: FRAME_TYPE.settings, flags, streamId: 0, payload: Buffer.alloc(0) });
}

export type Headers = readonly (readonly [name: string, value: string])[];

/** The headers of a gRPC call; without `authority` there is none. */
export function callHeaders(authority: string | undefined, path = "/Test/Echo"): Headers {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    ...(authority === undefined ? [] : ([[":authority", authority]] as const)),
    ["content-type", "application/grpc"],
    ["te", "trailers"],
  ];
}

/** A HEADERS frame that holds all of a block. */
export function headersFrame(
  streamId: number,
  headers: Headers | Buffer,
  flags = FLAG.endHeaders,
): Buffer {
  const payload = Buffer.isBuffer(headers) ? headers : literals(headers);
  return encodeFrame({ type: FRAME_TYPE.headers, flags, streamId, payload });
}

/** Headers as literals without tables. */
export function literals(headers: Headers): Buffer {
  return encodeLiterals(headers.map(([name, value]) => ({ name, value, neverIndexed: false })));
}

/** An empty gRPC message that ends the request. */
export function emptyMessage(streamId: number): Buffer {
  return encodeFrame({
    type: DATA,
    flags: FLAG.endStream,
    streamId,
    payload: Buffer.from([0, 0, 0, 0, 0]),
  });
}
