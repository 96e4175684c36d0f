import { SignetError } from "../core/errors.ts";

export interface DeadlineOptions {
  /** What is being done, for the errors. */
  readonly what: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Aborts on the caller's signal (CANCELLED) or when time is up (UNAVAILABLE), until disposed. */
export interface Deadline extends Disposable {
  /** Its reason is always a SignetError. */
  readonly signal: AbortSignal;
  /** Takes the time limit away; from now on only the caller's signal counts. */
  lift(): void;
}

/** Starts the time of one request. */
export function startDeadline(options: DeadlineOptions): Deadline {
  const { what, timeoutMs, signal } = options;
  const controller = new AbortController();
  const late = setTimeout(() => {
    const message = `cannot ${what}: no answer within ${timeoutMs} ms`;
    controller.abort(new SignetError("UNAVAILABLE", message, { details: { reason: "Timeout" } }));
  }, timeoutMs);
  const cancel = (): void => {
    const message = `cannot ${what}: cancelled`;
    controller.abort(new SignetError("CANCELLED", message, { cause: signal?.reason }));
  };
  if (signal?.aborted) cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  return {
    signal: controller.signal,
    lift: () => clearTimeout(late),
    [Symbol.dispose]() {
      clearTimeout(late);
      signal?.removeEventListener("abort", cancel);
    },
  };
}
