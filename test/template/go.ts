import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { goIsNewEnough } from "../e2e/cluster/go-tools.ts";
import { versions } from "../e2e/cluster/versions.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** The Go command: SIGNET_GO, else the one on PATH; throws where it is missing or too old. */
export async function findGo(env: Environment): Promise<string> {
  const go = env["SIGNET_GO"] ?? "go";
  const release = await run(go, ["env", "GOVERSION"], { env }).catch(() => "none");
  if (goIsNewEnough(release.trim(), versions.goMinimum)) return go;
  throw new Error(
    `Go ${versions.goMinimum} or newer is needed to judge templates, found ${release.trim()}: ` +
      `install it, or name it in SIGNET_GO ("npm test" does both)`,
  );
}

/** Runs a program and gives what it printed; throws with what it complained about. */
export async function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Environment } = {},
): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, {
    ...options,
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}
