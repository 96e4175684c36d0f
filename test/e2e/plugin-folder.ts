import { chmod, copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { must } from "./cluster/exec.ts";

const root = join(import.meta.dirname, "../..");

/** The built plugin in a folder of its own, under the name that kubectl looks for. */
export interface PluginFolder {
  readonly path: string;
  remove(): Promise<void>;
}

/** Bundles `kubectl signet` of this checkout. */
export async function buildPlugin(): Promise<PluginFolder> {
  await must([process.execPath, join(root, "scripts/build.ts")], { cwd: root });
  const path = await mkdtemp(join(tmpdir(), "kubectl-signet-"));
  const program = join(path, "kubectl-signet");
  await copyFile(join(root, "dist/kubectl-signet.js"), program);
  await chmod(program, 0o755);
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}
