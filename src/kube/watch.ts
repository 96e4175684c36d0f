import type { Clock } from "../core/clock.ts";
import { isSignetError, SignetError } from "../core/errors.ts";
import { lineBuffer } from "./lines.ts";
import { statusError } from "./status.ts";
import type { Transport, TransportRequest } from "./transport.ts";
import type { KubeObject, Status, WatchEvent } from "./types.ts";

export interface WatchStreamOptions {
  readonly transport: Transport;
  /** The GET of the watch; its `timeoutMs` covers the head only. */
  readonly request: TransportRequest;
  /** The time after which the server was asked to end the watch. */
  readonly timeoutSeconds: number;
  readonly clock: Clock;
}

const MAX_LINE_BYTES = 8 * 1024 * 1024;
/** How much later than asked a server may end a watch. */
const GRACE_MS = 30_000;
/** A server that sends bookmarks sends one a minute: three missed ones mean that the connection is dead. */
const SILENCE_AFTER_BOOKMARK_MS = 180_000;

/**
 * The events of one watch until the server ends it in the agreed way (then the loop ends).
 * Throws UNAVAILABLE when the connection breaks or goes silent, MALFORMED for a line that is no event, and the
 * server's own error (410 among them) when it sends one.
 */
export async function* watchStream<T extends KubeObject>(
  options: WatchStreamOptions,
): AsyncIterable<WatchEvent<T>> {
  const { transport, request, clock, timeoutSeconds } = options;
  const guard = startGuard(request, timeoutSeconds * 1000 + GRACE_MS, clock);
  try {
    const lines = lineBuffer(MAX_LINE_BYTES);
    for await (const chunk of await transport.open({ ...request, signal: guard.signal })) {
      for (const line of lines.push(chunk)) {
        const event = parseEvent<T>(line, request.what);
        guard.heard(event.type);
        yield event;
      }
    }
    if (lines.pending > 0) throw brokenLine(request.what, lines.pending);
  } catch (error) {
    throw guard.broke(error);
  } finally {
    guard.stop();
  }
}

interface Guard {
  readonly signal: AbortSignal;
  /** An event came; the first bookmark lowers the longest silence. */
  heard(type: WatchEvent["type"]): void;
  /** The error to report for `error`: the guard's own when the guard ended the watch. */
  broke(error: unknown): unknown;
  stop(): void;
}

/** Ends a watch that has been silent, or has lasted, for longer than `longestMs`. */
function startGuard(request: TransportRequest, longestMs: number, clock: Clock): Guard {
  const controller = new AbortController();
  const startedAt = clock.now();
  let heardAt = startedAt;
  let silenceMs = longestMs;
  const cancel = (): void => controller.abort(request.signal?.reason);
  if (request.signal?.aborted) cancel();
  request.signal?.addEventListener("abort", cancel, { once: true });
  const dueAt = (): number => Math.min(heardAt + silenceMs, startedAt + longestMs);
  const run = async (): Promise<void> => {
    while (clock.now() < dueAt()) await clock.sleep(Math.max(1, nextCheck()), controller.signal);
    const seconds = Math.round((clock.now() - heardAt) / 1000);
    const message = `cannot ${request.what}: the watch went silent for ${seconds} s or did not end in time`;
    controller.abort(new SignetError("UNAVAILABLE", message, { details: { reason: "Silent" } }));
  };
  // Wakes at least once per bookmark interval, so that a lowered limit counts soon.
  const nextCheck = (): number => Math.min(dueAt() - clock.now(), SILENCE_AFTER_BOOKMARK_MS / 2);
  run().catch(() => undefined);
  return {
    signal: controller.signal,
    heard(type) {
      heardAt = clock.now();
      if (type === "BOOKMARK") silenceMs = Math.min(silenceMs, SILENCE_AFTER_BOOKMARK_MS);
    },
    broke: (error) =>
      isSignetError(controller.signal.reason) && isSignetError(error, "CANCELLED")
        ? controller.signal.reason
        : error,
    stop() {
      request.signal?.removeEventListener("abort", cancel);
      controller.abort();
    },
  };
}

function parseEvent<T extends KubeObject>(line: string, what: string): WatchEvent<T> {
  let event: { type?: unknown; object?: { metadata?: { resourceVersion?: unknown } } & Status };
  try {
    event = JSON.parse(line) as typeof event;
  } catch (error) {
    throw malformed(what, `a line of ${line.length} characters that is not JSON`, error);
  }
  const { type, object } = event;
  if (type === "ERROR") throw statusError(what, object ?? {});
  const known =
    type === "ADDED" || type === "MODIFIED" || type === "DELETED" || type === "BOOKMARK";
  if (!known || typeof object?.metadata?.resourceVersion !== "string") {
    throw malformed(what, `an event of type ${JSON.stringify(type)} that it cannot mean`);
  }
  return event as WatchEvent<T>;
}

function malformed(what: string, problem: string, cause?: unknown): SignetError {
  return new SignetError("MALFORMED", `cannot ${what}: the API server sent ${problem}`, { cause });
}

function brokenLine(what: string, bytes: number): SignetError {
  return new SignetError(
    "UNAVAILABLE",
    `cannot ${what}: the stream ended ${bytes} bytes into an event`,
    { details: { reason: "Truncated" } },
  );
}
