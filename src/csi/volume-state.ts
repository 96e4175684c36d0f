import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { SignetError } from "../core/errors.ts";
import { parseAttributes } from "./attributes.ts";
import type { WorkloadIdentity } from "./ports.ts";
import type { VolumeSpec } from "./request.ts";

const entrySchema = z.object({
  entryId: z.string(),
  revision: z.string(),
  spiffeId: z.string(),
  hint: z.string(),
});

const VERSION = 2;
/** Version 1 knew neither attributes nor removal. */
const VERSIONS: ReadonlySet<number> = new Set([1, VERSION]);

const stateSchema = z.object({
  version: z.int().refine((version) => VERSIONS.has(version)),
  id: z.string().min(1),
  target: z.string().startsWith("/"),
  pod: z.object({
    uid: z.string().min(1),
    name: z.string(),
    namespace: z.string(),
    serviceAccount: z.string(),
  }),
  gid: z.int().optional(),
  optional: z.boolean(),
  removal: z.enum(["keep", "remove"]).default("keep"),
  attributes: z.record(z.string(), z.string()).default({}),
  entries: z.array(entrySchema),
});

/** The registration entry behind one SVID of a volume. */
export type EntryState = z.infer<typeof entrySchema>;

/** What is known of a mounted volume without its secrets: what a restarted agent needs to look after it. */
export interface VolumeState extends VolumeSpec {
  /** Of the identity last written, the default first; empty when none was. */
  readonly entries: readonly EntryState[];
}

/** The entries behind an identity, in its order. */
export function entriesOf(identity: WorkloadIdentity | undefined): EntryState[] {
  return (identity?.svids ?? []).map(({ entryId, revision, spiffeId, hint }) => ({
    entryId,
    revision,
    spiffeId,
    hint,
  }));
}

/** One file per volume in a folder of the host. */
export interface VolumeStateStore {
  /** Replaces the volume's file as a whole. */
  save(state: VolumeState): Promise<void>;
  /** Removes the volume's file, if there is one. */
  remove(id: string): Promise<void>;
  /**
   * Every volume's state. Files that hold none are named in `broken`, and removed unless they could not be
   * read or may be another version's.
   */
  loadAll(): Promise<{ states: VolumeState[]; broken: string[] }>;
}

/**
 * Keeps volume states in `folder`. A file never holds a token or a key. It is replaced by rename and not
 * synced to the disk: it describes a tmpfs, and whatever loses the page cache has lost the tmpfs as well.
 */
export function createVolumeStateStore(folder: string): VolumeStateStore {
  const pathOf = (id: string): string => join(folder, `${fileName(id)}.json`);
  return {
    async save(state) {
      const path = pathOf(state.id);
      const write = () => writeFile(`${path}.tmp`, encodeState(state), { mode: 0o600 });
      await write().catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT") throw error;
        await mkdir(folder, { recursive: true, mode: 0o700 });
        await write();
      });
      await rename(`${path}.tmp`, path);
    },
    async remove(id) {
      await rm(pathOf(id), { force: true });
    },
    async loadAll() {
      const states: VolumeState[] = [];
      const broken: string[] = [];
      await mkdir(folder, { recursive: true, mode: 0o700 });
      for (const name of await readdir(folder)) {
        const text = await readFile(join(folder, name), "utf8").catch(() => undefined);
        const state = decodeState(text ?? "");
        if (state !== undefined && name === `${fileName(state.id)}.json`) {
          states.push(state);
          continue;
        }
        broken.push(name);
        // What another version wrote, or what could not be read this time, may still describe a live volume.
        if (text === undefined || isOtherVersion(text)) continue;
        await rm(join(folder, name), { recursive: true, force: true });
      }
      return { states, broken };
    },
  };
}

/** Writes a state as JSON: the named fields only, so that nothing secret can slip in. */
export function encodeState(state: VolumeState): string {
  const { id, target, pod, gid, optional, removal, attributes, entries } = state;
  const { uid, name, namespace, serviceAccount } = pod;
  return `${JSON.stringify({
    version: VERSION,
    id,
    target,
    pod: { uid, name, namespace, serviceAccount },
    gid,
    optional,
    removal,
    attributes,
    entries: entries.map(({ entryId, revision, spiffeId, hint }) => ({
      entryId,
      revision,
      spiffeId,
      hint,
    })),
  })}\n`;
}

/** Reads what `encodeState` or an earlier version wrote; undefined for anything else. */
export function decodeState(json: string): VolumeState | undefined {
  const parsed = stateSchema.safeParse(parseJson(json));
  if (!parsed.success) return undefined;
  const { version: _, gid, optional, removal, attributes, ...state } = parsed.data;
  try {
    const fields = parseAttributes(attributes, { mountGroup: "", removal });
    return { ...state, ...fields, gid, optional, removal };
  } catch (error) {
    if (error instanceof SignetError) return undefined;
    throw error;
  }
}

/** Whether a text that was not understood is another version's, or has attributes that only that one knows. */
function isOtherVersion(json: string): boolean {
  const value = parseJson(json);
  const version = (value as { version?: unknown } | null | undefined)?.version;
  if (typeof version === "number" && !VERSIONS.has(version)) return true;
  return decodeState(json) === undefined && stateSchema.safeParse(value).success;
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** kubelet's IDs are file names; any other becomes one by its hash. */
function fileName(id: string): string {
  if (/^csi-[0-9a-f]{64}$/.test(id)) return id;
  return `sha256-${createHash("sha256").update(id).digest("hex")}`;
}
