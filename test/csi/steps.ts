import nodeFs from "node:fs";
import fsPromises from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { basename } from "node:path";
import type { Mounter } from "../../src/csi/mount.ts";
import type { IdentitySource, WorkloadSockets } from "../../src/csi/ports.ts";

/** Called before and after everything that changes the node; what it throws comes instead of the change. */
export type Step = (name: string) => void;

type AnyFunction = (...args: unknown[]) => unknown;

const SYNC = ["chmodSync", "chownSync", "mkdirSync", "mkdtempSync", "renameSync", "rmSync"];
const SYNC_MORE = ["symlinkSync", "unlinkSync", "writeFileSync"];
const ASYNC = ["mkdir", "rename", "rm", "rmdir", "writeFile"];

/**
 * Lets all that this process changes below `folder` go through `step`, whoever calls the file system. Returns how
 * to end that.
 */
export function watchFiles(folder: string, step: Step): () => void {
  const undo: (() => void)[] = [];
  const watch = (module: Record<string, AnyFunction>, prefix: string, names: string[]): void => {
    for (const name of names) {
      const original = module[name] as AnyFunction;
      undo.push(() => (module[name] = original));
      module[name] = (...args) => {
        const path = args.map(String).findLast((arg) => arg.startsWith(folder));
        if (path === undefined) return original(...args);
        const label = `${prefix}${name.replace("Sync", "")} ${plain(basename(path))}`;
        return around(label, step, () => original(...args));
      };
    }
  };
  watch(nodeFs as unknown as Record<string, AnyFunction>, "file ", [...SYNC, ...SYNC_MORE]);
  watch(fsPromises as unknown as Record<string, AnyFunction>, "", ASYNC);
  syncBuiltinESMExports();
  return () => {
    for (const restore of undo) restore();
    syncBuiltinESMExports();
  };
}

/** The name of a step must be the same in every run. */
function plain(name: string): string {
  return name
    .replace(/^\.\.\d{4}_.*/, "GENERATION")
    .replace(/^(?:csi|sha256)-[^.]*/, "VOLUME")
    .replace(/^\.[0-9a-f]{8}\.sock/, "SOCKET");
}

function around(name: string, step: Step, run: () => unknown): unknown {
  step(`before ${name}`);
  const result = run();
  if (!(result instanceof Promise)) {
    step(`after ${name}`);
    return result;
  }
  return result.then((value: unknown) => {
    step(`after ${name}`);
    return value;
  });
}

export function watchMounter(mounter: Mounter, step: Step): Mounter {
  return {
    mountTmpfs: (target, options) =>
      void around("mount", step, () => mounter.mountTmpfs(target, options)),
    unmount: async (target) => void (await around("umount", step, () => mounter.unmount(target))),
    mounts: () => mounter.mounts(),
  };
}

export function watchSockets(sockets: WorkloadSockets, step: Step): WorkloadSockets {
  return {
    open: async (id, folder) =>
      void (await around("open socket", step, () => sockets.open(id, folder))),
    close: async (id) => void (await around("close socket", step, () => sockets.close(id))),
    stop: () => sockets.stop(),
  };
}

export function watchIdentities(source: IdentitySource, step: Step): IdentitySource {
  return {
    async attest(...args) {
      step("before attest");
      const identity = await source.attest(...args);
      step("after attest");
      return identity;
    },
    adopt: (...args) => void around("adopt", step, () => source.adopt(...args)),
    forget: (...args) => void around("forget", step, () => source.forget(...args)),
    addressOf: (uid) => source.addressOf(uid),
  };
}
