import type { Clock } from "../core/clock.ts";
import { SignetError } from "../core/errors.ts";
import { TokenBucket } from "../kube/token-bucket.ts";
import type { CallContext } from "../rpc/server.ts";

/** What the callers of one socket may do together. */
export interface CallLimits {
  /** Calls that are open at one moment; a stream is open until it ends. */
  readonly openCalls: number;
  /** New calls a second, on average. */
  readonly callsPerSecond: number;
  /** New calls at once, after a quiet time. */
  readonly callBurst: number;
}

/** Keeps the calls of one socket within their limits, and ends them when the socket closes. */
export interface CallGate {
  /** How many calls are open. */
  readonly open: number;
  /**
   * Counts a new call. Throws RESOURCE_EXHAUSTED when callers are too quick, and takes its time for that: a caller
   * that tries again at once would otherwise be refused as fast as the node can.
   */
  admit(context: CallContext): Promise<void>;
  /**
   * Runs a call until `work` ends, the caller goes or the gate closes; the signal aborts in the latter two cases.
   * Throws RESOURCE_EXHAUSTED when too many are open, and the reason after `close`.
   */
  run<T>(context: CallContext, work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Ends every open call with `reason`, and all that come later. */
  close(reason: SignetError): void;
}

/** How long a refused call is kept waiting. */
const REFUSAL_MS = 100;

/** Makes an open gate. */
export function callGate(limits: CallLimits, clock: Clock): CallGate {
  const { callBurst: burst, callsPerSecond } = limits;
  const bucket = new TokenBucket({ burst, refillMs: 1000 / callsPerSecond }, clock.now());
  const open = new Set<(reason: SignetError) => void>();
  let closed: SignetError | undefined;
  const gate: CallGate = {
    get open() {
      return open.size;
    },
    async admit(context) {
      if (bucket.take(clock.now()) === 0) return;
      await gate.run(context, (signal) => clock.sleep(REFUSAL_MS, signal));
      throw exhausted(`no more than ${callsPerSecond} calls a second are answered on this socket`);
    },
    async run(context, work) {
      if (closed !== undefined) throw closed;
      if (open.size >= limits.openCalls) {
        throw exhausted(`no more than ${limits.openCalls} calls may be open on this socket`);
      }
      const ended = new AbortController();
      const interrupted = Promise.withResolvers<never>();
      const interrupt = (reason: SignetError): void => {
        interrupted.reject(reason);
        ended.abort(reason);
      };
      // A source that does not answer must not hold the place of a caller who has gone.
      const leave = (): void => interrupt(new SignetError("CANCELLED", "the caller has gone"));
      open.add(interrupt);
      context.signal.addEventListener("abort", leave, { once: true });
      try {
        return await Promise.race([work(ended.signal), interrupted.promise]);
      } finally {
        open.delete(interrupt);
        context.signal.removeEventListener("abort", leave);
      }
    },
    close(reason) {
      closed ??= reason;
      for (const interrupt of open) interrupt(closed);
    },
  };
  return gate;
}

function exhausted(message: string): SignetError {
  return new SignetError("RESOURCE_EXHAUSTED", message);
}
