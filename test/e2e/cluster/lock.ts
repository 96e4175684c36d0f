import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { waitFor } from "./exec.ts";

/** A process as it is known again later: its id alone may have been given to another one. */
interface Holder {
  readonly pid: number;
  readonly started: string;
}

/** Runs `action` while no other process holds the lock `name`; a lock whose process is gone is taken over. */
export async function withLock<T>(
  folder: string,
  name: string,
  action: () => Promise<T>,
  onWait: (line: string) => void,
): Promise<T> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, `${name}.lock`);
  let told = false;
  await waitFor(`the lock ${file}`, 3_600_000, async () => {
    if (await take(file)) return true;
    if (!told) onWait(`waiting for the process that holds ${file}`);
    told = true;
    return undefined;
  });
  try {
    return await action();
  } finally {
    await rm(file, { force: true });
  }
}

/** The start time of a process in the kernel's clock ticks, or "" where it is gone or unknown. */
export function processStart(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? "" : (fields[19] ?? "");
  } catch {
    return "";
  }
}

/** Whether that very process still runs; without /proc only its id is compared. */
export function isRunning(pid: number, started: string): boolean {
  if (process.platform === "linux") return processStart(pid) === started && started !== "";
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function take(file: string): Promise<boolean> {
  const mine: Holder = { pid: process.pid, started: processStart(process.pid) };
  const draft = `${file}.${process.pid}`;
  await writeFile(draft, JSON.stringify(mine));
  try {
    // A link appears with its content: nobody ever reads half a lock.
    await link(draft, file);
    return true;
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  } finally {
    await rm(draft, { force: true });
  }
  const holder = await readHolder(file);
  if (holder !== undefined && !isRunning(holder.pid, holder.started)) await removeStale(file);
  return false;
}

/** Renaming lets exactly one of several waiting processes have the dead one's lock; a living one's is put back. */
async function removeStale(file: string): Promise<void> {
  const stale = `${file}.stale.${process.pid}`;
  const moved = await rename(file, stale).then(
    () => true,
    () => false,
  );
  if (!moved) return;
  const holder = await readHolder(stale);
  if (holder !== undefined && isRunning(holder.pid, holder.started)) {
    await link(stale, file).catch(() => undefined);
  }
  await rm(stale, { force: true });
}

/** Reads who holds a lock; undefined where there is no lock, process 0 where it cannot be read. */
async function readHolder(file: string): Promise<Holder | undefined> {
  const text = await readFile(file, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const match = /^\{"pid":(\d+),"started":"(\d*)"\}$/.exec(text);
  return { pid: Number(match?.[1] ?? 0), started: match?.[2] ?? "" };
}
