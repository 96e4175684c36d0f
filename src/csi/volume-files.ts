import { readFileSync } from "node:fs";
import { join } from "node:path";
import { currentGeneration, pruneGenerations, writePayload } from "./atomic-writer.ts";
import type { Payload } from "./atomic-writer.ts";
import { encodeBundles, encodeIdentity, RECORD_FILE, RECORD_MODE } from "./identity-record.ts";
import type { IdentityRecord } from "./identity-record.ts";
import { identityFiles, layoutOf, trustBundleFiles } from "./layout.ts";
import type { FileLayout, LayoutMoment } from "./layout.ts";
import type { WorkloadIdentity } from "./ports.ts";
import { readVolume } from "./readback.ts";
import type { VolumeSpec } from "./request.ts";
import type { EntryState } from "./volume-state.ts";

/**
 * Writes an identity in the layout that the volume's attributes ask for. Gives the layout when something changed.
 * Throws RESOURCE_EXHAUSTED when the files do not fit, else the system's errors.
 */
export function writeIdentity(
  volume: VolumeSpec,
  identity: WorkloadIdentity,
  now: number,
): FileLayout | undefined {
  return writeFiles(volume, {
    record: encodeIdentity(identity, volume.attributes),
    now,
    make: (layout, moment) => identityFiles(identity, layout, moment),
  });
}

/**
 * Leaves the trust bundles of what is shown, or nothing where that could not be read. Gives the layout when
 * something changed; a volume that never showed anything stays as it is. Throws as `writeIdentity` does.
 */
export function writeBundles(
  volume: VolumeSpec,
  shown: IdentityRecord | undefined,
  now: number,
): FileLayout | undefined {
  if (currentGeneration(volume.target) === undefined) return undefined;
  if (shown === undefined) return writeFiles(volume, { now, make: () => new Map() });
  return writeFiles(volume, {
    record: encodeBundles(shown.bundles, volume.attributes),
    now,
    make: (layout, moment) => trustBundleFiles(shown.bundles, layout, moment),
  });
}

interface Draft {
  /** Left out where nothing is known. */
  readonly record?: Buffer;
  readonly now: number;
  readonly make: (layout: FileLayout, moment: LayoutMoment) => Payload;
}

function writeFiles(volume: VolumeSpec, { record, now, make }: Draft): FileLayout | undefined {
  const layout = layoutOf(volume);
  const before = shownFiles(volume.target);
  const unchanged = record !== undefined && before(RECORD_FILE)?.equals(record) === true;
  const files = make(layout, { now, previous: unchanged ? before : () => undefined });
  const hidden = record && ([[RECORD_FILE, { content: record, mode: RECORD_MODE }]] as const);
  const payload = new Map([...files, ...(hidden ?? [])]);
  const { uid, gid } = layout;
  return writePayload(volume.target, payload, { uid, gid, now }) ? layout : undefined;
}

function shownFiles(target: string): (name: string) => Buffer | undefined {
  const generation = currentGeneration(target) ?? "";
  return (name) => {
    try {
      return readFileSync(join(target, generation, name));
    } catch {
      return undefined;
    }
  };
}

/**
 * Reads what the volume shows; undefined when nothing was ever written. `entry` is for volumes of agents that left no
 * record. Throws MALFORMED or the system's errors.
 */
export function readShown(
  target: string,
  entry: EntryState | undefined,
): IdentityRecord | undefined {
  const generation = currentGeneration(target);
  if (generation === undefined) return undefined;
  const folder = join(target, generation);
  const shown = readVolume((name) => readFileSync(join(folder, name)), entry);
  pruneGenerations(target);
  return shown;
}
