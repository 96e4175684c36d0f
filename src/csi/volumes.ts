import { ERROR_CODES, errorMessage, SignetError, toSignetError } from "../core/errors.ts";
import { abortError, attestVolume } from "./first-identity.ts";
import type { PublishCall } from "./first-identity.ts";
import type { IdentitySink, WorkloadIdentity } from "./ports.ts";
import type { PublishRequest, UnpublishRequest, VolumeSpec } from "./request.ts";
import { createVolumeCare } from "./volume-care.ts";
import type { VolumeFault } from "./volume-health.ts";
import { collectVolumes, recoverVolumes } from "./volume-recovery.ts";
import { createVolumeSockets } from "./volume-sockets.ts";
import type { VolumeSockets } from "./volume-sockets.ts";
import { createVolumeLock } from "./volume-lock.ts";
import type { VolumeLease, VolumeLock } from "./volume-lock.ts";
import { asSystemError, createVolumeStore, showsValidSvid } from "./volume-store.ts";
import type { VolumeDeps, VolumeRecord, VolumeStore } from "./volume-store.ts";

/** The node's volumes: one tmpfs per pod volume, from kubelet's publish to its unpublish. */
export interface Volumes extends IdentitySink {
  /**
   * Shows the pod's identity at the target; waits for it before anything is mounted, and a first publish that
   * fails leaves nothing behind. A volume that is mounted stays mounted whatever happens, and one with a valid
   * SVID is fine as it is. Throws what IdentitySource.attest throws, ABORTED, FAILED_PRECONDITION,
   * ALREADY_EXISTS, SYSTEM; for a volume that is mounted only codes that kubelet retries.
   */
  publish(request: PublishRequest, call: PublishCall): Promise<void>;
  /** Takes the volume down; needs no operator and may be repeated. Throws ABORTED or SYSTEM. */
  unpublish(request: UnpublishRequest): Promise<void>;
  get(id: string): VolumeRecord | undefined;
  /** Takes over the volumes that an earlier process mounted. */
  recover(): Promise<void>;
  /** Forgets volumes of pods that kubelet removed without an unpublish. */
  collect(): Promise<void>;
  /** Makes sockets again that are missing, and logs what became wrong with a volume or right again. */
  tend(): Promise<void>;
  /** What is wrong with a volume, empty when nothing is; undefined for an unknown one. */
  faultsOf(id: string): Promise<VolumeFault[] | undefined>;
  summary(): VolumesSummary;
  /** Ends waiting publishes with UNAVAILABLE; leaves every mount as it is. */
  stop(): Promise<void>;
}

export interface VolumesSummary {
  readonly volumes: number;
  /** Volumes that something was wrong with when they were tended last. */
  readonly abnormal: number;
}

interface Context extends VolumeDeps {
  readonly store: VolumeStore;
  readonly lock: VolumeLock;
  readonly shown: VolumeSockets;
}

/** Makes the keeper of this node's volumes; call `recover` before anything else. */
export function createVolumes(deps: VolumeDeps): Volumes {
  const store = createVolumeStore(deps);
  const lock = createVolumeLock();
  const shown = createVolumeSockets(deps.sockets, deps.log);
  const context: Context = { ...deps, store, lock, shown };
  const care = createVolumeCare(context);
  return {
    publish: (request, call) =>
      locked(context, { id: request.volume.id, operation: "publish" }, (lease) => {
        const signal = AbortSignal.any([call.signal, lease.signal]);
        return publish(context, request, { ...call, signal });
      }),
    unpublish: (request) =>
      locked(context, { id: request.id, operation: "unpublish" }, () =>
        unpublish(context, request),
      ),
    write: (id, identity) =>
      locked(context, { id, operation: "write" }, async () => {
        const volume = store.records.get(id)?.state;
        if (volume === undefined) throw notMounted(id);
        await showMounted(context, volume, identity);
      }),
    clear: (id) =>
      locked(context, { id, operation: "write" }, async () => {
        const volume = store.records.get(id)?.state;
        if (volume === undefined) throw notMounted(id);
        await store.clear(volume);
      }),
    get: (id) => store.records.get(id),
    recover: () => recoverVolumes(context),
    collect: () => collectVolumes(context),
    tend: () => care.tend(),
    async faultsOf(id) {
      const record = store.records.get(id);
      return record === undefined ? undefined : await care.faultsOf(record);
    },
    summary: () => ({ volumes: store.records.size, abnormal: care.abnormal() }),
    async stop() {
      store.stop();
      await lock.close(new SignetError("UNAVAILABLE", "the node's agent is stopping"));
    },
  };
}

async function locked<T>(
  { lock }: Context,
  { id, operation }: { id: string; operation: Parameters<VolumeLock["acquire"]>[1] },
  run: (lease: VolumeLease) => Promise<T>,
): Promise<T> {
  const lease = await lock.acquire(id, operation);
  try {
    return await run(lease);
  } catch (error) {
    throw asSystemError(error);
  } finally {
    lease.release();
  }
}

