import type { Log } from "../core/log.ts";
import { volumeFaults } from "./volume-health.ts";
import type { VolumeFault } from "./volume-health.ts";
import type { VolumeLock } from "./volume-lock.ts";
import type { VolumeSockets } from "./volume-sockets.ts";
import type { VolumeDeps, VolumeRecord, VolumeStore } from "./volume-store.ts";

interface CareContext extends VolumeDeps {
  readonly store: VolumeStore;
  readonly lock: VolumeLock;
  readonly shown: VolumeSockets;
}

/** Looks after volumes between kubelet's calls. */
export interface VolumeCare {
  /** Makes sockets again that vanished or failed, and logs what became wrong or right. */
  tend(): Promise<void>;
  /** What is wrong with one volume now. */
  faultsOf(record: VolumeRecord): Promise<VolumeFault[]>;
  /** How many volumes had a fault when they were tended last. */
  abnormal(): number;
}

/** Makes the care of a node's volumes. */
export function createVolumeCare(context: CareContext): VolumeCare {
  const { store, lock, shown, targets, clock, log } = context;
  let last = new Map<string, string>();
  const inspect = async (records: readonly VolumeRecord[]): Promise<VolumeFault[][]> => {
    const mounts = await targets.inspectAll(records.map(({ state }) => state.target));
    return records.map((record, at) =>
      volumeFaults({
        record,
        mounted: mounts[at] ?? "none",
        socketMissing: shown.isMissing(record.state.id),
        now: clock.now(),
      }),
    );
  };
  const keepSocket = async (id: string): Promise<void> => {
    // One that is busy is seen to by who is busy with it, or the next time.
    if (!shown.has(id) || lock.isBusy(id)) return;
    const lease = await lock.acquire(id, "write");
    try {
      const volume = store.records.get(id)?.state;
      const mounted = volume !== undefined && (await targets.inspect(volume.target)) === "ours";
      if (mounted) await shown.keep(volume);
    } finally {
      lease.release();
    }
  };
  return {
    async tend() {
      for (const id of [...store.records.keys()]) await keepSocket(id);
      const records = [...store.records.values()];
      const faults = await inspect(records);
      const now = new Map(records.map(({ state }, at) => [state.id, reasonsOf(faults[at])]));
      for (const { state } of records) {
        const reasons = now.get(state.id) ?? "";
        if (reasons !== (last.get(state.id) ?? "")) tell(log, state, reasons);
      }
      last = now;
    },
    faultsOf: async (record) => (await inspect([record]))[0] ?? [],
    abnormal: () =>
      [...last].filter(([id, reasons]) => reasons !== "" && store.records.has(id)).length,
  };
}

function reasonsOf(faults: readonly VolumeFault[] | undefined): string {
  return (faults ?? []).map(({ reason }) => reason).join(", ");
}

function tell(log: Log, { id, pod }: VolumeRecord["state"], reasons: string): void {
  const fields = { volume: id, pod: pod.name, namespace: pod.namespace };
  if (reasons === "") log.info(fields, "volume is well again");
  else log.warn({ ...fields, reasons }, "something is wrong with a volume");
}
