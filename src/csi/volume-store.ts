import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { pruneGenerations } from "./atomic-writer.ts";
import type { IdentityRecord } from "./identity-record.ts";
import type { FileLayout } from "./layout.ts";
import { createNotifier } from "./notify.ts";
import type { IdentitySource, WorkloadIdentity, WorkloadSockets } from "./ports.ts";
import type { VolumeSpec } from "./request.ts";
import type { Targets } from "./target.ts";
import { readShown, writeBundles, writeIdentity } from "./volume-files.ts";
import { encodeState, entriesOf } from "./volume-state.ts";
import type { EntryState, VolumeState, VolumeStateStore } from "./volume-state.ts";

/** A reader that resolved `..data` just before a swap has this long to read its files. */
const READER_GRACE_MS = 10_000;

/** A mounted volume as we know it. Never holds a key. */
export interface VolumeRecord {
  readonly state: VolumeState;
  /** End of the default SVID in milliseconds since the epoch; undefined when the volume shows none. */
  readonly notAfter: number | undefined;
}

export interface VolumeDeps {
  /** kubelet's folder of pods. */
  readonly podsDir: string;
  readonly targets: Targets;
  readonly states: VolumeStateStore;
  readonly identities: () => IdentitySource;
  readonly sockets: WorkloadSockets;
  readonly clock: Clock;
  readonly log: Log;
}

/** The volumes that are mounted, their files and their state; callers hold the volume's lock. */
export interface VolumeStore {
  readonly records: ReadonlyMap<string, VolumeRecord>;
  /**
   * Writes the identity into the mounted volume, records it in the state, and remembers the volume. The pod hears
   * of it if it wants to and had files before. Throws RESOURCE_EXHAUSTED when the files do not fit, of which those
   * foreign bundles that are shown then stay, and all the rest is renewed if that fits.
   */
  show(volume: VolumeSpec, identity: WorkloadIdentity | undefined): Promise<void>;
  /** Leaves the trust bundles in the mounted volume, takes keys, SVIDs and tokens away, and records that. */
  clear(volume: VolumeSpec): Promise<void>;
  /** Remembers a mounted volume with what it shows, without changing it; returns the identity. */
  recall(volume: VolumeSpec, entries: readonly EntryState[]): WorkloadIdentity | undefined;
  /** Whether the mounted volume was cleared, and so rightly shows no SVID. */
  isCleared(volume: VolumeSpec): boolean;
  /** Forgets a volume and its state; its mount is the caller's. */
  drop(id: string): Promise<void>;
  /** Ends what runs in the background. */
  stop(): void;
}

/** Makes an empty store. */
export function createVolumeStore(deps: VolumeDeps): VolumeStore {
  const { states, clock, log } = deps;
  const records = new Map<string, VolumeRecord>();
  const saved = new Map<string, string>();
  const aftermath = createAftermath(deps, records);
  const remember = async (
    volume: VolumeSpec,
    identity: WorkloadIdentity | undefined,
    changed: FileLayout | undefined,
  ): Promise<void> => {
    const known = records.has(volume.id);
    const state = { ...volume, entries: entriesOf(identity) };
    const record = { state, notAfter: identity?.svids[0]?.notAfter };
    records.set(volume.id, record);
    if (changed !== undefined && known) aftermath.begin(record, changed);
    // Last: the files are there, whatever becomes of the state on a disk that may be full.
    const encoded = encodeState(state);
    if (saved.get(volume.id) !== encoded) await states.save(state);
    saved.set(volume.id, encoded);
  };
  return {
    records,
    async show(volume, identity) {
      try {
        const changed = identity && writeIdentity(volume, identity, clock.now());
        await remember(volume, identity, changed);
      } catch (error) {
        const fewer = identity && withForeignAsShown(volume, identity, error, log);
        if (fewer !== undefined) {
          await remember(volume, fewer, writeIdentity(volume, fewer, clock.now()));
        }
        throw error;
      }
    },
    async clear(volume) {
      const shown = readOrWarn(volume, undefined, log);
      const changed = writeBundles(volume, shown, clock.now());
      // No grace for readers: what was taken away is not to be had any more.
      if (changed !== undefined) pruneGenerations(volume.target);
      await remember(volume, undefined, changed);
    },
    recall(volume, entries) {
      const identity = readOrWarn(volume, entries[0], log)?.identity;
      const state = { ...volume, entries: entriesOf(identity) };
      records.set(volume.id, { state, notAfter: identity?.svids[0]?.notAfter });
      return identity;
    },
    isCleared(volume) {
      if (records.get(volume.id)?.notAfter !== undefined) return false;
      const shown = readOrWarn(volume, undefined, log);
      return shown !== undefined && shown.identity === undefined;
    },
    async drop(id) {
      records.delete(id);
      saved.delete(id);
      aftermath.forget(id);
      await states.remove(id);
    },
    stop: () => aftermath.stop(),
  };
}

