import type { Readable } from "node:stream";
import { isSignetError, SignetError } from "../core/errors.ts";

/** Bytes that all bodies together may hold at one time; nobody is authenticated before the body is read. */
export interface BodyBudget {
  left: number;
}

/**
 * Reads a body as UTF-8 text; throws RESOURCE_EXHAUSTED when it is longer than `maxBytes`,
 * UNAVAILABLE when the budget is spent, and CANCELLED when the sender gave up.
 * The rest of a body that is too long is read and dropped, so that the sender sees the answer
 * instead of a broken connection; the server's request timeout bounds that.
 */
export async function readBody(
  body: Readable,
  maxBytes: number,
  budget: BodyBudget = { left: maxBytes },
): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  let held = 0;
  let refused: SignetError | undefined;
  const drop = (): void => {
    chunks.length = 0;
    budget.left += held;
    held = 0;
  };
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) {
        refused = new SignetError("RESOURCE_EXHAUSTED", `body is longer than ${maxBytes} bytes`);
      } else if (chunk.length > budget.left) {
        refused ??= new SignetError("UNAVAILABLE", "too many requests are being read; try again");
      }
      if (refused !== undefined) {
        drop();
        continue;
      }
      chunks.push(chunk);
      held += chunk.length;
      budget.left -= chunk.length;
    }
    if (refused !== undefined) throw refused;
    return Buffer.concat(chunks).toString("utf8");
  } catch (error) {
    if (isSignetError(error)) throw error;
    throw new SignetError("CANCELLED", "body ended early", { cause: error });
  } finally {
    drop();
  }
}
