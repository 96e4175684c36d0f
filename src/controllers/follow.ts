import type { Clock } from "../core/clock.ts";
import type { Live } from "../core/live.ts";

export interface FollowOptions {
  readonly clock: Clock;
  /** Also acts this often although nothing changed, in milliseconds. */
  readonly everyMs: number;
  readonly signal: AbortSignal;
}

const RETRY_MS = 1000;

/**
 * Acts on a live value now, on each change and every so often, one at a time, until the signal aborts.
 * `act` tells whether it worked; what did not is tried again after a second.
 */
export async function followLive<T>(
  value: Live<T>,
  { clock, everyMs, signal }: FollowOptions,
  act: (value: T) => Promise<boolean>,
): Promise<void> {
  let changed = new AbortController();
  const unsubscribe = value.subscribe(() => changed.abort());
  try {
    while (!signal.aborted) {
      changed = new AbortController();
      const pause = (await act(value.get())) ? everyMs : RETRY_MS;
      await clock.sleep(pause, AbortSignal.any([signal, changed.signal])).catch(() => undefined);
    }
  } finally {
    unsubscribe();
  }
}
