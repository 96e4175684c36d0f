import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import { nodeEntries } from "./node-entries.ts";
import type { NodeEntries } from "./node-entries.ts";
import { withBundle } from "./workload.ts";
import type { Moment, Workload } from "./workload.ts";

/** A place for one volume; another volume with the same ID gets another place. */
export interface Tracked {
  workload: Workload;
  /** Something renews or rewrites it now. */
  running: boolean;
}

export type Change = (workload: Workload, moment: Moment) => Workload;

/** All that the agent remembers of its node. */
export interface NodeState {
  /** By volume ID. */
  readonly tracked: Map<string, Tracked>;
  readonly entries: NodeEntries;
  /** The bundle that was pushed last. */
  bundle: Bundle | undefined;
  /** Applies a pure change to workloads; logs what became of them and tells the scheduler. */
  change(items: Iterable<Tracked>, by: Change): void;
  /** Tells whether the place still belongs to its volume. */
  holds(item: Tracked): boolean;
}

export interface NodeStateOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** Told after every change. */
  readonly onChange: () => void;
}

/** A node without volumes. */
export function nodeState({ clock, random, log, onChange }: NodeStateOptions): NodeState {
  const tracked = new Map<string, Tracked>();
  return {
    tracked,
    entries: nodeEntries(),
    bundle: undefined,
    holds: (item) => tracked.get(item.workload.volume.id) === item,
    change(items, by) {
      for (const item of items) {
        const before = item.workload;
        item.workload = by(before, { now: clock.now(), random });
        if (before.trouble !== item.workload.trouble) logTrouble(item, log);
      }
      onChange();
    },
  };
}

/** Brings a workload up to the pushed bundle, unless what it holds came with a newer one. */
export function caughtUp(bundle: Bundle | undefined): Change {
  return (workload, moment) =>
    bundle && workload.held && workload.held.bundle.sequence <= bundle.sequence
      ? withBundle(workload, bundle, moment)
      : workload;
}

/** What names a volume in a log line. */
export function volumeNames({ workload }: Tracked): Record<string, string> {
  const { id, pod } = workload.volume;
  return { volume: id, pod: `${pod.namespace}/${pod.name}`, podUid: pod.uid };
}

function logTrouble(item: Tracked, log: Log): void {
  const { trouble } = item.workload;
  if (trouble === undefined) log.info(volumeNames(item), "identity is looked after again");
  if (trouble === "no-identity") {
    log.warn(volumeNames(item), "pod has no identity any more; its files stay until they expire");
  }
  if (trouble === "denied") log.warn(volumeNames(item), "operator refuses the pod; files stay");
}
