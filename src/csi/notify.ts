import { request } from "node:http";
import { isIP } from "node:net";
import type { NotifyTarget } from "../api/volume-attributes/scalars.ts";
import { backoffDelay } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { errorMessage } from "../core/errors.ts";
import type { Log } from "../core/log.ts";

/** One rotation that a pod wants to hear of. */
export interface Notification {
  readonly volumeId: string;
  /** For the log. */
  readonly pod: string;
  readonly target: NotifyTarget;
  /** The pod's address at the time of each try; undefined before there is one. */
  readonly address: () => string | undefined;
}

/** Tells pods that their files have changed. */
export interface Notifier {
  /** Begins to tell the pod and returns at once; what it was to be told before is let go. Never throws. */
  notify(notification: Notification): void;
  /** Lets go what a volume's pod was to be told. */
  forget(volumeId: string): void;
  /** Lets everything go. */
  stop(): void;
}

export interface NotifierOptions {
  readonly clock: Clock;
  readonly log: Log;
}

const TIMEOUT_MS = 2000;
const TRIES = 4;
const BACKOFF = { initialMs: 1000, maxMs: 10_000, jitter: 0 };
/** A node's pods that all hang must not take the agent's sockets. */
const MOST_AT_ONCE = 8;

/**
 * Makes a notifier: each notification is a POST without a body to the pod's own address, which any status of the
 * 200s answers; other answers, none within two seconds and no connection are tried again three times, after one,
 * two and four seconds. Redirects are not followed, the answer's body is not read, and failures are only logged.
 */
export function createNotifier({ clock, log }: NotifierOptions): Notifier {
  const waiting = new Map<string, AbortController>();
  const lanes = createLanes(MOST_AT_ONCE);
  const forget = (volumeId: string): void => {
    waiting.get(volumeId)?.abort();
    waiting.delete(volumeId);
  };
  return {
    notify(notification) {
      const { volumeId: volume, pod } = notification;
      forget(volume);
      const stop = new AbortController();
      waiting.set(volume, stop);
      tell(notification, { clock, lanes, signal: stop.signal })
        .catch((error: unknown) => {
          if (stop.signal.aborted) return;
          log.warn(
            { volume, pod, error: errorMessage(error) },
            "pod was not told of its new files; they are in place",
          );
        })
        .finally(() => {
          if (waiting.get(volume) === stop) waiting.delete(volume);
        });
    },
    forget,
    stop() {
      for (const volumeId of waiting.keys()) forget(volumeId);
    },
  };
}

interface TellContext {
  readonly clock: Clock;
  readonly lanes: Lanes;
  readonly signal: AbortSignal;
}

async function tell(notification: Notification, context: TellContext): Promise<void> {
  const { clock, lanes, signal } = context;
  for (let attempt = 0; ; attempt++) {
    try {
      return await lanes(() => post(notification, context));
    } catch (error) {
      if (signal.aborted || attempt + 1 >= TRIES) throw error;
    }
    await clock.sleep(backoffDelay(attempt, BACKOFF, Math.random), signal);
  }
}

async function post(
  { target, address }: Notification,
  { clock, signal }: TellContext,
): Promise<void> {
  signal.throwIfAborted();
  const host = address();
  if (host === undefined || isIP(host) === 0) throw new Error("pod has no address yet");
  const over = new AbortController();
  const timeout = clock.sleep(TIMEOUT_MS, over.signal).then(
    () => over.abort(new Error(`no answer within ${TIMEOUT_MS} ms`)),
    () => undefined,
  );
  try {
    const status = await send(host, target, AbortSignal.any([signal, over.signal]));
    if (status < 200 || status > 299) throw new Error(`answer has the status ${status}`);
  } finally {
    over.abort();
    await timeout;
  }
}

/** Sends the request and gives the answer's status; the connection is closed as soon as that is there. */
function send(host: string, { port, path }: NotifyTarget, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { "content-length": 0, "user-agent": "signet-agent" };
    const options = { host, port, path, method: "POST", headers, agent: false, signal } as const;
    const sent = request(options, (response) => {
      resolve(response.statusCode ?? 0);
      response.destroy();
    });
    sent.on("error", (error) => reject((signal.aborted ? signal.reason : error) as Error));
    sent.end();
  });
}

type Lanes = <T>(run: () => Promise<T>) => Promise<T>;

/** Runs at most `width` tasks at once, the others in their order. */
function createLanes(width: number): Lanes {
  let free = width;
  const queue: (() => void)[] = [];
  return async (run) => {
    if (free > 0) free--;
    else await new Promise<void>((resolve) => queue.push(resolve));
    try {
      return await run();
    } finally {
      const next = queue.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}
