import { SignetError } from "../core/errors.ts";
import type {
  NodePublishVolumeRequest,
  NodeUnpublishVolumeRequest,
  VolumeCapability,
} from "../rpc/gen/csi/v1/csi_pb.js";
import { parseAttributes } from "./attributes.ts";
import { podTokenOf } from "./pod-token.ts";
import type { Volume, WorkloadPod } from "./ports.ts";

/** A volume as kubelet asks for it. */
export interface VolumeSpec extends Volume {
  readonly target: string;
  /** Group that may read the key files; undefined leaves them readable for all. */
  readonly gid: number | undefined;
  /** Start the pod without waiting for an identity. */
  readonly optional: boolean;
  /** The pod's own words about the files, as they were found to be right. */
  readonly attributes: Readonly<Record<string, string>>;
}

export interface PublishRequest {
  readonly volume: VolumeSpec;
  /** Never logged. */
  readonly podToken: string;
}

export interface UnpublishRequest {
  readonly id: string;
  readonly target: string;
}

export interface RequestContext {
  /** kubelet's folder of pods: every target lies below it. */
  readonly podsDir: string;
  /** Audience of the pod's token. */
  readonly audience: string;
  /** What becomes of the files of a pod that has no identity any more; they stay when left out. */
  readonly removal?: Volume["removal"];
}

const POD_INFO = "csi.storage.k8s.io/";
const EPHEMERAL = `${POD_INFO}ephemeral`;

/** CSI spec, "Size Limits": 128 bytes for what is not said otherwise; a path is PATH_MAX. */
const MAX_ID_BYTES = 128;
const MAX_PATH_BYTES = 4096;
/** Kubernetes names are DNS subdomains. */
const MAX_NAME_CHARS = 253;

/**
 * Checks a NodePublishVolume request (CSI spec NodePublishVolume) of kubelet for an inline volume.
 * Throws INVALID_ARGUMENT that names the field and the way out, FAILED_PRECONDITION without a token.
 */
export function parsePublish(
  request: NodePublishVolumeRequest,
  { podsDir, audience, removal = "keep" }: RequestContext,
): PublishRequest {
  const id = parseVolumeId(request.volumeId);
  const target = parseTarget(request.targetPath, podsDir);
  const mountGroup = parseCapability(request.volumeCapability);
  const context = request.volumeContext;
  if (context[EPHEMERAL] !== "true") {
    throw invalid("volume must be an inline (ephemeral) volume of a pod, not a PersistentVolume");
  }
  if (!request.readonly) throw invalid("volume must have readOnly: true in the pod's spec");
  const attributes = parseAttributes(context, { mountGroup, removal });
  const pod = parsePod(context);
  if (!target.startsWith(`${podsDir}/${pod.uid}/`)) {
    throw invalid(`target path ${JSON.stringify(target)} is not of the pod with UID ${pod.uid}`);
  }
  const podToken = podTokenOf({ secrets: request.secrets, volumeContext: context }, audience);
  return { volume: { id, target, pod, ...attributes }, podToken };
}

/** Checks a NodeUnpublishVolume request (CSI spec NodeUnpublishVolume). Throws INVALID_ARGUMENT. */
export function parseUnpublish(
  request: NodeUnpublishVolumeRequest,
  { podsDir }: Pick<RequestContext, "podsDir">,
): UnpublishRequest {
  return {
    id: parseVolumeId(request.volumeId),
    target: parseTarget(request.targetPath, podsDir),
  };
}

/** Checks a volume ID: not empty, at most 128 bytes, no control characters. Throws INVALID_ARGUMENT. */
export function parseVolumeId(id: string): string {
  if (id === "") throw invalid("volume_id is missing");
  if (Buffer.byteLength(id) > MAX_ID_BYTES)
    throw invalid(`volume_id is longer than ${MAX_ID_BYTES} bytes`);
  if (hasControl(id)) throw invalid("volume_id holds control characters");
  return id;
}

/** Checks that a target is a clean absolute path below the folder of pods. Throws INVALID_ARGUMENT. */
export function parseTarget(path: string, podsDir: string): string {
  if (path === "") throw invalid("target_path is missing");
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw invalid(`target_path is longer than ${MAX_PATH_BYTES} bytes`);
  }
  // mount(2) takes a C string: a NUL would end the path early.
  if (hasControl(path)) throw invalid("target_path holds control characters");
  const steps = path.slice(podsDir.length + 1).split("/");
  const clean = steps.every((step) => step !== "" && step !== "." && step !== "..");
  if (!path.startsWith(`${podsDir}/`) || !clean || steps.length < 2) {
    throw invalid(`target_path ${JSON.stringify(path)} is not a path below ${podsDir}/<pod UID>`);
  }
  return path;
}

/** Tells whether `parseTarget` would accept. */
export function isTarget(path: string, podsDir: string): boolean {
  try {
    return parseTarget(path, podsDir) === path;
  } catch {
    return false;
  }
}

function parseCapability(capability: VolumeCapability | undefined): string {
  switch (capability?.accessType.case) {
    case "mount":
      return capability.accessType.value.volumeMountGroup;
    case "block":
      throw invalid("volume_capability asks for a block device; the volume is a file system");
    default:
      throw invalid("volume_capability is missing");
  }
}

function parsePod(context: Readonly<Record<string, string>>): WorkloadPod {
  const read = (key: string): string => {
    const value = context[`${POD_INFO}${key}`] ?? "";
    if (value === "") {
      throw invalid(
        `volume_context has no ${POD_INFO}${key}; the CSIDriver must have podInfoOnMount: true`,
      );
    }
    if (value.length > MAX_NAME_CHARS || hasControl(value) || value.includes("/")) {
      throw invalid(`volume_context ${POD_INFO}${key} is not a name`);
    }
    return value;
  };
  return {
    uid: read("pod.uid"),
    name: read("pod.name"),
    namespace: read("pod.namespace"),
    serviceAccount: read("serviceAccount.name"),
  };
}

function hasControl(text: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return /[\u0000-\u001f\u007f]/.test(text);
}

function invalid(message: string): SignetError {
  return new SignetError("INVALID_ARGUMENT", message);
}
