import { backoffDelay } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { errorMessage } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { NodeUpdate } from "../rpc/gen/signet/agent/v1/agent_pb.js";

const RECONNECT = { initialMs: 100, maxMs: 2000, jitter: 0.5 };

/** Told what happens on the sessions with the operator, one after the other. */
export interface SessionHandler {
  /** Before the first update of a session. */
  begin(): void;
  update(update: NodeUpdate): void;
  /** After the last update of a session that began. */
  end(): void;
}

export interface WatchLoopOptions {
  readonly open: (signal: AbortSignal) => AsyncIterable<NodeUpdate>;
  readonly handler: SessionHandler;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** Holds a session with the operator, and opens the next one when it broke, until the signal aborts. */
export async function watchLoop(options: WatchLoopOptions, signal: AbortSignal): Promise<void> {
  const { clock, random, log } = options;
  for (let attempt = 0; !signal.aborted; attempt++) {
    const session = { updates: 0 };
    try {
      await runSession(options, session, signal);
      log.info({}, "operator ended the session");
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ error: errorMessage(error), attempt }, "no session with the operator");
    }
    if (session.updates > 0) attempt = 0;
    await clock.sleep(backoffDelay(attempt, RECONNECT, random), signal).catch(() => undefined);
  }
}

async function runSession(
  { open, handler }: WatchLoopOptions,
  session: { updates: number },
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const update of open(signal)) {
      if (session.updates++ === 0) handler.begin();
      handler.update(update);
    }
  } finally {
    if (session.updates > 0) handler.end();
  }
}
