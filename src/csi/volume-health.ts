import type { TargetMount } from "./target.ts";
import { showsValidSvid } from "./volume-store.ts";
import type { VolumeRecord } from "./volume-store.ts";

/** What is wrong with a volume, in the words of CSI 1.13 (VolumeHealth). */
export interface VolumeFault {
  readonly status: "DEGRADED" | "INACCESSIBLE";
  readonly reason: "NotMounted" | "NoSvid" | "SvidExpired" | "NoSocket";
  readonly message: string;
}

export interface VolumeFacts {
  readonly record: VolumeRecord;
  readonly mounted: TargetMount;
  /** Its socket should be there and could not be opened. */
  readonly socketMissing: boolean;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Judges a volume that the node keeps; empty when nothing is wrong. */
export function volumeFaults({ record, mounted, socketMissing, now }: VolumeFacts): VolumeFault[] {
  if (mounted !== "ours") {
    const message = "the volume's file system is not mounted any more; recreate the pod";
    return [{ status: "INACCESSIBLE", reason: "NotMounted", message }];
  }
  const faults: VolumeFault[] = [];
  if (record.notAfter === undefined && !record.state.optional) {
    const message = "the volume shows no SVID";
    faults.push({ status: "DEGRADED", reason: "NoSvid", message });
  } else if (record.notAfter !== undefined && !showsValidSvid(record, now)) {
    const message = `the SVID expired at ${new Date(record.notAfter).toISOString()}`;
    faults.push({ status: "DEGRADED", reason: "SvidExpired", message });
  }
  if (socketMissing) {
    const message = "the Workload API's socket could not be opened";
    faults.push({ status: "DEGRADED", reason: "NoSocket", message });
  }
  return faults;
}
