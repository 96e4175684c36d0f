import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { AgentEvent } from "./events.ts";
import type { Issuing } from "./issuing.ts";
import { volumeNames } from "./node-state.ts";
import type { NodeState } from "./node-state.ts";
import type { Worker } from "./renewer.ts";
import { renewalTimeout } from "./schedule.ts";
import { tokensExpiry } from "./token-schedule.ts";
import { withTokens } from "./workload-tokens.ts";

export interface TokenRenewerOptions {
  readonly state: NodeState;
  readonly issuing: Pick<Issuing, "fileTokens">;
  readonly clock: Clock;
  readonly log: Log;
  readonly count: (event: AgentEvent) => void;
}

/** Makes what renews the tokens of a volume; SVIDs are renewed beside it, whatever comes of this. */
export function tokenRenewer({ state, issuing, clock, log, count }: TokenRenewerOptions): Worker {
  return async (item, signal) => {
    const { volume, held } = item.workload;
    if (!held) return;
    const now = clock.now();
    const deadline = now + renewalTimeout(tokensExpiry(held.tokens) - now);
    const { tokens, error } = await issuing.fileTokens(volume, held, { deadline, signal });
    if (signal.aborted || !state.holds(item)) return;
    // Another identity came meanwhile: its own tokens are due already.
    if (item.workload.held?.svids[0]?.spiffeId !== held.svids[0]?.spiffeId) return;
    count(error === undefined ? "tokens-renewed" : "tokens-failed");
    if (error !== undefined) {
      const fields = { ...volumeNames(item), error: errorMessage(error) };
      log.warn(fields, "tokens were not renewed; the old ones stay");
    }
    const failure = error === undefined ? undefined : kindOf(error);
    state.change([item], (workload, at) => withTokens(workload, { tokens, failure }, at));
  };
}

function kindOf(error: unknown): "failing" | "denied" {
  return isSignetError(error, "POD_GONE", "PERMISSION_DENIED") ? "denied" : "failing";
}
