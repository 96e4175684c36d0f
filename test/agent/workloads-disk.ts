import type { Clock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import type { IdentitySink, Volume } from "../../src/csi/ports.ts";
import { memoryVolumes } from "./fixture.ts";

interface DiskRules {
  readonly isKept: (volumeId: string) => boolean;
  readonly mayClear: (volume: Volume) => boolean;
}

interface Mounted {
  readonly volume: Volume;
}

/** Volumes in memory that may be slow, and come and go; notes what must not happen to them. */
export function modelDisk(clock: Clock, { isKept, mayClear }: DiskRules) {
  const inner = memoryVolumes();
  const mounted = new Map<string, Mounted>();
  const writes = new Map<string, number>();
  const wrongs: string[] = [];
  const slowly = async (volumeId: string, change: () => Promise<void>): Promise<void> => {
    writes.set(volumeId, (writes.get(volumeId) ?? 0) + 1);
    if (!isKept(volumeId)) wrongs.push(`${volumeId} was changed after it was forgotten`);
    const before = mounted.get(volumeId);
    if (disk.slowMs > 0) await clock.sleep(disk.slowMs);
    const isSame = before !== undefined && mounted.get(volumeId) === before;
    if (!isSame) throw new SignetError("NOT_FOUND", "volume is gone");
    await change();
  };
  const sink: IdentitySink = {
    write: (volumeId, identity) => slowly(volumeId, () => inner.write(volumeId, identity)),
    clear(volumeId) {
      const volume = mounted.get(volumeId)?.volume;
      if (volume && !mayClear(volume)) wrongs.push(`${volumeId} was cleared without a reason`);
      return slowly(volumeId, () => inner.clear(volumeId));
    },
  };
  const disk = {
    ...sink,
    slowMs: 0,
    shown: inner.shown,
    cleared: inner.cleared,
    /** How often each volume was to be changed. */
    writes,
    wrongs,
    get failure(): Error | undefined {
      return inner.failure;
    },
    set failure(error: Error | undefined) {
      inner.failure = error;
    },
    isMounted: (volumeId: string): boolean => mounted.has(volumeId),
    mount: (volume: Volume): void => void mounted.set(volume.id, { volume }),
    unmount(volumeId: string): void {
      mounted.delete(volumeId);
      inner.shown.delete(volumeId);
    },
  };
  return disk;
}
