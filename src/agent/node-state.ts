import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { nodeEntries } from "./node-entries.ts";
import type { NodeEntries } from "./node-entries.ts";
import { nodeTrust } from "./node-trust.ts";
import type { NodeTrust } from "./node-trust.ts";
import { withBundle, withForeign } from "./workload.ts";
import type { Moment, Workload } from "./workload.ts";

/** What is done for a volume; one of each may run at a time. */
export type Work = "renewal" | "tokens" | "write";

/** A place for one volume; another volume with the same ID gets another place. */
export interface Tracked {
  workload: Workload;
  readonly running: Set<Work>;
}

export type Change = (workload: Workload, moment: Moment) => Workload;

/** All that the agent remembers of its node. */
export interface NodeState {
  /** By volume ID. */
  readonly tracked: Map<string, Tracked>;
  readonly entries: NodeEntries;
  readonly trust: NodeTrust;
  /** Applies a pure change to workloads; logs what became of them and tells of it. */
  change(items: Iterable<Tracked>, by: Change): void;
  /** Forgets a volume; an unknown one is ignored. */
  forget(volumeId: string): void;
  /** Tells whether the place still belongs to its volume. */
  holds(item: Tracked): boolean;
}

export interface NodeStateOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** Told after every change, with the volumes that it touched. */
  readonly onChange: (volumeIds: readonly string[]) => void;
  /** The last volume of a pod went, or the pod lost its identity. */
  readonly onPodLeft: (podUid: string) => void;
}

/** A node without volumes. */
export function nodeState(options: NodeStateOptions): NodeState {
  const { clock, random, log, onChange, onPodLeft } = options;
  const tracked = new Map<string, Tracked>();
  return {
    tracked,
    entries: nodeEntries(),
    trust: nodeTrust(),
    forget(volumeId) {
      const item = tracked.get(volumeId);
      if (!item) return;
      tracked.delete(volumeId);
      const { uid } = item.workload.volume.pod;
      const isLast = [...tracked.values()].every(({ workload }) => workload.volume.pod.uid !== uid);
      if (isLast) onPodLeft(uid);
      onChange([volumeId]);
    },
    holds: (item) => tracked.get(item.workload.volume.id) === item,
    change(items, by) {
      const touched: string[] = [];
      for (const item of items) {
        const before = item.workload;
        item.workload = by(before, { now: clock.now(), random });
        if (before !== item.workload) touched.push(before.volume.id);
        if (item.workload.gone && !before.gone) onPodLeft(before.volume.pod.uid);
        if (before.trouble !== item.workload.trouble) logTrouble(item, log);
      }
      onChange(touched);
    },
  };
}

/** Brings a workload up to the pushed bundles, unless its own one came with a newer one. */
export function caughtUp({ own, foreign }: NodeTrust): Change {
  return (workload, moment) => {
    const isBehind = own && workload.held && workload.held.bundle.sequence <= own.sequence;
    const next = isBehind ? withBundle(workload, own, moment) : workload;
    // An answer may know a foreign bundle that is on its way to us.
    return withForeign(next, { ...foreign, isComplete: false }, moment);
  };
}

/** What names a volume in a log line. */
export function volumeNames({ workload }: Tracked): Record<string, string> {
  const { id, pod } = workload.volume;
  return { volume: id, pod: `${pod.namespace}/${pod.name}`, podUid: pod.uid };
}

function logTrouble(item: Tracked, log: Log): void {
  const { trouble, volume } = item.workload;
  if (trouble === undefined) log.info(volumeNames(item), "identity is looked after again");
  if (trouble === "no-identity") {
    const fate = volume.removal === "keep" ? "stay until they expire" : "are taken away";
    log.warn(volumeNames(item), `pod has no identity any more; its files ${fate}`);
  }
  if (trouble === "denied") log.warn(volumeNames(item), "operator refuses the pod; files stay");
}