/** What follows on a change of files that a pod may be reading. */
interface Aftermath {
  /** Begins to remove the old files when their readers have had time, and to tell the pod of the new ones. */
  begin(record: VolumeRecord, layout: FileLayout): void;
  forget(id: string): void;
  stop(): void;
}

function createAftermath(
  { identities, clock, log }: VolumeDeps,
  records: ReadonlyMap<string, VolumeRecord>,
): Aftermath {
  const stopping = new AbortController();
  const notifier = createNotifier({ clock, log });
  const pruneLater = async (shown: VolumeRecord): Promise<void> => {
    await clock.sleep(READER_GRACE_MS, stopping.signal);
    if (records.get(shown.state.id) === shown) pruneGenerations(shown.state.target);
  };
  return {
    begin(record, { notify: target }) {
      const { id: volumeId, pod } = record.state;
      pruneLater(record).catch((error: unknown) => {
        if (stopping.signal.aborted) return;
        log.warn({ volume: volumeId, error: errorMessage(error) }, "old files were not removed");
      });
      if (target === undefined) return;
      const address = (): string | undefined => identities().addressOf(pod.uid);
      notifier.notify({ volumeId, pod: pod.name, target, address });
    },
    forget: (id) => notifier.forget(id),
    stop() {
      stopping.abort();
      notifier.stop();
    },
  };
}

function readOrWarn(
  volume: VolumeSpec,
  entry: EntryState | undefined,
  log: Log,
): IdentityRecord | undefined {
  try {
    return readShown(volume.target, entry);
  } catch (error) {
    const fields = { volume: volume.id, pod: volume.pod.name, error: errorMessage(error) };
    log.warn(fields, "volume holds no readable identity; it is fetched anew");
    return undefined;
  }
}

/**
 * What to show of an identity that does not fit for its foreign bundles: their growth must not cost a pod its own
 * SVID, so those that are shown stay. Undefined where nothing is shown or another error came.
 */
function withForeignAsShown(
  volume: VolumeSpec,
  identity: WorkloadIdentity,
  error: unknown,
  log: Log,
): WorkloadIdentity | undefined {
  if (!isSignetError(error, "RESOURCE_EXHAUSTED")) return undefined;
  const shown = readOrWarn(volume, undefined, log);
  return shown && { ...identity, federatedBundles: shown.bundles.federatedBundles };
}

/** Tells whether the volume shows an SVID that is not over. */
export function showsValidSvid(record: VolumeRecord | undefined, now: number): boolean {
  return record?.notAfter !== undefined && record.notAfter > now;
}

/** Gives an error of a system call the code SYSTEM and its own words; others stay. */
export function asSystemError(error: unknown): unknown {
  const { syscall, code } = error as NodeJS.ErrnoException;
  if (error instanceof SignetError || syscall === undefined || code === undefined) return error;
  return new SignetError("SYSTEM", errorMessage(error), {
    cause: error,
    details: { syscall, code },
  });
}
