import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../core/clock.ts";
import { errorMessage, SignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { currentGeneration, pruneGenerations, writePayload } from "./atomic-writer.ts";
import { identityFiles } from "./layout.ts";
import type { IdentitySource, WorkloadIdentity, WorkloadSockets } from "./ports.ts";
import { parseIdentityFiles } from "./readback.ts";
import type { VolumeSpec } from "./request.ts";
import type { Targets } from "./target.ts";
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
  /** Writes the identity into the mounted volume, records it in the state, and remembers the volume. */
  show(volume: VolumeSpec, identity: WorkloadIdentity | undefined): Promise<void>;
  /** Remembers a mounted volume with what it shows, without changing it; returns the identity. */
  recall(volume: VolumeSpec, entries: readonly EntryState[]): WorkloadIdentity | undefined;
  /** Forgets a volume and its state; its mount is the caller's. */
  drop(id: string): Promise<void>;
  /** Ends what runs in the background. */
  stop(): void;
}

/** Makes an empty store. */
export function createVolumeStore({ states, clock, log }: VolumeDeps): VolumeStore {
  const records = new Map<string, VolumeRecord>();
  const saved = new Map<string, string>();
  const stopping = new AbortController();
  const pruneLater = async (id: string, shown: VolumeRecord): Promise<void> => {
    try {
      await clock.sleep(READER_GRACE_MS, stopping.signal);
      if (records.get(id) === shown) pruneGenerations(shown.state.target);
    } catch (error) {
      if (!stopping.signal.aborted) {
        log.warn({ volume: id, error: errorMessage(error) }, "old files were not removed");
      }
    }
  };
  return {
    records,
    async show(volume, identity) {
      const known = records.has(volume.id);
      const changed = identity !== undefined && writeIdentity(volume, identity, clock.now());
      const entries = entriesOf(identity);
      const state = { ...volume, entries };
      const encoded = encodeState(state);
      if (saved.get(volume.id) !== encoded) await states.save(state);
      saved.set(volume.id, encoded);
      const record = { state, notAfter: identity?.svids[0]?.notAfter };
      records.set(volume.id, record);
      if (changed && known) void pruneLater(volume.id, record);
    },
    recall(volume, entries) {
      const identity = readIdentity(volume, entries[0], log);
      const state = { ...volume, entries: identity === undefined ? [] : entries };
      records.set(volume.id, { state, notAfter: identity?.svids[0]?.notAfter });
      return identity;
    },
    async drop(id) {
      records.delete(id);
      saved.delete(id);
      await states.remove(id);
    },
    stop: () => stopping.abort(),
  };
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

function writeIdentity(volume: VolumeSpec, identity: WorkloadIdentity, now: number): boolean {
  return writePayload(volume.target, identityFiles(identity, volume), { gid: volume.gid, now });
}

function readIdentity(
  volume: VolumeSpec,
  entry: EntryState | undefined,
  log: Log,
): WorkloadIdentity | undefined {
  try {
    const generation = currentGeneration(volume.target);
    if (generation === undefined) return undefined;
    const folder = join(volume.target, generation);
    const identity = parseIdentityFiles((name) => readFileSync(join(folder, name)), entry);
    pruneGenerations(volume.target);
    return identity;
  } catch (error) {
    log.warn(
      { volume: volume.id, pod: volume.pod.name, error: errorMessage(error) },
      "volume holds no readable identity; it is fetched anew",
    );
    return undefined;
  }
}
