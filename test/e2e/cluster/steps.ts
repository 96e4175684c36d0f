import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Locations } from "./locations.ts";
import { withLock } from "./lock.ts";

/** Takes one line of progress. */
export type Log = (line: string) => void;

/** What every part of the harness works with. */
export interface Workshop {
  readonly places: Locations;
  readonly log: Log;
}

/** A step whose result is a folder; equal inputs give the same folder. */
export interface FolderStep {
  readonly name: string;
  readonly inputs: readonly string[];
  /** Fills `folder`, which becomes the result only when this resolves; output goes to `logFile`. */
  readonly build: (folder: string, logFile: string) => Promise<void>;
}

/** A step whose result lies elsewhere (an image in an engine), found again by `find`. */
export interface CheckedStep<T> {
  readonly name: string;
  readonly find: () => Promise<T | undefined>;
  readonly build: (logFile: string) => Promise<void>;
}

const progressEveryMs = 15_000;

/** The key of a step: 12 hex digits of SHA-256 over its inputs, each with its length, in order. */
export function stepKey(inputs: readonly string[]): string {
  const hash = createHash("sha256");
  for (const input of inputs) hash.update(`${Buffer.byteLength(input)}:`).update(input);
  return hash.digest("hex").slice(0, 12);
}

/** Gives the folder of a step's result, building it once where it is missing; a half-built one is thrown away. */
export async function folderStep(shop: Workshop, step: FolderStep): Promise<string> {
  const id = `${step.name}-${stepKey(step.inputs)}`;
  const folder = join(shop.places.steps, id);
  const find = async (): Promise<string | undefined> => (existsSync(folder) ? folder : undefined);
  return checkedStep(shop, {
    name: id,
    find,
    build: async (logFile) => {
      const half = `${folder}.tmp`;
      await rm(half, { recursive: true, force: true });
      await mkdir(half, { recursive: true });
      await step.build(half, logFile);
      await rename(half, folder);
    },
  });
}

/** Gives what `find` finds, building it first, under the step's lock and with its time told, where it is missing. */
export async function checkedStep<T>(shop: Workshop, step: CheckedStep<T>): Promise<T> {
  const ready = await step.find();
  if (ready !== undefined) return ready;
  const build = async (): Promise<T> => {
    const meanwhile = await step.find();
    if (meanwhile !== undefined) return meanwhile;
    await timed(shop, step.name, step.build);
    const made = await step.find();
    if (made === undefined) throw new Error(`step ${step.name} ended without its result`);
    return made;
  };
  return withLock(shop.places.locks, step.name, build, shop.log);
}

/** Hashes files of the repository as step inputs: their content, in the order given. */
export async function fileInputs(files: readonly string[]): Promise<string[]> {
  return Promise.all(files.map((file) => readFile(file, "utf8")));
}

/** Says what begins, every 15 s that it goes on, and how long it took. */
async function timed(
  shop: Workshop,
  name: string,
  build: (logFile: string) => Promise<void>,
): Promise<void> {
  await mkdir(shop.places.logs, { recursive: true });
  const logFile = join(shop.places.logs, `${name}.log`);
  await rm(logFile, { force: true });
  const start = Date.now();
  const elapsed = (): string => `${((Date.now() - start) / 1000).toFixed(1)} s`;
  shop.log(`${name}: started (output in ${logFile})`);
  const timer = setInterval(() => shop.log(`${name}: running for ${elapsed()}`), progressEveryMs);
  try {
    await build(logFile);
    shop.log(`${name}: done in ${elapsed()}`);
  } catch (error) {
    shop.log(`${name}: failed after ${elapsed()}`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}
