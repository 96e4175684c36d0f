import nodeFs from "node:fs";
import { dirname, join } from "node:path";
import { SignetError } from "../core/errors.ts";

export interface PayloadFile {
  readonly content: Buffer;
  /** Permission bits. */
  readonly mode: number;
}

/**
 * Files by their path in the volume, such as `tls.crt` or `federated/example.org.pem`. One whose path begins with
 * a dot is hidden: it has no visible name, and stays the process's own.
 */
export type Payload = ReadonlyMap<string, PayloadFile>;

/** The system calls of a write, synchronous: on a tmpfs none of them waits for a disk. */
export type WriterFs = Pick<
  typeof nodeFs,
  | "chmodSync"
  | "chownSync"
  | "mkdirSync"
  | "mkdtempSync"
  | "readFileSync"
  | "readdirSync"
  | "readlinkSync"
  | "renameSync"
  | "rmSync"
  | "statSync"
  | "symlinkSync"
  | "unlinkSync"
  | "writeFileSync"
>;

export interface WriteOptions {
  /** Owner and group of the files; undefined leaves the process's own. */
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** Milliseconds since the epoch: names the new generation. */
  readonly now: number;
  readonly fs?: WriterFs;
}

const DATA = "..data";
const DATA_NEXT = "..data_tmp";
const DIR_MODE = 0o755;
const MAX_NAME_BYTES = 255;

/**
 * Makes a folder show exactly `payload`, in kubelet's AtomicWriter layout: the files lie in a folder named by
 * time, `..data` links to it, and every visible name links through `..data`. A reader that resolves `..data`
 * once sees the files of one write only. The generation before stays until the next write or
 * `pruneGenerations`, for readers that are inside it. Whatever a crash left is repaired by the next call.
 * Returns false when nothing differed. Throws INVALID_ARGUMENT for a bad name, RESOURCE_EXHAUSTED when the files
 * do not fit beside those that are shown, which then stay, else the system's errors.
 */
export function writePayload(root: string, payload: Payload, options: WriteOptions): boolean {
  const fs = options.fs ?? nodeFs;
  for (const name of payload.keys()) checkName(name);
  const current = currentGeneration(root, fs);
  if (current !== undefined && holds(fs, join(root, current), payload, options)) {
    linkNames(fs, root, payload);
    return false;
  }
  // Before the new files are made: what a crash left must not fill the small tmpfs.
  pruneGenerations(root, fs);
  const generation = fillGeneration(fs, root, payload, options);
  fs.symlinkSync(generation, join(root, DATA_NEXT));
  fs.renameSync(join(root, DATA_NEXT), join(root, DATA));
  linkNames(fs, root, payload);
  return true;
}

/** Removes every generation but the one that is shown, and what an interrupted write left. */
export function pruneGenerations(root: string, fs: WriterFs = nodeFs): void {
  const current = currentGeneration(root, fs);
  for (const name of fs.readdirSync(root)) {
    if (name.startsWith("..") && name !== DATA && name !== current) {
      fs.rmSync(join(root, name), { recursive: true, force: true });
    }
  }
}

/** The folder, relative to the root, whose files are shown; undefined before the first write. */
export function currentGeneration(root: string, fs: WriterFs = nodeFs): string | undefined {
  try {
    return fs.readlinkSync(join(root, DATA));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Tells whether a payload may have a file of this path: no dot-dot, no hidden generation, no overlong step. */
export function isPayloadName(path: string): boolean {
  return (
    !path.startsWith("..") &&
    path
      .split("/")
      .every(
        (step) =>
          /^[^\0/]+$/.test(step) &&
          step !== "." &&
          step !== ".." &&
          Buffer.byteLength(step) <= MAX_NAME_BYTES,
      )
  );
}

function checkName(path: string): void {
  if (isPayloadName(path)) return;
  throw new SignetError(
    "INVALID_ARGUMENT",
    `no file of a volume can be named ${JSON.stringify(path)}`,
  );
}

function fillGeneration(
  fs: WriterFs,
  root: string,
  payload: Payload,
  options: WriteOptions,
): string {
  let at = "the folder of the new files";
  try {
    const generation = makeGeneration(fs, root, options.now);
    for (const [name, file] of payload) {
      at = name;
      writeFile(fs, join(root, generation, name), file, isHidden(name) ? {} : options);
    }
    return generation;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    pruneGenerations(root, fs);
    throw doesNotFit(payload, at, error);
  }
}

function doesNotFit(payload: Payload, at: string, cause: unknown): SignetError {
  let bytes = 0;
  for (const { content } of payload.values()) bytes += content.length;
  return new SignetError(
    "RESOURCE_EXHAUSTED",
    `volume is too small for its ${payload.size} files of ${bytes} bytes: there was no space for ${at}; ` +
      "what it showed before stays; choose fewer files with signet.dev/files",
    { cause, details: { code: "ENOSPC", file: at, files: payload.size, bytes } },
  );
}

function isHidden(path: string): boolean {
  return path.startsWith(".");
}

function makeGeneration(fs: WriterFs, root: string, now: number): string {
  const stamp = new Date(now).toISOString().slice(0, 19).replaceAll(/[-T:]/g, "_");
  const path = fs.mkdtempSync(join(root, `..${stamp}.`));
  fs.chmodSync(path, DIR_MODE);
  return path.slice(root.length + 1);
}

function writeFile(
  fs: WriterFs,
  path: string,
  file: PayloadFile,
  { uid, gid }: Pick<WriteOptions, "uid" | "gid">,
): void {
  const folder = dirname(path);
  if (fs.mkdirSync(folder, { recursive: true }) !== undefined) fs.chmodSync(folder, DIR_MODE);
  fs.writeFileSync(path, file.content, { flag: "wx", mode: 0o600 });
  if (uid !== undefined || gid !== undefined) fs.chownSync(path, uid ?? -1, gid ?? -1);
  // Last, and not by open(2): that one is cut by the umask.
  fs.chmodSync(path, file.mode);
}

/** Links every visible name, and takes away links of earlier payloads. Other files in the root stay. */
function linkNames(fs: WriterFs, root: string, payload: Payload): void {
  const visible = [...payload.keys()].filter((path) => !isHidden(path));
  const wanted = new Set(visible.map((path) => path.split("/", 1)[0] ?? path));
  const seen = new Set<string>();
  for (const entry of fs.readdirSync(root, { withFileTypes: true })) {
    if (!entry.isSymbolicLink() || entry.name.startsWith("..")) continue;
    const link = fs.readlinkSync(join(root, entry.name));
    if (!link.startsWith(`${DATA}/`)) continue;
    if (wanted.has(entry.name) && link === join(DATA, entry.name)) seen.add(entry.name);
    else fs.unlinkSync(join(root, entry.name));
  }
  for (const name of wanted) {
    if (!seen.has(name)) fs.symlinkSync(join(DATA, name), join(root, name));
  }
}

function holds(
  fs: WriterFs,
  folder: string,
  payload: Payload,
  options: Pick<WriteOptions, "uid" | "gid">,
): boolean {
  try {
    const files = fs
      .readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory());
    return (
      files.length === payload.size &&
      [...payload].every(([name, file]) => {
        const path = join(folder, name);
        const { mode, ...owner } = fs.statSync(path);
        const { uid = owner.uid, gid = owner.gid } = isHidden(name) ? {} : options;
        return (
          (mode & 0o7777) === file.mode &&
          uid === owner.uid &&
          gid === owner.gid &&
          fs.readFileSync(path).equals(file.content)
        );
      })
    );
  } catch {
    // A generation that cannot be read is not what was asked for.
    return false;
  }
}