async function publish(
  context: Context,
  request: PublishRequest,
  call: PublishCall,
): Promise<void> {
  const { targets, store, shown } = context;
  const { volume } = request;
  checkConflicts(store.records, volume);
  const mounted = await targets.inspect(volume.target).catch((error: unknown) => {
    throw retriable(asSystemError(error));
  });
  if (mounted === "none") return await firstPublish(context, request, call);
  if (mounted === "foreign") {
    // A pod that another driver of this name served keeps what it has; an error that is final could cost it its mount.
    throw new SignetError(
      "UNAVAILABLE",
      `${volume.target} holds a mount that is not Signet's; recreate the pod to give it a Signet volume`,
    );
  }
  try {
    await republish(context, request, call);
  } catch (error) {
    throw retriable(asSystemError(error));
  }
  await shown.keep(volume);
}

async function firstPublish(
  context: Context,
  { volume, podToken }: PublishRequest,
  call: PublishCall,
): Promise<void> {
  const { targets, store, identities, shown, log } = context;
  const wait = volume.optional ? "brief" : "full";
  const identity = await attestVolume(context, { volume, podToken, wait }, call);
  if (call.signal.aborted) throw abortError(call.signal);
  try {
    await targets.mount(volume.target);
    await store.show(volume, identity);
    identities().adopt(volume, identity);
    await shown.open(volume);
  } catch (error) {
    identities().forget(volume.id);
    // Before the mount goes: an open socket would keep it busy.
    await shown.close(volume.id);
    // The state goes last: it leads to the mount if this is not finished.
    for (const undo of [() => targets.remove(volume.target), () => store.drop(volume.id)]) {
      await undo().catch((cause: unknown) =>
        log.error(
          { volume: volume.id, error: errorMessage(cause) },
          "failed publish could not be undone",
        ),
      );
    }
    throw error;
  }
}

async function republish(
  { clock, store, identities, ...deps }: Context,
  { volume, podToken }: PublishRequest,
  call: PublishCall,
): Promise<void> {
  const known = store.records.get(volume.id);
  const mayBeEmpty = volume.optional || store.isCleared(volume);
  if (known === undefined) {
    // Mounted by an agent that ended before it wrote the state, or lost it.
    const identity = store.recall(volume, []);
    const valid = showsValidSvid(store.records.get(volume.id), clock.now());
    // First: it is known from here on, so that no later call would do it if what follows fails.
    if (valid || mayBeEmpty) identities().adopt(volume, valid ? identity : undefined);
    await store.show(volume, identity);
  }
  if (showsValidSvid(store.records.get(volume.id), clock.now()) || mayBeEmpty) return;
  // An expired volume belongs to a pod that runs: kubelet must not be held up for it.
  const wait = store.records.get(volume.id)?.notAfter === undefined ? "full" : "brief";
  const identity = await attestVolume(
    { clock, identities, log: deps.log },
    { volume, podToken, wait },
    call,
  );
  if (identity === undefined) throw new SignetError("UNAVAILABLE", "volume's SVID has expired");
  identities().adopt(volume, identity);
  await showMounted({ store, targets: deps.targets }, volume, identity);
}

/** Throws NOT_FOUND when the mount is gone: without the tmpfs the key would land on the node's disk. */
async function showMounted(
  { store, targets }: Pick<Context, "store" | "targets">,
  volume: VolumeSpec,
  identity: WorkloadIdentity,
): Promise<void> {
  if ((await targets.inspect(volume.target)) !== "ours") throw notMounted(volume.id);
  await store.show(volume, identity);
}

function notMounted(id: string): SignetError {
  return new SignetError("NOT_FOUND", `volume ${id} is not mounted`);
}

async function unpublish(
  { targets, store, identities, shown }: Context,
  { id, target }: UnpublishRequest,
): Promise<void> {
  const known = store.records.get(id);
  const isHere = known === undefined || known.state.target === target;
  if (isHere) await shown.close(id);
  await targets.remove(target).catch((error: unknown) => {
    // Its files may be gone: should it be published again, it needs new ones.
    if (isHere && known !== undefined) store.recall(known.state, known.state.entries);
    throw error;
  });
  if (!isHere) return;
  identities().forget(id);
  await store.drop(id);
}

function checkConflicts(records: ReadonlyMap<string, VolumeRecord>, volume: VolumeSpec): void {
  const known = records.get(volume.id);
  if (known !== undefined && known.state.target !== volume.target) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      `volume ${volume.id} is published at ${known.state.target}`,
    );
  }
  const other = [...records.values()].find(({ state }) => state.target === volume.target);
  if (other !== undefined && other.state.id !== volume.id) {
    throw new SignetError(
      "ALREADY_EXISTS",
      `${volume.target} belongs to the volume ${other.state.id}`,
    );
  }
}

/** After any other code kubelet gives the volume up, and older ones take it from the running pod. */
const RETRIED = new Set<number>([
  ERROR_CODES.CANCELLED.grpc,
  ERROR_CODES.DEADLINE_EXCEEDED.grpc,
  ERROR_CODES.RESOURCE_EXHAUSTED.grpc,
  ERROR_CODES.ABORTED.grpc,
  ERROR_CODES.UNAVAILABLE.grpc,
]);

function retriable(error: unknown): SignetError {
  const known = toSignetError(error);
  if (RETRIED.has(ERROR_CODES[known.code].grpc)) return known;
  return new SignetError("UNAVAILABLE", known.message, { cause: error, details: known.details });
}
