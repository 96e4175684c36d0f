import { isSignetError, SignetError, toSignetError } from "../core/errors.ts";
import type { EntitledState, WorkloadState } from "./ports.ts";

/** The state of a workload that has identities. Throws PERMISSION_DENIED for one without, UNAVAILABLE when nobody knows. */
export function entitled(state: WorkloadState): EntitledState {
  if (state.status === "none" || (state.status === "entitled" && state.svids.length === 0)) {
    throw noIdentity();
  }
  if (state.status === "unknown") {
    throw new SignetError("UNAVAILABLE", "it is not known yet which identities there are");
  }
  return state;
}

/** What a workload without identity is told, in SPIRE's words. */
export function noIdentity(): SignetError {
  return new SignetError("PERMISSION_DENIED", "no identity issued");
}

/**
 * A failure of getting tokens as the workload is told it: clients give up on some codes, so only what the
 * workload itself can mend and what is really gone keeps its code; the rest is UNAVAILABLE, to be tried again.
 */
export function toldFailure(error: unknown): SignetError {
  if (isSignetError(error, "NO_IDENTITY", "POD_GONE", "NOT_FOUND", "PERMISSION_DENIED")) {
    return noIdentity();
  }
  if (isSignetError(error, "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "UNAVAILABLE")) return error;
  const { code, message } = toSignetError(error);
  if (code === "INTERNAL" || code === "SYSTEM") return toSignetError(error);
  return new SignetError("UNAVAILABLE", message, { cause: error });
}
