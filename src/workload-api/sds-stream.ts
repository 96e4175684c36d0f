import type { SendOptions } from "../rpc/server.ts";
import { entitled } from "./entitlement.ts";
import type { EntitledState, WorkloadSource, WorkloadState } from "./ports.ts";

/** One side of a conversation: what is asked, and what there is to tell of a state. */
export interface Dialogue<Request, Response> {
  /** Throws INVALID_ARGUMENT. */
  take(request: Request): void;
  /** Undefined while nothing was asked or there is nothing new. Throws INVALID_ARGUMENT. */
  answer(state: EntitledState): Response | undefined;
}

export interface DiscoveryStream<Request, Response> {
  readonly requests: AsyncIterable<Request>;
  readonly send: (message: Response, options: SendOptions) => Promise<void>;
  readonly dialogue: Dialogue<Request, Response>;
  readonly source: WorkloadSource;
  /** Passes or refuses each request. */
  readonly admit: () => Promise<void>;
  /** Ends the stream. */
  readonly signal: AbortSignal;
}

/**
 * Answers requests, and tells changes at once. One response is on its way at most: a reader that is slow misses states
 * in between and gets the newest. Ends when the caller has no more requests, and by an error: the signal's reason,
 * what `admit` and the dialogue throw, or PERMISSION_DENIED as soon as it is known that there is no identity.
 */
export async function streamSecrets<Request, Response>({
  requests,
  send,
  dialogue,
  source,
  admit,
  signal,
}: DiscoveryStream<Request, Response>): Promise<void> {
  const events = followEvents(requests, source, signal);
  try {
    for (;;) {
      const event = events.next();
      signal.throwIfAborted();
      const response = newest(source.current(), dialogue);
      if (response !== undefined) await send(response, { untilFlushed: true });
      await event;
      const arrived = events.arrived();
      if (arrived?.done === true) return;
      if (arrived === undefined) continue;
      await admit();
      dialogue.take(arrived.value);
    }
  } finally {
    events.stop();
  }
}

/** While nothing is known there is nothing to tell: who waits for secrets gets them as soon as it is. */
function newest<Response>(
  state: WorkloadState,
  dialogue: Dialogue<never, Response>,
): Response | undefined {
  return state.status === "unknown" ? undefined : dialogue.answer(entitled(state));
}

interface Events<Request> {
  /** Resolves at the first change after this call, or when a request or the signal's end is there. */
  next(): Promise<void>;
  /** The request that has come, if one has; the next is read after that. Throws when requests cannot be read. */
  arrived(): IteratorResult<Request, unknown> | undefined;
  stop(): void;
}

function followEvents<Request>(
  requests: AsyncIterable<Request>,
  source: WorkloadSource,
  signal: AbortSignal,
): Events<Request> {
  const reader = requests[Symbol.asyncIterator]();
  let pending = Promise.withResolvers<void>();
  let request: IteratorResult<Request, unknown> | undefined;
  let failure: { readonly error: unknown } | undefined;
  const wake = (): void => pending.resolve();
  const read = (): void => {
    reader.next().then(
      (result) => {
        request = result;
        wake();
      },
      (error: unknown) => {
        failure = { error };
        wake();
      },
    );
  };
  const unsubscribe = source.subscribe(wake);
  signal.addEventListener("abort", wake);
  read();
  return {
    next() {
      pending = Promise.withResolvers();
      if (request !== undefined || failure !== undefined) wake();
      return pending.promise;
    },
    arrived() {
      if (failure !== undefined) throw failure.error;
      const result = request;
      request = undefined;
      if (result !== undefined && result.done !== true) read();
      return result;
    },
    stop() {
      unsubscribe();
      signal.removeEventListener("abort", wake);
    },
  };
}
