import { SignetError } from "../../core/errors.ts";
import { hasAcceptableAuthority } from "./authority.ts";
import { encodeFrame, FLAG, FRAME_TYPE, frameReader, PREFACE } from "./frames.ts";
import type { Frame } from "./frames.ts";
import { blockAssembler, MAX_BLOCK_BYTES } from "./header-blocks.ts";
import type { HeaderBlock } from "./header-blocks.ts";
import { hpackDecoder } from "./hpack.ts";

/** A client sends a few short frames before its first request; more than this is none. */
const MAX_BYTES = 128 * 1024;
/** Kept frames beyond this number are put together: a short one costs far more than its bytes. */
const MAX_PIECES = 256;

export type Verdict = "acceptable" | "to-rewrite";

/** Looks at a connection until its first request. */
export interface FirstRequest {
  /**
   * Takes the next bytes and gives what is to be sent back at once. Throws MALFORMED for what is no HTTP/2, or
   * goes on too long without a request.
   */
  push(bytes: Buffer): Buffer[];
  /** Undefined until the first request is complete and nothing is on its way that only we can answer. */
  verdict(): Verdict | undefined;
  /** Whether the client has said that it speaks HTTP/2. */
  readonly begun: boolean;
  /** All bytes so far that the server must see, in their order. */
  held(): Buffer;
}

const SETTINGS = encodeFrame({
  type: FRAME_TYPE.settings,
  flags: 0,
  streamId: 0,
  payload: Buffer.alloc(0),
});

/**
 * Looks at the beginning of a connection in the server's place. Most clients send no request before they have the
 * server's SETTINGS, so empty ones are sent, and the client's answer to them is kept from the server, which
 * will send its own; a PING is answered for the same reason.
 */
export function firstRequest(): FirstRequest {
  const frames = frameReader();
  const blocks = blockAssembler();
  const kept: Buffer[] = [];
  let begun: Buffer = Buffer.alloc(0);
  let size = 0;
  let settings: "unsent" | "unanswered" | "answered" = "unsent";
  let verdict: Verdict | undefined;
  const takePreface = (bytes: Buffer): Buffer => {
    const missing = PREFACE.length - begun.length;
    begun = Buffer.concat([begun, bytes.subarray(0, missing)]);
    if (!PREFACE.subarray(0, begun.length).equals(begun)) throw malformed("no HTTP/2 preface");
    return bytes.subarray(missing);
  };
  const keep = (bytes: Buffer): void => {
    kept.push(bytes);
    if (kept.length > MAX_PIECES) kept.splice(0, kept.length, Buffer.concat(kept));
  };
  /** What a frame is answered with; a frame that the server is to see is kept. */
  const take = (frame: Frame): Buffer[] => {
    const ack = (frame.flags & FLAG.ack) !== 0;
    if (frame.type === FRAME_TYPE.settings && ack && settings === "unanswered") {
      settings = "answered";
      return [];
    }
    if (frame.type === FRAME_TYPE.ping && !ack && verdict === undefined) {
      return [encodeFrame({ ...frame, flags: FLAG.ack })];
    }
    keep(frame.raw);
    if (verdict === undefined) verdict = judge(blocks.take(frame));
    return [];
  };
  return {
    push(bytes) {
      size += bytes.length;
      if (size > MAX_BYTES) throw malformed("no request for too long");
      const replies = frames.push(takePreface(bytes)).flatMap(take);
      const waits = begun.length === PREFACE.length && verdict === undefined;
      if (!waits || settings !== "unsent") return replies;
      settings = "unanswered";
      return [SETTINGS, ...replies];
    },
    verdict: () => (settings === "unanswered" ? undefined : verdict),
    get begun() {
      return begun.length === PREFACE.length;
    },
    held: () => Buffer.concat([begun, ...kept, frames.rest()]),
  };
}

function judge(block: HeaderBlock | "pending" | undefined): Verdict | undefined {
  if (block === undefined || block === "pending") return undefined;
  const fields = hpackDecoder(MAX_BLOCK_BYTES).decode(block.block);
  return hasAcceptableAuthority(fields) ? "acceptable" : "to-rewrite";
}

function malformed(what: string): SignetError {
  return new SignetError("MALFORMED", `HTTP/2: ${what}`);
}
