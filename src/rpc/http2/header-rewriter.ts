import { withAcceptableAuthority } from "./authority.ts";
import {
  encodeFrame,
  FLAG,
  FRAME_TYPE,
  frameReader,
  MAX_PAYLOAD_BYTES,
  PREFACE,
} from "./frames.ts";
import { blockAssembler, MAX_BLOCK_BYTES } from "./header-blocks.ts";
import type { HeaderBlock } from "./header-blocks.ts";
import { encodeLiterals, hpackDecoder } from "./hpack.ts";

/** Changes what a client sends on one connection. */
export interface HeaderRewriter {
  /**
   * What to hand on for the next bytes; a frame is handed on when it is complete. Throws MALFORMED for bytes
   * that are no HTTP/2, or that break a limit; the connection must then end.
   */
  push(bytes: Buffer): Buffer[];
}

/**
 * Makes a rewriter that stands at the beginning of a connection. It gives every request an authority that
 * Node.js accepts, and hands on all else as it is. Every header block is written anew without tables, because
 * the client's table goes on with each block, and the server would not have seen the ones that were changed.
 */
export function headerRewriter(): HeaderRewriter {
  const frames = frameReader();
  const blocks = blockAssembler();
  const decoder = hpackDecoder(MAX_BLOCK_BYTES);
  let preface = PREFACE.length;
  return {
    push(bytes) {
      const out: Buffer[] = [];
      const begun = bytes.subarray(0, preface);
      preface -= begun.length;
      if (begun.length > 0) out.push(begun);
      for (const frame of frames.push(bytes.subarray(begun.length))) {
        const block = blocks.take(frame);
        if (block === undefined) out.push(frame.raw);
        else if (block !== "pending") {
          const fields = withAcceptableAuthority(decoder.decode(block.block));
          out.push(...headerFrames(block, encodeLiterals(fields)));
        }
      }
      return out;
    },
  };
}

/** A block as HEADERS and, where it is too long for one frame, CONTINUATION frames. */
function headerFrames({ streamId, endStream }: HeaderBlock, block: Buffer): Buffer[] {
  const count = Math.max(1, Math.ceil(block.length / MAX_PAYLOAD_BYTES));
  return Array.from({ length: count }, (_, i) => {
    const payload = block.subarray(i * MAX_PAYLOAD_BYTES, (i + 1) * MAX_PAYLOAD_BYTES);
    const last = i === count - 1 ? FLAG.endHeaders : 0;
    if (i > 0)
      return encodeFrame({ type: FRAME_TYPE.continuation, flags: last, streamId, payload });
    const flags = last | (endStream ? FLAG.endStream : 0);
    return encodeFrame({ type: FRAME_TYPE.headers, flags, streamId, payload });
  });
}
