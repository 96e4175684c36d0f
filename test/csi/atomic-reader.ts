import { closeSync, openSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";

// A consumer of a volume in a tight loop, as careful as one can be from outside: it resolves `..data` once,
// and reads both halves of the pair through that folder.
const { root, stop } = workerData as { root: string; stop: SharedArrayBuffer };
const stopped = new Int32Array(stop);
const seen = { reads: 0, mixed: 0, missing: 0, overtaken: 0, generations: 0 };
let last = "";

while (Atomics.load(stopped, 0) === 0) {
  const generation = readlinkSync(join(root, "..data"));
  try {
    const { key, certificate } = readPair(join(root, generation));
    if (key !== certificate) seen.mixed++;
    if (key !== last) seen.generations++;
    last = key;
  } catch {
    // A generation outlives its successor's write; only who sleeps into the write after that may miss it.
    if (startedWrites() >= numberOf(generation) + 2) seen.overtaken++;
    else seen.missing++;
  }
  seen.reads++;
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's port has no origin
  if (seen.reads % 20 === 0) parentPort?.postMessage({ ...seen });
}
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker's port has no origin
parentPort?.postMessage({ ...seen, isLast: true });

function readPair(path: string): { key: string; certificate: string } {
  const folder = openSync(path, "r");
  try {
    const key = readFileSync(`/proc/self/fd/${folder}/tls.key`, "utf8");
    return { key, certificate: readFileSync(`/proc/self/fd/${folder}/tls.crt`, "utf8") };
  } finally {
    closeSync(folder);
  }
}

/** The test writes generation n at n seconds after midnight. */
function numberOf(generation: string): number {
  const [hours = 0, minutes = 0, seconds = 0] = generation.slice(13, 21).split("_").map(Number);
  return hours * 3600 + minutes * 60 + seconds;
}

function startedWrites(): number {
  return Number(readlinkSync(join(root, "started")));
}
