import { access, readdir } from "node:fs/promises";
import { join } from "node:path";
import { errorMessage, isSignetError } from "../core/errors.ts";
import { isTarget } from "./request.ts";
import type { VolumeLock } from "./volume-lock.ts";
import type { VolumeSockets } from "./volume-sockets.ts";
import type { VolumeState } from "./volume-state.ts";
import { showsValidSvid } from "./volume-store.ts";
import type { VolumeDeps, VolumeStore } from "./volume-store.ts";

/** Volumes taken over side by side: clients of all of them wait for their sockets. */
const AT_ONCE = 8;

interface RecoveryContext extends VolumeDeps {
  readonly store: VolumeStore;
  readonly lock: VolumeLock;
  readonly shown: VolumeSockets;
}

/**
 * Takes over what an earlier process left: volumes with state and a mount are looked after again; state
 * without a mount is dropped, since a new publish will come if its pod lives. A mount without state is left
 * as it is: it may serve a pod, and the next republish names its pod and takes it over.
 */
export async function recoverVolumes(context: RecoveryContext): Promise<void> {
  const { states, log, store } = context;
  const { states: found, broken } = await states.loadAll();
  for (const file of broken)
    log.warn({ file }, "volume state was not readable; its volume is not looked after");
  const mounts = await context.targets.inspectAll(found.map(({ target }) => target));
  const queue = [...found.entries()];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next; next = queue.shift()) {
      const [at, state] = next;
      await recoverVolume(context, state, mounts[at] === "ours").catch((error: unknown) =>
        log.error(
          { volume: state.id, pod: state.pod.name, error: errorMessage(error) },
          "volume could not be taken over; the next republish tries again",
        ),
      );
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  log.info({ volumes: store.records.size, states: found.length }, "volumes taken over");
}

async function recoverVolume(
  context: RecoveryContext,
  state: VolumeState,
  mounted: boolean,
): Promise<void> {
  const { store, identities, shown, clock, log, podsDir } = context;
  if (!mounted || !isTarget(state.target, podsDir)) {
    log.info({ volume: state.id, pod: state.pod.name }, "state of a volume without mount removed");
    await store.drop(state.id);
    return;
  }
  const { entries, ...volume } = state;
  const identity = store.recall(volume, entries);
  const valid = showsValidSvid(store.records.get(state.id), clock.now());
  identities().adopt(volume, valid ? identity : undefined);
  await shown.keep(volume);
}

/** Drops volumes whose pod's folder kubelet has removed. A volume that is busy is left for the next time. */
export async function collectVolumes(context: RecoveryContext): Promise<void> {
  const { store, log, podsDir } = context;
  for (const { state } of store.records.values()) {
    try {
      if (!(await isGone(join(podsDir, state.pod.uid)))) continue;
      // kubelet's whole folder missing means that we look at the wrong place, not that all pods are gone.
      await readdir(podsDir);
      await dropVolume(context, state);
    } catch (error) {
      if (isSignetError(error, "ABORTED")) continue;
      log.warn(
        { volume: state.id, error: errorMessage(error) },
        "volume of a removed pod was not collected",
      );
    }
  }
}

async function dropVolume(
  { lock, targets, store, identities, shown, log }: RecoveryContext,
  state: VolumeState,
): Promise<void> {
  const lease = await lock.acquire(state.id, "unpublish");
  try {
    await shown.close(state.id);
    await targets.remove(state.target);
    identities().forget(state.id);
    await store.drop(state.id);
    log.info({ volume: state.id, pod: state.pod.name }, "volume of a removed pod collected");
  } finally {
    lease.release();
  }
}

async function isGone(path: string): Promise<boolean> {
  try {
    await access(path);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}
