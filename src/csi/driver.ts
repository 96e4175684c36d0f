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
import type { IdentitySink, IdentitySource, WorkloadSockets } from "./ports.ts";
import { registrationHandlers } from "./registration.ts";
import { identityHandlers, nodeHandlers } from "./service.ts";
import { keepSocket } from "./socket-keeper.ts";
import type { KeptSocket } from "./socket-keeper.ts";
import { createTargets } from "./target.ts";
import { createVolumeStateStore } from "./volume-state.ts";
import { createVolumes } from "./volumes.ts";
import type { Volumes } from "./volumes.ts";

const COLLECT_EVERY_MS = 300_000;

export interface CsiDriverDeps {
  readonly config: AgentConfig;
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

/** The CSI node driver. `start` takes over mounted volumes, serves CSI, then asks kubelet to register it. */
export interface CsiDriver extends Service {
  readonly sink: IdentitySink;
  /** Whether kubelet has registered the driver since the start. */
  registered(): boolean;
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
    csiSocket: join(plugin, "csi.sock"),
    registrationSocket: join(registry, `${driverName}-reg.sock`),
  };
}

/**
 * Makes the driver. Starting throws INVALID_ARGUMENT when a socket's path would be too long and SYSTEM when a
 * folder or socket cannot be made; stopping removes the sockets and leaves every mount.
 */
export function createCsiDriver(deps: CsiDriverDeps): CsiDriver {
  const { config, mounter, clock, log } = deps;
  const paths = driverPaths(config);
  const targets = createTargets(mounter, config.driverName);
  const states = createVolumeStateStore(paths.states);
  const volumes = createVolumes({ ...deps, podsDir: paths.pods, targets, states });
  const sockets: KeptSocket[] = [];
  const stopping = new AbortController();
  let collecting: Promise<void> = Promise.resolve();
  let registered = false;
  const csi = csiServer(deps, { volumes, targets, podsDir: paths.pods });
  const registration = new Server();
  addService(
    registration,
    Registration,
    registrationHandlers({
      driverName: config.driverName,
      endpoint: paths.csiSocket,
      onRegistered: () => (registered = true),
      onRefused: deps.onRefused,
      log,
    }),
    callObserver(log),
  );
  const serve = async (): Promise<void> => {
    for (const path of [paths.csiSocket, paths.registrationSocket]) checkSocketPath(path);
    await mkdir(paths.plugin, { recursive: true, mode: 0o750 });
    await mkdir(paths.registry, { recursive: true, mode: 0o750 });
    await warnWithoutPropagation(mounter, paths.pods, log);
    await volumes.recover();
    // kubelet calls the CSI socket as soon as it sees the other one.
    sockets.push(await keepSocket(csi, paths.csiSocket, { clock, log }));
    sockets.push(await keepSocket(registration, paths.registrationSocket, { clock, log }));
    collecting = collectForever(volumes, clock, stopping.signal);
  };
  const stop = async (): Promise<void> => {
    stopping.abort();
    const kept = sockets.splice(0).toReversed();
    await volumes.stop();
    for (const socket of kept) await socket.close();
    for (const server of [registration, csi]) server.forceShutdown();
    await collecting;
  };
  return {
    name: "csi",
    sink: volumes,
    registered: () => registered,
    stop,
    start: () =>
      serve().catch(async (error: unknown) => {
        await stop();
        throw error;
      }),
  };
}

function csiServer(
  { config, nodeName, version, audience, clock, log }: CsiDriverDeps,
  parts: { volumes: Volumes; targets: ReturnType<typeof createTargets>; podsDir: string },
): Server {
  const { volumes, targets, podsDir } = parts;
  const { publishTimeout, driverName: name } = config;
  const server = new Server();
  const requests = { podsDir, audience };
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

async function collectForever(volumes: Volumes, clock: Clock, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await volumes.collect();
    await clock.sleep(COLLECT_EVERY_MS, signal).catch(() => undefined);
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
