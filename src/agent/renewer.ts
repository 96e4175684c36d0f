import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { IdentitySink, WorkloadIdentity } from "../csi/ports.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import type { Issuing } from "./issuing.ts";
import { caughtUp, volumeNames } from "./node-state.ts";
import type { NodeState, Tracked } from "./node-state.ts";
import { REWRITE_RETRY_MS, renewalTimeout } from "./schedule.ts";
import { expiry, failed, renewed, withBundle, withEntries } from "./workload.ts";
import type { Moment, Wanted, Workload } from "./workload.ts";

export interface RenewerOptions {
  readonly state: NodeState;
  readonly issuing: Pick<Issuing, "renew">;
  readonly sink: () => IdentitySink;
  readonly clock: Clock;
  readonly log: Log;
}

/** Does what is due for one volume. Never throws: what fails is noted in the state and tried again. */
export type Renewer = (item: Tracked, signal: AbortSignal) => Promise<void>;

/** Makes the renewer of a node: a rewrite with a changed bundle goes before a renewal. */
export function renewer(options: RenewerOptions): Renewer {
  return async (item, signal) => {
    const { rewriteAt, held } = item.workload;
    const { bundle } = options.state;
    if (held && bundle && rewriteAt <= options.clock.now()) {
      await rewrite(item, { ...held, bundle }, options);
    } else {
      await renew(item, signal, options);
    }
  };
}

async function rewrite(
  item: Tracked,
  identity: WorkloadIdentity,
  { state, sink, log, clock }: RenewerOptions,
): Promise<void> {
  try {
    state.change([item], (workload) => ({ ...workload, rewriteAt: Infinity }));
    if (!(await write(item, identity, { state, sink }))) return;
    state.change([item], (workload) => ({ ...workload, held: identity }));
    state.change([item], withCurrent(state.bundle));
  } catch (error) {
    log.warn({ ...volumeNames(item), error: errorMessage(error) }, "bundle could not be written");
    const rewriteAt = clock.now() + REWRITE_RETRY_MS;
    state.change([item], (workload) => ({ ...workload, rewriteAt }));
  }
}

/** Another bundle may have come while one was written. */
function withCurrent(bundle: Bundle | undefined) {
  return (workload: Workload, moment: Moment): Workload =>
    bundle ? withBundle(workload, bundle, moment) : workload;
}

async function renew(
  item: Tracked,
  signal: AbortSignal,
  { state, issuing, sink, clock, log }: RenewerOptions,
): Promise<void> {
  const { uid } = item.workload.volume.pod;
  const asked = state.entries.of(uid);
  const now = clock.now();
  const deadline = now + renewalTimeout(expiry(item.workload) - now);
  try {
    const held = await issuing.renew(uid, { deadline, signal });
    if (!state.holds(item) || !(await write(item, held, { state, sink }))) return;
    const wanted = state.entries.of(uid);
    state.change([item], (workload, at) => renewed(workload, held, { ...at, wanted, asked }));
    state.change([item], caughtUp(state.bundle));
    const { notAfter } = held.svids[0] ?? {};
    log.debug({ ...volumeNames(item), spiffeId: held.svids[0]?.spiffeId, notAfter }, "renewed");
  } catch (error) {
    if (signal.aborted || !state.holds(item)) return;
    log.warn({ ...volumeNames(item), error: errorMessage(error) }, "renewal failed; files stay");
    const wanted = state.entries.of(uid);
    state.change([item], (workload, at) => afterFailure(workload, { ...at, error, wanted }));
  }
}

interface Failure extends Moment {
  readonly error: unknown;
  readonly wanted: Wanted;
}

function afterFailure(workload: Workload, { error, wanted, ...at }: Failure): Workload {
  if (isSignetError(error, "NO_IDENTITY") && !wanted) return withEntries(workload, "", at);
  const isRefusal = isSignetError(error, "POD_GONE", "PERMISSION_DENIED");
  return failed(workload, isRefusal ? "denied" : "failing", at);
}

/** Writes; tells whether the volume is still there afterwards, and forgets one that is gone. */
async function write(
  item: Tracked,
  identity: WorkloadIdentity,
  { state, sink }: Pick<RenewerOptions, "state" | "sink">,
): Promise<boolean> {
  const { id } = item.workload.volume;
  try {
    await sink().write(id, identity);
  } catch (error) {
    if (!isSignetError(error, "NOT_FOUND")) throw error;
    if (state.holds(item)) state.tracked.delete(id);
  }
  return state.holds(item);
}
