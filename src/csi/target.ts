import { realpathSync } from "node:fs";
import { mkdir, rmdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { mountsAt } from "./mount-table.ts";
import type { Mounter } from "./mount.ts";

/** A volume holds some PEM files; this bounds what a pod's volume can take of the node's memory. */
const VOLUME_SIZE_BYTES = 1 << 20;
const ROOT_MODE = 0o755;

/** What is mounted at a target: nothing, a tmpfs of ours, or something of somebody else. */
export type TargetMount = "none" | "ours" | "foreign";

/** The folders that kubelet names as targets; `driverName` marks our mounts in the mount table. */
export interface Targets {
  inspect(target: string): Promise<TargetMount>;
  /** Makes the folder and mounts an empty tmpfs over it. */
  mount(target: string): Promise<void>;
  /** Takes all mounts off the target and removes the folder; done before or half-done is fine. */
  remove(target: string): Promise<void>;
}

/** Makes the keeper of targets on top of a mounter. Its methods throw SYSTEM or the system's errors. */
export function createTargets(mounter: Mounter, driverName: string): Targets {
  const stack = async (target: string) => {
    const path = resolvedPath(target);
    return path === undefined ? [] : mountsAt(await mounter.mounts(), path);
  };
  return {
    async inspect(target) {
      const top = (await stack(target)).at(-1);
      if (top === undefined) return "none";
      return top.fsType === "tmpfs" && top.source === driverName ? "ours" : "foreign";
    },
    async mount(target) {
      await mkdir(target, { mode: 0o750 }).catch(ignore("EEXIST"));
      mounter.mountTmpfs(target, {
        source: driverName,
        sizeBytes: VOLUME_SIZE_BYTES,
        mode: ROOT_MODE,
      });
    },
    async remove(target) {
      for (const _ of await stack(target)) await mounter.unmount(target);
      await rmdir(target).catch(ignore("ENOENT"));
    },
  };
}

/** The path as the mount table shows it; undefined when its folder is gone. */
function resolvedPath(target: string): string | undefined {
  try {
    return join(realpathSync(dirname(target)), basename(target));
  } catch (error) {
    ignore("ENOENT")(error);
    return undefined;
  }
}

function ignore(code: string): (error: unknown) => void {
  return (error) => {
    if ((error as NodeJS.ErrnoException).code !== code) throw error;
  };
}
