import { delimiter, dirname, isAbsolute, join } from "node:path";
import { errorMessage, SignetError } from "../core/errors.ts";
import { isFields, textOf } from "./kubeconfig-fields.ts";
import type { Fields } from "./kubeconfig-fields.ts";
import { parseKubeconfig } from "./kubeconfig.ts";

export interface KubeconfigLocation {
  /** Of `--kubeconfig`; then no other file counts. */
  readonly path?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
}

export interface KubeconfigFile {
  readonly path: string;
  readonly text: string;
}

const LISTS = [
  ["clusters", "cluster"],
  ["users", "user"],
  ["contexts", "context"],
] as const;
/** Fields that hold paths, which are relative to the file that names them. */
const PATHS = {
  cluster: ["certificate-authority"],
  user: ["client-certificate", "client-key", "tokenFile"],
  context: [],
} as const;

/**
 * The kubeconfig files that count, as in kubectl: `--kubeconfig`, else those of KUBECONFIG, of which some may be missing,
 * else `~/.kube/config`. Throws FAILED_PRECONDITION when a file cannot be read or there is none.
 */
export function readKubeconfigFiles(
  location: KubeconfigLocation,
  readFile: (path: string) => string,
): KubeconfigFile[] {
  const paths = location.path === undefined ? searchPath(location) : [location.path];
  const files = paths.flatMap((path) => {
    const text = readUnlessMissing(path, location.path === undefined, readFile);
    return text === undefined ? [] : [{ path, text }];
  });
  if (files.length > 0) return files;
  throw new SignetError(
    "FAILED_PRECONDITION",
    `there is no kubeconfig at ${paths.join(" or ")}; give one with --kubeconfig or the variable KUBECONFIG`,
  );
}

function searchPath({ env, home }: KubeconfigLocation): string[] {
  const listed = (env["KUBECONFIG"] ?? "").split(delimiter).filter((path) => path !== "");
  return listed.length > 0 ? [...new Set(listed)] : [join(home, ".kube", "config")];
}

function readUnlessMissing(
  path: string,
  mayBeMissing: boolean,
  readFile: (path: string) => string,
): string | undefined {
  try {
    return readFile(path);
  } catch (error) {
    const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (isMissing && mayBeMissing) return undefined;
    const message = `cannot read the kubeconfig ${path}: ${errorMessage(error)}`;
    throw new SignetError("FAILED_PRECONDITION", message, { cause: error });
  }
}

/**
 * One kubeconfig out of several: the first file that has a cluster, user, context or current-context of a name wins, and
 * paths become absolute or relative to the working directory. Throws MALFORMED that names the file.
 */
export function mergeKubeconfigs(files: readonly KubeconfigFile[]): Fields {
  const roots = files.map(({ path, text }) => ({ path, root: parseNamed(path, text) }));
  const current = roots.map(({ root }) => textOf(root, "current-context")).find(Boolean);
  const lists = LISTS.map(([list, inner]) => [
    list,
    firstOfEachName(roots.flatMap(({ path, root }) => entriesOf(root[list], inner, dirname(path)))),
  ]);
  return {
    ...(Object.fromEntries(lists) as Fields),
    ...(current === undefined ? {} : { "current-context": current }),
  };
}

function parseNamed(path: string, text: string): Fields {
  // An empty file is what `touch` leaves, and kubectl takes it.
  if (text.trim() === "") return {};
  try {
    return parseKubeconfig(text);
  } catch (error) {
    throw new SignetError("MALFORMED", `${path}: ${errorMessage(error)}`, { cause: error });
  }
}

function entriesOf(list: unknown, inner: keyof typeof PATHS, folder: string): Fields[] {
  if (!Array.isArray(list)) return [];
  return list.filter(isFields).map((entry) => {
    const content = entry[inner];
    return isFields(content) ? { ...entry, [inner]: resolvePaths(content, inner, folder) } : entry;
  });
}

function resolvePaths(content: Fields, inner: keyof typeof PATHS, folder: string): Fields {
  const resolved = PATHS[inner].flatMap((field) => {
    const path = textOf(content, field);
    return path === undefined ? [] : [[field, below(folder, path)] as const];
  });
  return { ...content, ...Object.fromEntries(resolved), ...resolveCommand(content, folder) };
}

/** A program without a slash is looked up on PATH; any other is relative to the file. */
function resolveCommand(content: Fields, folder: string): Fields {
  const exec = content["exec"];
  const command = isFields(exec) ? textOf(exec, "command") : undefined;
  if (!isFields(exec) || command === undefined || !command.includes("/")) return {};
  return { exec: { ...exec, command: below(folder, command) } };
}

function below(folder: string, path: string): string {
  return isAbsolute(path) ? path : join(folder, path);
}

function firstOfEachName(entries: readonly Fields[]): Fields[] {
  const byName = new Map<unknown, Fields>();
  for (const entry of entries) {
    if (!byName.has(entry["name"])) byName.set(entry["name"], entry);
  }
  return [...byName.values()];
}
