import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Server } from "@grpc/grpc-js";
import type { Clock } from "../core/clock.ts";
import type { AgentConfig } from "../core/config.ts";
import { isSignetError, toSignetError } from "../core/errors.ts";
import type { SignetError } from "../core/errors.ts";
import type { Service } from "../core/lifecycle.ts";
import type { Log } from "../core/log.ts";
import { Identity, Node } from "../rpc/gen/csi/v1/csi_pb.js";
import { Registration } from "../rpc/gen/pluginregistration/v1/registration_pb.js";
import { addService } from "../rpc/server.ts";
import type { CallObserver } from "../rpc/server.ts";
import { checkSocketPath } from "../rpc/unix.ts";
import { mountOf } from "./mount-table.ts";
import type { Mounter } from "./mount.ts";
import { acquireNodeLock } from "./node-lock.ts";
import type { NodeLock } from "./node-lock.ts";
import type { IdentitySink, IdentitySource, WorkloadSockets } from "./ports.ts";
import { registrationHandlers } from "./registration.ts";
import { identityHandlers, nodeHandlers } from "./service.ts";
import { keepSocket } from "./socket-keeper.ts";
import type { KeptSocket } from "./socket-keeper.ts";
import { createTargets } from "./target.ts";
import { createVolumeStateStore } from "./volume-state.ts";
import { createVolumes } from "./volumes.ts";
import type { Volumes, VolumesSummary } from "./volumes.ts";

/** How often volumes are looked at, and how many looks it takes until those of removed pods are collected. */
const TEND_EVERY_MS = 10_000;
const COLLECT_EVERY = 30;

export interface CsiDriverDeps {
  readonly config: Pick<AgentConfig, "driverName" | "kubeletDir" | "publishTimeout" | "onRemoval">;
  readonly nodeName: string;
  /** Of this program, for kubelet's logs. */
  readonly version: string;
  /** Audience of the pods' tokens. */
  readonly audience: string;
  /** Asked for when it is used, since the source itself needs the driver's sink. */
  readonly identities: () => IdentitySource;
  readonly sockets: WorkloadSockets;
  readonly mounter: Mounter;
  readonly clock: Clock;
  readonly log: Log;
  /** kubelet refused the driver: the agent is of no use until it is restarted with other settings. */
  readonly onRefused: (error: SignetError) => void;
}

/**
 * The CSI node driver. `start` waits until no other process looks after this node's volumes, takes over those that
 * are mounted, serves CSI, then asks kubelet to register it.
 */
export interface CsiDriver extends Service {
  readonly sink: IdentitySink;
  /** Whether kubelet has registered the driver since the start. */
  registered(): boolean;
  /** Whether it waits for the agent before it to end: as ready as it can be until then. */
  standby(): boolean;
  summary(): VolumesSummary;
}

/** The paths of a driver below kubelet's folder. */
export function driverPaths({
  kubeletDir,
  driverName,
}: Pick<AgentConfig, "kubeletDir" | "driverName">) {
  const root = resolve(kubeletDir);
  const plugin = join(root, "plugins", driverName);
  const registry = join(root, "plugins_registry");
  return {
    pods: join(root, "pods"),
    plugin,
    registry,
    states: join(plugin, "volumes"),
    lock: join(plugin, "agent.lock"),
    csiSocket: join(plugin, "csi.sock"),
    registrationSocket: join(registry, `${driverName}-reg.sock`),
  };
}

/**
 * Makes the driver. Starting throws INVALID_ARGUMENT when a socket's path would be too long and SYSTEM when a
 * folder or socket cannot be made; stopping removes kubelet's sockets and leaves every mount.
 */
