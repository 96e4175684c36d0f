import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { AgentEvent } from "./events.ts";
import type { Issuing } from "./issuing.ts";
import { caughtUp, volumeNames } from "./node-state.ts";
import type { NodeState, Tracked } from "./node-state.ts";
import { renewalTimeout } from "./schedule.ts";
import { expiry, failed, renewed, withoutEntries } from "./workload.ts";
import type { Moment, Workload } from "./workload.ts";

export interface RenewerOptions {
  readonly state: NodeState;
  readonly issuing: Pick<Issuing, "renew">;
  readonly clock: Clock;
  readonly log: Log;
  readonly count: (event: AgentEvent) => void;
}

/** Does what is due for one volume. Never throws: what fails is noted in the state and tried again. */
export type Worker = (item: Tracked, signal: AbortSignal) => Promise<void>;

/** Makes what renews the SVIDs of a volume; writing them is another's work. */
export function renewer({ state, issuing, clock, log, count }: RenewerOptions): Worker {
  return async (item, signal) => {
    const { volume, held: before } = item.workload;
    const { uid } = volume.pod;
    const asked = state.entries.of(uid);
    const now = clock.now();
    const deadline = now + renewalTimeout(expiry(item.workload) - now);
    try {
      const held = await issuing.renew(volume, { deadline, signal, withTokens: !before });
      if (signal.aborted || !state.holds(item)) return;
      count("renewed");
      const wanted = state.entries.of(uid);
      const catchUp = caughtUp(state.trust);
      state.change([item], (workload, at) =>
        catchUp(renewed(workload, held, { ...at, wanted, asked }), at),
      );
      const { notAfter } = held.svids[0] ?? {};
      log.debug({ ...volumeNames(item), spiffeId: held.svids[0]?.spiffeId, notAfter }, "renewed");
    } catch (error) {
      if (signal.aborted || !state.holds(item)) return;
      count("renewal-failed");
      log.warn({ ...volumeNames(item), error: errorMessage(error) }, "renewal failed; files stay");
      state.change([item], (workload, at) => afterFailure(workload, { ...at, error, state }));
    }
  };
}

interface Failure extends Moment {
  readonly error: unknown;
  readonly state: NodeState;
}

function afterFailure(workload: Workload, { error, state, ...at }: Failure): Workload {
  const wanted = state.entries.of(workload.volume.pod.uid);
  if (isSignetError(error, "NO_IDENTITY") && !wanted) {
    // Only a node's whole state is proof: a replica that has just begun may not know the pod yet.
    return withoutEntries(workload, { now: at.now, gone: state.entries.isSynced });
  }
  const isRefusal = isSignetError(error, "POD_GONE", "PERMISSION_DENIED");
  return failed(workload, isRefusal ? "denied" : "failing", at);
}
