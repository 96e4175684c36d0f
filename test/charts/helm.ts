import { execFile } from "node:child_process";
import { accessSync, constants, globSync } from "node:fs";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";
import { locations } from "../e2e/cluster/locations.ts";

export const CHART = new URL("../../charts/signet", import.meta.url).pathname;
export const NAMESPACE = "signet-system";

/** A rendered object; tests reach into it by name. */
// oxlint-disable-next-line typescript/no-explicit-any -- the shape is what is being tested
export type Manifest = Record<string, any>;

interface HelmResult {
  readonly code: number;
  readonly output: string;
}

/** Path of helm: SIGNET_HELM, else on PATH, else what the cluster harness built into its cache. */
export function findHelm(env: Readonly<Record<string, string | undefined>>): string {
  if (env["SIGNET_HELM"]) return env["SIGNET_HELM"];
  const onPath = (env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "helm"));
  const { steps } = locations(env);
  const built = globSync(join(steps, "go-helm-*", "helm"));
  const found = [...onPath, ...built].find(isExecutable);
  if (found !== undefined) return found;
  throw new Error(
    `helm is missing: install Helm 3.14 or newer, or name it in SIGNET_HELM; "npm run demo" builds one into ${steps}`,
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs helm and gives its exit code and everything it said. */
export async function helm(...args: string[]): Promise<HelmResult> {
  try {
    const { stdout, stderr } = await promisify(execFile)(findHelm(process.env), args, {
      maxBuffer: 64 * 1024 * 1024,
    });
    return { code: 0, output: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
    if (typeof code !== "number") throw error;
    return { code, output: stdout + stderr };
  }
}

/** Renders the chart as `helm install signet -n signet-system` would, with `--set-json` values. */
export async function render(
  values: Readonly<Record<string, unknown>> = {},
  ...flags: string[]
): Promise<Manifest[]> {
  const sets = Object.entries(values).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  const options = [...sets.flatMap((set) => ["--set-json", set]), ...flags];
  const { code, output } = await helm("template", "signet", CHART, "-n", NAMESPACE, ...options);
  if (code !== 0) throw new Error(output);
  return parseAllDocuments(output)
    .map((document) => document.toJS() as Manifest | null)
    .filter((object) => object !== null);
}

/** The one object of this kind (and name); throws when there are none or more. */
export function only(objects: readonly Manifest[], kind: string, name?: string): Manifest {
  const found = objects.filter(
    (object) => object["kind"] === kind && (name === undefined || object.metadata.name === name),
  );
  if (found.length === 1 && found[0]) return found[0];
  throw new Error(`${found.length} objects of kind ${kind}${name ? ` named ${name}` : ""}`);
}
