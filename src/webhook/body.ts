import type { Readable } from "node:stream";
import { SignetError } from "../core/errors.ts";

/**
 * Reads a body as UTF-8 text; throws RESOURCE_EXHAUSTED when it is longer than `maxBytes`, and
 * CANCELLED when the sender gave up.
 * The rest of a body that is too long is read and dropped, so that the sender sees the answer
 * instead of a broken connection; the server's request timeout bounds that.
 */
export async function readBody(body: Readable, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size <= maxBytes) chunks.push(chunk);
      else chunks.length = 0;
    }
  } catch (error) {
    throw new SignetError("CANCELLED", "body ended early", { cause: error });
  }
  if (size <= maxBytes) return Buffer.concat(chunks).toString("utf8");
  throw new SignetError("RESOURCE_EXHAUSTED", `body is longer than ${maxBytes} bytes`);
}
