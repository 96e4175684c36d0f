import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { IdentitySink, Volume, WorkloadIdentity } from "../csi/ports.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import type { Issuing } from "./issuing.ts";
import { caughtUp, nodeState } from "./node-state.ts";
import type { NodeState, Tracked } from "./node-state.ts";
import { renewer } from "./renewer.ts";
import { dueLoop } from "./run-due.ts";
import { adopted, expiry, scheduled, withBundle, withEntries } from "./workload.ts";
import type { EntryRef, Workload } from "./workload.ts";

export interface WorkloadsOptions {
  readonly issuing: Pick<Issuing, "renew">;
  readonly sink: () => IdentitySink;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** What the workloads of a node look like from outside; times in milliseconds since the epoch. */
export interface WorkloadsSummary {
  readonly volumes: number;
  /** Volumes that show no SVID yet. */
  readonly waiting: number;
  /** Volumes whose pod has no identity any more. */
  readonly withoutIdentity: number;
  /** Volumes whose last renewal failed or was refused. */
  readonly failing: number;
  /** When the volume that waits longest was last renewed or taken over. */
  readonly oldestRenewal: number | undefined;
  /** When the first SVID of all expires. */
  readonly earliestExpiry: number | undefined;
}

/** The volumes of this node that hold or await an identity. */
export interface Workloads {
  /** As `IdentitySource.adopt`. */
  adopt(volume: Volume, current: WorkloadIdentity | undefined): void;
  /** As `IdentitySource.forget`. */
  forget(volumeId: string): void;
  /** A new session with the operator begins: until `synced` it says the state of the whole node anew. */
  beginSession(): void;
  /** The entries that apply to a pod now. */
  setEntries(podUid: string, entries: readonly EntryRef[]): void;
  /** Every pod with entries was named since the session began. */
  synced(): void;
  /** The trust bundle from now on. */
  setBundle(bundle: Bundle): void;
  /** The bundle that was set last. */
  bundle(): Bundle | undefined;
  /** Renews and rewrites what is due, until the signal aborts and the last write is over. */
  run(signal: AbortSignal): Promise<void>;
  summary(): WorkloadsSummary;
}

/** Keeps the identities of volumes fresh. A failure never removes anything from a volume. */
export function workloads(options: WorkloadsOptions): Workloads {
  const { clock, random } = options;
  const state = nodeState({ ...options, onChange: () => loop.wake() });
  const work = renewer({ ...options, state });
  const loop = dueLoop<Tracked>({
    clock,
    waiting: () =>
      [...state.tracked.values()]
        .filter((item) => !item.running)
        .map((item) => ({ item, ...scheduled(item.workload) })),
    async work(item, signal) {
      item.running = true;
      await work(item, signal);
      item.running = false;
    },
  });
  return {
    ...reactions(state),
    adopt(volume, current) {
      const at = { now: clock.now(), random, wanted: state.entries.of(volume.pod.uid) };
      const item = { workload: adopted(volume, current, at), running: false };
      state.tracked.set(volume.id, item);
      state.change([item], caughtUp(state.bundle));
    },
    forget: (volumeId) => void state.tracked.delete(volumeId),
    bundle: () => state.bundle,
    run: (signal) => loop.run(signal),
    summary: () => summarize([...state.tracked.values()].map(({ workload }) => workload)),
  };
}

type Reactions = Pick<Workloads, "beginSession" | "setEntries" | "synced" | "setBundle">;

function reactions(state: NodeState): Reactions {
  const items = (): Tracked[] => [...state.tracked.values()];
  return {
    beginSession: () => state.entries.beginSession(),
    setEntries(podUid, entries) {
      const wanted = state.entries.set(podUid, entries);
      const ofPod = items().filter((item) => podUidOf(item) === podUid);
      state.change(ofPod, (workload, at) => withEntries(workload, wanted, at));
    },
    synced() {
      state.entries.synced();
      const unnamed = items().filter((item) => !state.entries.of(podUidOf(item)));
      state.change(unnamed, (workload, at) => withEntries(workload, "", at));
    },
    setBundle(bundle) {
      state.bundle = bundle;
      state.change(items(), (workload, at) => withBundle(workload, bundle, at));
    },
  };
}

function podUidOf({ workload }: Tracked): string {
  return workload.volume.pod.uid;
}

function summarize(all: readonly Workload[]): WorkloadsSummary {
  const count = (matches: (workload: Workload) => boolean): number => all.filter(matches).length;
  const held = all.filter((workload) => workload.held);
  return {
    volumes: all.length,
    waiting: all.length - held.length,
    withoutIdentity: count(({ trouble }) => trouble === "no-identity"),
    failing: count(({ trouble }) => trouble === "failing" || trouble === "denied"),
    oldestRenewal: least(held.map(({ refreshedAt }) => refreshedAt)),
    earliestExpiry: least(held.map((workload) => expiry(workload))),
  };
}

function least(times: readonly number[]): number | undefined {
  return times.length === 0 ? undefined : times.reduce((a, b) => Math.min(a, b));
}
