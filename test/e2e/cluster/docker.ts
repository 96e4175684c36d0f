import type { Engine } from "./engine.ts";
import { must, run } from "./exec.ts";
import type { ExecOptions, RunResult } from "./exec.ts";

/** Runs a Docker client command against an engine and gives its standard output. */
export function docker(
  engine: Engine,
  args: readonly string[],
  options: ExecOptions = {},
): Promise<string> {
  return must(["docker", ...args], withEngine(engine, options));
}

/** Like {@link docker}, but an exit code that is not zero is a result. */
export function tryDocker(
  engine: Engine,
  args: readonly string[],
  options: ExecOptions = {},
): Promise<RunResult> {
  return run(["docker", ...args], withEngine(engine, options));
}

/** The id of an image, or undefined where the engine does not have it. */
export async function imageId(engine: Engine, reference: string): Promise<string | undefined> {
  const found = await tryDocker(engine, ["image", "inspect", "-f", "{{.Id}}", reference]);
  return found.code === 0 ? found.stdout.trim() : undefined;
}

/** Whether an image is there or can be pulled within the limit. */
export async function pullable(engine: Engine, reference: string): Promise<boolean> {
  if ((await imageId(engine, reference)) !== undefined) return true;
  const pulled = tryDocker(engine, ["pull", "--quiet", reference], { timeoutMs: 900_000 });
  return pulled.then(
    (result) => result.code === 0,
    () => false,
  );
}

/** The environment for programs that find the engine themselves. */
export function withEngine(engine: Engine, options: ExecOptions): ExecOptions {
  return { ...options, env: { ...engine.env, ...options.env } };
}
