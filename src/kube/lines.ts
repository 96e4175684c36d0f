import { SignetError } from "../core/errors.ts";

const NEWLINE = 0x0a;

/** Cuts a stream of bytes into lines, however the chunks fall. */
export interface LineBuffer {
  /** The lines completed by `chunk`, without their newline. Throws RESOURCE_EXHAUSTED when a line is over the limit. */
  push(chunk: Uint8Array): string[];
  /** Bytes of a line that has not ended. */
  readonly pending: number;
}

/** Makes a line buffer that holds at most `maxBytes` of one line. */
export function lineBuffer(maxBytes: number): LineBuffer {
  let parts: Uint8Array[] = [];
  let pending = 0;
  const keep = (part: Uint8Array): void => {
    pending += part.length;
    if (pending > maxBytes) {
      throw new SignetError("RESOURCE_EXHAUSTED", `a line of the stream is over ${maxBytes} bytes`);
    }
    if (part.length > 0) parts.push(part);
  };
  const take = (): string => {
    const line = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
    parts = [];
    pending = 0;
    return Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString("utf8");
  };
  return {
    push(chunk) {
      const lines: string[] = [];
      let start = 0;
      for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, start)) {
        keep(chunk.subarray(start, at));
        lines.push(take());
        start = at + 1;
      }
      keep(chunk.subarray(start));
      return lines;
    },
    get pending() {
      return pending;
    },
  };
}
