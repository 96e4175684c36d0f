import { readdirSync, realpathSync, rmSync } from "node:fs";
import { mkdir, rmdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { mountsAt } from "./mount-table.ts";
import type { MountEntry } from "./mount-table.ts";
import type { Mounter } from "./mount.ts";

/** A volume holds some PEM files; this bounds what a pod's volume can take of the node's memory. */
const VOLUME_SIZE_BYTES = 4 << 20;
const ROOT_MODE = 0o755;

/** What is mounted at a target: nothing, a tmpfs of ours, or something of somebody else. */
export type TargetMount = "none" | "ours" | "foreign";

/** The folders that kubelet names as targets; `driverName` marks our mounts in the mount table. */
export interface Targets {
  inspect(target: string): Promise<TargetMount>;
  /** What is mounted at each of the targets, from one look at the mount table. */
  inspectAll(targets: readonly string[]): Promise<TargetMount[]>;
  /** Makes the folder and mounts an empty tmpfs over it. */
  mount(target: string): Promise<void>;
  /**
   * Takes all mounts off the target and removes the folder; done before or half-done is fine. The files of our own
   * are removed first: whoever still holds the file system, such as a process that cannot be ended, has no key then.
   */
  remove(target: string): Promise<void>;
}

/** Makes the keeper of targets on top of a mounter. Its methods throw SYSTEM or the system's errors. */
export function createTargets(mounter: Mounter, driverName: string): Targets {
  const isOurs = ({ fsType, source }: MountEntry): boolean =>
    fsType === "tmpfs" && source === driverName;
  const inspectAll = async (all: readonly string[]): Promise<TargetMount[]> => {
    const table = await mounter.mounts();
    return all.map((target) => {
      const top = stackIn(table, target).at(-1);
      if (top === undefined) return "none";
      return isOurs(top) ? "ours" : "foreign";
    });
  };
  return {
    inspectAll,
    inspect: async (target) => (await inspectAll([target]))[0] ?? "none",
    async mount(target) {
      await mkdir(target, { mode: 0o750 }).catch(ignore("EEXIST"));
      mounter.mountTmpfs(target, {
        source: driverName,
        sizeBytes: VOLUME_SIZE_BYTES,
        mode: ROOT_MODE,
      });
    },
    async remove(target) {
      for (const entry of stackIn(await mounter.mounts(), target).toReversed()) {
        if (isOurs(entry)) removeFiles(target);
        await mounter.unmount(target);
      }
      await rmdir(target).catch(ignore("ENOENT"));
    },
  };
}

/** The path as the mount table shows it; undefined when its folder is gone. */
function resolvedPath(target: string): string | undefined {
  try {
    return join(realpathSync(dirname(target)), basename(target));
  } catch (error) {
    ignore("ENOENT", "ENOTDIR")(error);
    return undefined;
  }
}

/** The mounts at a target, the visible one last. */
function stackIn(table: readonly MountEntry[], target: string): MountEntry[] {
  const path = resolvedPath(target);
  return path === undefined ? [] : mountsAt(table, path);
}

function removeFiles(folder: string): void {
  for (const name of readdirSync(folder)) {
    rmSync(join(folder, name), { recursive: true, force: true });
  }
}

function ignore(...codes: string[]): (error: unknown) => void {
  return (error) => {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  };
}
