import { SignetError } from "../../core/errors.ts";
import { blockFragment, FLAG, FRAME_TYPE } from "./frames.ts";
import type { Frame } from "./frames.ts";

/** No client of ours has nearly as much to say; Node.js itself takes 64 KiB. */
export const MAX_BLOCK_BYTES = 32 * 1024;
/** More frames than this for one block are an attack (CVE-2024-27316). */
const MAX_CONTINUATIONS = 8;

/** A header block that is complete. */
export interface HeaderBlock {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly block: Buffer;
}

/** Puts header blocks together from their frames. */
export interface BlockAssembler {
  /**
   * Takes one frame: gives the block that it completes, `pending` while there is more of a block to come, and
   * undefined for a frame that has nothing to do with headers. Throws MALFORMED for frames out of order and for
   * a block that is too long.
   */
  take(frame: Frame): HeaderBlock | "pending" | undefined;
}

/** Makes an assembler for one direction of one connection. */
export function blockAssembler(): BlockAssembler {
  let open: { readonly first: Frame; readonly fragments: Buffer[]; bytes: number } | undefined;
  return {
    take(frame) {
      if (open === undefined) {
        if (frame.type === FRAME_TYPE.continuation) throw malformed("a continuation of nothing");
        if (frame.type !== FRAME_TYPE.headers) return undefined;
        open = { first: frame, fragments: [], bytes: 0 };
      } else if (frame.type !== FRAME_TYPE.continuation || frame.streamId !== open.first.streamId) {
        throw malformed("a frame between headers and their continuation");
      }
      const { first, fragments } = open;
      const fragment = blockFragment(frame);
      fragments.push(fragment);
      open.bytes += fragment.length;
      if (open.bytes > MAX_BLOCK_BYTES || fragments.length > MAX_CONTINUATIONS + 1) {
        throw malformed("a header block that is too long");
      }
      if ((frame.flags & FLAG.endHeaders) === 0) return "pending";
      open = undefined;
      const endStream = (first.flags & FLAG.endStream) !== 0;
      return { streamId: first.streamId, endStream, block: Buffer.concat(fragments) };
    },
  };
}

function malformed(what: string): SignetError {
  return new SignetError("MALFORMED", `HTTP/2: ${what}`);
}
