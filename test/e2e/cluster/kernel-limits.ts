import { readFile, writeFile } from "node:fs/promises";
import type { Log } from "./steps.ts";

const INSTANCES = "/proc/sys/fs/inotify/max_user_instances";
/** All nodes' kubelets, containerds and system daemons watch files as one user: a cluster takes about 50. */
const ENOUGH = 1024;

/**
 * Raises the kernel's limit of inotify instances, which is 128 on most machines and makes the kubelets of a second
 * cluster fail to start; without root it says what to do. The new limit stays until the machine restarts.
 */
export async function raiseInotifyLimit(log: Log): Promise<void> {
  const limit = Number(await readFile(INSTANCES, "utf8").catch(() => String(ENOUGH)));
  if (limit >= ENOUGH) return;
  try {
    await writeFile(INSTANCES, `${ENOUGH}\n`);
    log(`raised fs.inotify.max_user_instances from ${limit} to ${ENOUGH}`);
  } catch {
    log(
      `fs.inotify.max_user_instances is ${limit}; if kubelets do not start: sudo sysctl -w fs.inotify.max_user_instances=${ENOUGH}`,
    );
  }
}
