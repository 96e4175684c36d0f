import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { IdentitySink, Volume, WorkloadIdentity } from "../csi/ports.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import type { AgentEvent } from "./events.ts";
import { fileWriter } from "./file-writer.ts";
import type { Issuing } from "./issuing.ts";
import { caughtUp, nodeState } from "./node-state.ts";
import type { NodeState, Tracked, Work } from "./node-state.ts";
import { renewer } from "./renewer.ts";
import type { Worker } from "./renewer.ts";
import { dueLoop } from "./run-due.ts";
import type { DueLoop } from "./run-due.ts";
import type { Scheduled } from "./schedule.ts";
import { tokenRenewer } from "./token-renewer.ts";
import { scheduledTokens } from "./workload-tokens.ts";
import { scheduledWrite } from "./workload-files.ts";
import { summarize } from "./workload-summary.ts";
import type { WorkloadsSummary } from "./workload-summary.ts";
import {
  adopted,
  scheduled,
  withBundle,
  withEntries,
  withForeign,
  withoutEntries,
} from "./workload.ts";
import type { EntryRef, Wanted, Workload } from "./workload.ts";

export interface WorkloadsOptions {
  readonly issuing: Pick<Issuing, "renew" | "fileTokens">;
  readonly sink: () => IdentitySink;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** Told after every change, with the volumes that it touched. */
  readonly onChange: (volumeIds: readonly string[]) => void;
  /** The last volume of a pod went, or the pod lost its identity. */
  readonly onPodLeft: (podUid: string) => void;
  readonly count: (event: AgentEvent) => void;
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
  /** Every pod with entries and every foreign bundle was named since the session began. */
  synced(): void;
  /** The trust bundle from now on. */
  setBundle(bundle: Bundle): void;
  /** The bundle of a foreign trust domain from now on. Throws RESOURCE_EXHAUSTED when there are too many. */
  setForeignBundle(bundle: Bundle): void;
  /** The foreign bundle that is known stays, though its newest form cannot be used. */
  keepForeignBundle(trustDomain: string): void;
  /** A foreign bundle is no longer known. */
  dropForeignBundle(trustDomain: string): void;
  /** The bundle that was set last. */
  bundle(): Bundle | undefined;
  /** A volume as it is looked after now. */
  get(volumeId: string): Workload | undefined;
  /** The entries of a pod as they are known now. */
  wantedOf(podUid: string): Wanted;
  /** Renews and writes what is due, until the signal aborts and the last write is over. */
  run(signal: AbortSignal): Promise<void>;
  summary(): WorkloadsSummary;
}

/** Keeps the identities of volumes fresh. A failure never removes anything from a volume. */
export function workloads(options: WorkloadsOptions): Workloads {
  const { clock, random, onChange } = options;
  const state = nodeState({
    ...options,
    onChange(volumeIds) {
      onChange(volumeIds);
      for (const loop of loops) loop.wake();
    },
  });
  // Each kind of work has its own loop: calls that hang must not hold up what needs no call.
  const loops = [
    workLoop("renewal", { clock, state, plan: scheduled, work: renewer({ ...options, state }) }),
    workLoop("tokens", {
      clock,
      state,
      plan: scheduledTokens,
      work: tokenRenewer({ ...options, state }),
    }),
    workLoop("write", {
      clock,
      state,
      plan: scheduledWrite,
      work: fileWriter({ ...options, state }),
    }),
  ];
  return {
    ...reactions(state),
    adopt(volume, current) {
      const { isSynced } = state.entries;
      const wanted = state.entries.of(volume.pod.uid);
      const at = { now: clock.now(), random, wanted, isSynced };
      const item = { workload: adopted(volume, current, at), running: new Set<Work>() };
      state.tracked.set(volume.id, item);
      const catchUp = caughtUp(state.trust);
      const isGone = !current && isSynced && !wanted;
      state.change([item], (workload, moment) => {
        const next = isGone ? withoutEntries(workload, { now: moment.now, gone: true }) : workload;
        return catchUp({ ...next }, moment);
      });
    },
    forget: (volumeId) => state.forget(volumeId),
    bundle: () => state.trust.own,
    get: (volumeId) => state.tracked.get(volumeId)?.workload,
    wantedOf: (podUid) => state.entries.of(podUid),
    run: async (signal) => void (await Promise.all(loops.map((loop) => loop.run(signal)))),
    summary: () => summarize([...state.tracked.values()].map(({ workload }) => workload)),
  };
}

interface WorkLoop {
  readonly clock: Clock;
  readonly state: NodeState;
  readonly plan: (workload: Workload) => Scheduled;
  readonly work: Worker;
}

function workLoop(name: Work, { clock, state, plan, work }: WorkLoop): DueLoop {
  const planned = (isBusy: boolean) => () =>
    [...state.tracked.values()]
      .filter(({ running }) => running.has(name) === isBusy)
      .map((item) => ({ item, ...plan(item.workload) }));
  return dueLoop<Tracked>({
    clock,
    waiting: planned(false),
    busy: planned(true),
    async work(item, signal) {
      item.running.add(name);
      await work(item, signal);
      item.running.delete(name);
    },
  });
}

type Reactions = Pick<
  Workloads,
  | "beginSession"
  | "setEntries"
  | "synced"
  | "setBundle"
  | "setForeignBundle"
  | "keepForeignBundle"
  | "dropForeignBundle"
>;

function reactions(state: NodeState): Reactions {
  const { tracked, entries, trust } = state;
  const items = (): Tracked[] => [...tracked.values()];
  const federate = (affected: (federatesWith: readonly string[]) => boolean): void => {
    const federated = items().filter(({ workload }) =>
      workload.held?.svids.some(({ federatesWith }) => affected(federatesWith)),
    );
    state.change(federated, (workload, at) => withForeign(workload, trust.foreign, at));
  };
  const federateWith = (trustDomain: string): void => {
    federate((federatesWith) => federatesWith.includes(trustDomain));
  };
  return {
    beginSession() {
      entries.beginSession();
      trust.beginSession();
    },
    setEntries(podUid, refs) {
      const wanted = entries.set(podUid, refs);
      const gone = entries.isSynced;
      const ofPod = items().filter((item) => podUidOf(item) === podUid);
      state.change(ofPod, (workload, at) =>
        wanted === ""
          ? withoutEntries(workload, { now: at.now, gone })
          : withEntries(workload, wanted, at),
      );
    },
    synced() {
      entries.synced();
      trust.synced();
      const unnamed = items().filter((item) => !entries.of(podUidOf(item)));
      state.change(unnamed, (workload, { now }) => withoutEntries(workload, { now, gone: true }));
      federate(({ length }) => length > 0);
    },
    setBundle(bundle) {
      trust.own = bundle;
      state.change(items(), (workload, at) => withBundle(workload, bundle, at));
    },
    setForeignBundle(bundle) {
      trust.setForeign(bundle);
      federateWith(bundle.trustDomain);
    },
    keepForeignBundle: (trustDomain) => trust.keepForeign(trustDomain),
    dropForeignBundle(trustDomain) {
      trust.dropForeign(trustDomain);
      federateWith(trustDomain);
    },
  };
}

function podUidOf({ workload }: Tracked): string {
  return workload.volume.pod.uid;
}