export function createCsiDriver(deps: CsiDriverDeps): CsiDriver {
  const { config, mounter, clock, log } = deps;
  const paths = driverPaths(config);
  const targets = createTargets(mounter, config.driverName);
  const states = createVolumeStateStore(paths.states);
  const volumes = createVolumes({ ...deps, podsDir: paths.pods, targets, states });
  const sockets: KeptSocket[] = [];
  const stopping = new AbortController();
  let caring: Promise<void> = Promise.resolve();
  let registered = false;
  let standby = false;
  let lock: NodeLock | undefined;
  const csi = csiServer(deps, { volumes, targets, podsDir: paths.pods });
  const registration = registrationServer(deps, paths.csiSocket, () => (registered = true));
  const serve = async (): Promise<void> => {
    for (const path of [paths.csiSocket, paths.registrationSocket]) checkSocketPath(path);
    await mkdir(paths.plugin, { recursive: true, mode: 0o750 });
    await mkdir(paths.registry, { recursive: true, mode: 0o750 });
    lock = await acquireNodeLock(paths.lock, {
      clock,
      signal: stopping.signal,
      onWait() {
        standby = true;
        log.info({}, "another agent looks after this node; waiting for its end");
      },
    }).finally(() => (standby = false));
    await warnWithoutPropagation(mounter, paths.pods, log);
    await volumes.recover();
    // kubelet calls the CSI socket as soon as it sees the other one.
    sockets.push(await keepSocket(csi, paths.csiSocket, { clock, log }));
    sockets.push(await keepSocket(registration, paths.registrationSocket, { clock, log }));
    caring = careForever(volumes, { clock, signal: stopping.signal, log });
  };
  const stop = async (): Promise<void> => {
    stopping.abort();
    const kept = sockets.splice(0).toReversed();
    await volumes.stop();
    for (const socket of kept) await socket.close();
    for (const server of [registration, csi]) server.forceShutdown();
    await caring;
    const told = deps.sockets.stop();
    // The next agent may open its sockets while clients of ours still take their leave.
    lock?.release();
    lock = undefined;
    await told;
  };
  return {
    name: "csi",
    sink: volumes,
    registered: () => registered,
    standby: () => standby,
    summary: () => volumes.summary(),
    stop,
    start: () =>
      serve().catch(async (error: unknown) => {
        await stop();
        throw error;
      }),
  };
}

function registrationServer(
  { config, onRefused, log }: CsiDriverDeps,
  endpoint: string,
  onRegistered: () => void,
): Server {
  const server = new Server();
  const { driverName } = config;
  const handlers = registrationHandlers({ driverName, endpoint, onRegistered, onRefused, log });
  addService(server, Registration, handlers, callObserver(log));
  return server;
}

function csiServer(
  { config, nodeName, version, audience, clock, log }: CsiDriverDeps,
  parts: { volumes: Volumes; targets: ReturnType<typeof createTargets>; podsDir: string },
): Server {
  const { volumes, targets, podsDir } = parts;
  const { publishTimeout, driverName: name } = config;
  const server = new Server();
  const requests = { podsDir, audience, removal: config.onRemoval };
  const node = nodeHandlers({ volumes, targets, requests, nodeName, publishTimeout, clock, log });
  addService(server, Identity, identityHandlers({ name, version }), callObserver(log));
  addService(server, Node, node, callObserver(log));
  return server;
}

/** Logs a failed call: what did not work is a warning, what never should have happened an error. */
function callObserver(log: Log): CallObserver {
  return (method, error) => {
    const { code, message, details } = toSignetError(error);
    const fields = { method, code, error: message, details };
    if (isSignetError(error)) log.warn(fields, "call failed");
    else log.error({ ...fields, err: error }, "call failed unexpectedly");
  };
}

async function careForever(
  volumes: Volumes,
  { clock, signal, log }: { clock: Clock; signal: AbortSignal; log: Log },
): Promise<void> {
  for (let look = 0; !signal.aborted; look++) {
    try {
      if (look % COLLECT_EVERY === 0) await volumes.collect();
      await volumes.tend();
    } catch (error) {
      if (!signal.aborted) log.error({ err: error }, "volumes could not be looked after");
    }
    await clock.sleep(TEND_EVERY_MS, signal).catch(() => undefined);
  }
}

/** Without shared propagation our mounts stay in our own namespace: pods would see empty folders. */
async function warnWithoutPropagation(mounter: Mounter, pods: string, log: Log): Promise<void> {
  if (mountOf(await mounter.mounts(), pods)?.shared === true) return;
  log.warn(
    { folder: pods },
    "folder of pods is not on a shared mount; the agent needs mountPropagation: Bidirectional there",
  );
}
