import { statfs } from "node:fs/promises";
import type { Clock } from "../core/clock.ts";
import { errorMessage, SignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import {
  NodeServiceCapability_RPC_Type as Capability,
  VolumeHealthErrorType as Health,
  VolumeUsage_Unit as Unit,
} from "../rpc/gen/csi/v1/csi_pb.js";
import type {
  Identity,
  Node,
  NodeGetVolumeHealthRequest,
  NodeGetVolumeStatsRequest,
  NodePublishVolumeRequest,
} from "../rpc/gen/csi/v1/csi_pb.js";
import type { CallContext, Handlers } from "../rpc/server.ts";
import type { PublishCall } from "./first-identity.ts";
import { isTarget, parsePublish, parseUnpublish, parseVolumeId } from "./request.ts";
import type { PublishRequest, RequestContext } from "./request.ts";
import type { Targets } from "./target.ts";
import { asSystemError, showsValidSvid } from "./volume-store.ts";
import type { Volumes } from "./volumes.ts";

/** An answer must be on its way before the caller stops waiting for it. */
const ANSWER_MARGIN_MS = 3000;

const CAPABILITIES = [
  Capability.VOLUME_MOUNT_GROUP,
  Capability.GET_VOLUME_STATS,
  Capability.GET_VOLUME_HEALTH,
];

/** What Identity says of us (CSI spec Identity Service). */
export function identityHandlers(plugin: {
  readonly name: string;
  readonly version: string;
}): Handlers<typeof Identity> {
  return {
    getPluginInfo: () => Promise.resolve({ name: plugin.name, vendorVersion: plugin.version }),
    getPluginCapabilities: () => Promise.resolve({ capabilities: [] }),
    probe: () => Promise.resolve({ ready: true }),
  };
}

export interface NodeDeps {
  readonly volumes: Volumes;
  readonly targets: Targets;
  readonly requests: RequestContext;
  readonly nodeName: string;
  /** Longest wait of one publish in milliseconds. */
  readonly publishTimeout: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** What kubelet asks of the node (CSI spec Node Service); requests are never logged, they hold tokens. */
export function nodeHandlers(deps: NodeDeps): Handlers<typeof Node> {
  const { volumes, requests, nodeName, log } = deps;
  return {
    async nodePublishVolume(request, context) {
      await publish(deps, request, context);
      return {};
    },
    async nodeUnpublishVolume(request) {
      const unpublish = parseUnpublish(request, requests);
      await volumes.unpublish(unpublish);
      log.info({ volume: unpublish.id }, "volume unpublished");
      return {};
    },
    nodeGetCapabilities: () =>
      Promise.resolve({
        capabilities: CAPABILITIES.map((type) => ({
          type: { case: "rpc" as const, value: { type } },
        })),
      }),
    nodeGetInfo: () => Promise.resolve({ nodeId: nodeName }),
    nodeGetVolumeStats: (request) => volumeStats(deps, request),
    nodeGetVolumeHealth: (request) => volumeHealth(deps, request),
  };
}

/** The latest moment for the answer of a publish: short of the caller's deadline, and within our own limit. */
export function publishDeadline(
  now: number,
  callDeadline: number | undefined,
  timeout: number,
): number {
  if (callDeadline === undefined) return now + timeout;
  const left = callDeadline - now;
  return Math.min(now + left - Math.min(ANSWER_MARGIN_MS, left / 4), now + timeout);
}

async function publish(
  deps: NodeDeps,
  request: NodePublishVolumeRequest,
  context: CallContext,
): Promise<void> {
  const { volumes, clock, log, publishTimeout } = deps;
  const started = clock.now();
  const parsed = await parseUnlessPublished(deps, request);
  if (parsed === undefined) return;
  const call: PublishCall = {
    deadline: publishDeadline(started, context.deadline, publishTimeout),
    signal: context.signal,
  };
  await volumes.publish(parsed, call);
  const { id, pod } = parsed.volume;
  log.info(
    {
      volume: id,
      pod: pod.name,
      namespace: pod.namespace,
      spiffeId: volumes.get(id)?.state.entries[0]?.spiffeId,
      ms: clock.now() - started,
    },
    "volume published",
  );
}

/** A running pod must not lose its volume because this version is stricter than the one that mounted it. */
async function parseUnlessPublished(
  deps: NodeDeps,
  request: NodePublishVolumeRequest,
): Promise<PublishRequest | undefined> {
  const { volumes, requests, clock, log } = deps;
  try {
    return parsePublish(request, requests);
  } catch (error) {
    const known = volumes.get(request.volumeId);
    const isKnown = known !== undefined && known.state.target === request.targetPath;
    if (isKnown && showsValidSvid(known, clock.now())) {
      log.warn(
        { volume: known.state.id, pod: known.state.pod.name, error: errorMessage(error) },
        "republish is not valid; the volume stays as it is",
      );
      return undefined;
    }
    // What another version or driver mounted may be unknown here, and serve a pod.
    if (!isKnown && !(await mayBeMounted(deps, request.targetPath))) throw error;
    throw new SignetError("UNAVAILABLE", errorMessage(error), { cause: error });
  }
}

async function mayBeMounted({ targets, requests }: NodeDeps, path: string): Promise<boolean> {
  if (!isTarget(path, requests.podsDir)) return false;
  return (await targets.inspect(path).catch(() => "unknown")) !== "none";
}

async function volumeStats({ volumes, targets }: NodeDeps, request: NodeGetVolumeStatsRequest) {
  const id = parseVolumeId(request.volumeId);
  if (request.volumePath === "") {
    throw new SignetError("INVALID_ARGUMENT", "volume_path is missing");
  }
  const target = volumes.get(id)?.state.target;
  if (target !== request.volumePath || (await targets.inspect(target)) !== "ours") {
    throw new SignetError("NOT_FOUND", `volume ${id} is not published at the given path`);
  }
  const fs = await statfs(target, { bigint: true }).catch((error: unknown) => {
    throw asSystemError(error);
  });
  const bytes = {
    unit: Unit.BYTES,
    total: fs.blocks * fs.bsize,
    available: fs.bavail * fs.bsize,
    used: (fs.blocks - fs.bfree) * fs.bsize,
  };
  const inodes = {
    unit: Unit.INODES,
    total: fs.files,
    available: fs.ffree,
    used: fs.files - fs.ffree,
  };
  return { usage: [bytes, inodes] };
}

async function volumeHealth({ volumes }: NodeDeps, request: NodeGetVolumeHealthRequest) {
  const id = parseVolumeId(request.volumeId);
  const path = request.volumePublishPath;
  const known = volumes.get(id);
  const faults = await volumes.faultsOf(id);
  if (known === undefined || faults === undefined || (path !== "" && path !== known.state.target)) {
    throw new SignetError("NOT_FOUND", `volume ${id} is not published at the given path`);
  }
  const healthStatuses = faults.map(({ status, reason, message }) => ({
    status: Health[status],
    reason,
    message,
  }));
  return { volumeHealth: { volumeId: id, healthStatuses } };
}
