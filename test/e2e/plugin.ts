import { delimiter, dirname } from "node:path";
import { inject } from "vitest";
import { run } from "./cluster/exec.ts";
import type { RunOptions, RunResult } from "./cluster/exec.ts";
import type { Json, World } from "./world.ts";

/** Runs `kubectl signet ARGS`, found on PATH as any plugin; as the cluster's admin unless told otherwise. */
export function signet(
  { cluster }: World,
  args: readonly string[],
  {
    kubeconfig = cluster.kubeconfig,
    ...options
  }: RunOptions & { readonly kubeconfig?: string } = {},
): Promise<RunResult> {
  const folders = [inject("pluginFolder"), dirname(process.execPath), process.env["PATH"] ?? ""];
  return run([cluster.kubectlPath, "signet", ...args], {
    timeoutMs: 120_000,
    ...options,
    env: { ...options.env, KUBECONFIG: kubeconfig, PATH: folders.join(delimiter) },
  });
}

/** What `kubectl signet ARGS` prints; throws with what it says when it fails. */
export async function signetSays(
  world: World,
  args: readonly string[],
  options: Parameters<typeof signet>[2] = {},
): Promise<string> {
  const { code, stdout, stderr } = await signet(world, args, options);
  if (code !== 0) throw new Error(`kubectl signet ${args.join(" ")}: exit code ${code}\n${stderr}`);
  return stdout;
}

/** The registration entries as `kubectl signet entries` gives them, by namespace, pod and SPIFFE ID. */
export async function entries(world: World, args: readonly string[] = []): Promise<Json[]> {
  return JSON.parse(await signetSays(world, ["entries", "-o", "json", ...args])).items;
}
