import { unlessAborted } from "../core/abort.ts";
import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { IdentitySource, WorkloadIdentity } from "./ports.ts";
import type { VolumeSpec } from "./request.ts";

/** How long one publish may take. */
export interface PublishCall {
  /** Milliseconds since the epoch: the latest moment to answer. */
  readonly deadline: number;
  /** Aborts when kubelet no longer waits for the answer. */
  readonly signal: AbortSignal;
}

/** Longest time that a pod's start, or kubelet's sync of a running pod, is held up for an optional answer. */
const BRIEF_MS = 5000;

export interface AttestInput {
  readonly volume: VolumeSpec;
  readonly podToken: string;
  /** `full`: until there is an identity or the deadline is over; `brief`: what can be had now. */
  readonly wait: "full" | "brief";
}

interface AttestDeps {
  readonly identities: () => IdentitySource;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Gets the identity that a volume is published with; undefined when the volume is optional and there is none
 * now. Throws what IdentitySource.attest throws, or the signal's reason.
 */
export async function attestVolume(
  { identities, clock, log }: AttestDeps,
  { volume, podToken, wait }: AttestInput,
  { deadline, signal }: PublishCall,
): Promise<WorkloadIdentity | undefined> {
  if (signal.aborted) throw abortError(signal);
  const noWait = wait === "brief";
  try {
    const until = noWait ? Math.min(deadline, clock.now() + BRIEF_MS) : deadline;
    const answer = identities().attest(volume, podToken, { deadline: until, noWait, signal });
    return await unlessAborted(answer, signal, () => abortError(signal));
  } catch (error) {
    // Why the wait was ended says more than how the source took it.
    if (signal.aborted) throw abortError(signal);
    if (volume.optional && isSignetError(error, ...NOT_NOW)) {
      log.info(
        { volume: volume.id, pod: volume.pod.name, reason: errorMessage(error) },
        "pod starts without an identity",
      );
      return undefined;
    }
    throw error;
  }
}

const NOT_NOW = ["NO_IDENTITY", "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"] as const;

/** Why a signal aborted, as an error of ours. */
export function abortError({ reason }: AbortSignal): SignetError {
  if (isSignetError(reason)) return reason;
  return new SignetError("CANCELLED", "the caller no longer waits", { cause: reason });
}
