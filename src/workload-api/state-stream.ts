import type { EncodedMessage } from "../rpc/service.ts";
import type { SendOptions } from "../rpc/server.ts";
import { entitled } from "./entitlement.ts";
import type { Encode } from "./messages.ts";
import type { WorkloadSource, WorkloadState } from "./ports.ts";

export interface StateStream {
  readonly source: WorkloadSource;
  readonly encode: Encode;
  readonly send: (message: EncodedMessage, options: SendOptions) => Promise<void>;
  /** Ends the stream. */
  readonly signal: AbortSignal;
}

/**
 * Tells a caller the state at once, and the whole of it again whenever its message differs from the last one.
 * One message is on its way at most: a reader that is slow misses states in between and gets the newest.
 * Ends only by an error: the signal's reason, or what `entitled` throws, also for a state that comes later.
 */
export async function streamStates({ source, encode, send, signal }: StateStream): Promise<never> {
  const changes = followChanges(source, signal);
  let sent: EncodedMessage | undefined;
  try {
    for (;;) {
      const change = changes.next();
      signal.throwIfAborted();
      const message = nextMessage(source.current(), encode, sent);
      if (message !== undefined) {
        await send(message, { untilFlushed: true });
        sent = message;
      }
      await change;
    }
  } finally {
    changes.stop();
  }
}

/** The message for a state, unless it was sent already. Who was told an identity keeps it until it is known to be gone. */
function nextMessage(
  state: WorkloadState,
  encode: Encode,
  sent: EncodedMessage | undefined,
): EncodedMessage | undefined {
  if (sent !== undefined && state.status === "unknown") return undefined;
  const message = encode(entitled(state));
  return sent?.bytes.equals(message.bytes) === true ? undefined : message;
}

interface Changes {
  /** Resolves at the first change after this call, or when the signal aborts. */
  next(): Promise<void>;
  stop(): void;
}

function followChanges(source: WorkloadSource, signal: AbortSignal): Changes {
  let pending = Promise.withResolvers<void>();
  const onChange = (): void => pending.resolve();
  const unsubscribe = source.subscribe(onChange);
  signal.addEventListener("abort", onChange);
  return {
    next() {
      pending = Promise.withResolvers();
      return pending.promise;
    },
    stop() {
      unsubscribe();
      signal.removeEventListener("abort", onChange);
    },
  };
}
