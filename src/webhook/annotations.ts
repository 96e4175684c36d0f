import { posix } from "node:path";
import { SignetError } from "../core/errors.ts";
import type { IncomingPod } from "./pod.ts";

/** Pod annotations that steer the injection; all are optional. */
export const ANNOTATIONS = {
  /** Absolute folder at which containers see the volume. */
  mountPath: "signet.dev/mount-path",
  /** Comma-separated names of the containers and init containers that get the volume; all without it. */
  containers: "signet.dev/containers",
  /** `true` starts the pod even while nothing selects it; also the attribute's name on the volume. */
  optional: "signet.dev/optional",
} as const;

const DEFAULT_MOUNT_PATH = "/var/run/secrets/spiffe.io";

/** The Workload API socket within the volume. */
export const SOCKET_NAME = "api.sock";

/** A unix socket's path holds 107 bytes (`sun_path` without its terminating zero). */
const MAX_MOUNT_PATH_BYTES = 107 - "/".length - SOCKET_NAME.length;

const PATH = /^\/[A-Za-z0-9._/-]*$/;

/** What a pod's owner asked for. */
export interface InjectionWishes {
  readonly mountPath: string;
  /** Undefined means all. */
  readonly containers: ReadonlySet<string> | undefined;
  readonly optional: boolean;
}

/** Reads the annotations of a pod; throws INVALID_ARGUMENT that names the annotation and what it may hold. */
export function readWishes(pod: IncomingPod): InjectionWishes {
  const annotations = pod.metadata?.annotations ?? {};
  return {
    mountPath: readMountPath(annotations[ANNOTATIONS.mountPath]),
    containers: readContainers(annotations[ANNOTATIONS.containers], containerNames(pod)),
    optional: readOptional(annotations[ANNOTATIONS.optional]),
  };
}

function containerNames(pod: IncomingPod): string[] {
  const { initContainers = [], containers = [] } = pod.spec;
  return [...initContainers, ...containers].map((container) => container.name);
}

function readMountPath(text: string | undefined): string {
  if (text === undefined) return DEFAULT_MOUNT_PATH;
  const path = text.length > 1 ? text.replace(/\/$/, "") : text;
  if (!PATH.test(path) || path === "/" || posix.normalize(path) !== path) {
    const rule = "an absolute path of letters, digits, dots, dashes and underscores, and not /";
    throw invalid(ANNOTATIONS.mountPath, text, `must be ${rule}`);
  }
  if (path.length > MAX_MOUNT_PATH_BYTES) {
    const rule = `must be at most ${MAX_MOUNT_PATH_BYTES} bytes, because a socket in it could not be opened`;
    throw invalid(ANNOTATIONS.mountPath, text, rule);
  }
  return path;
}

function readContainers(
  text: string | undefined,
  known: readonly string[],
): ReadonlySet<string> | undefined {
  if (text === undefined) return undefined;
  const names = text.split(",").map((name) => name.trim());
  const wrong = names.find((name) => !known.includes(name));
  if (wrong === undefined) return new Set(names);
  const unknown = wrong === "" ? "holds an empty name" : `names no container ${quote(wrong)}`;
  throw invalid(ANNOTATIONS.containers, text, `${unknown}; the pod has ${known.join(", ")}`);
}

function readOptional(text: string | undefined): boolean {
  if (text === undefined || text === "false") return false;
  if (text === "true") return true;
  throw invalid(ANNOTATIONS.optional, text, 'must be "true" or "false"');
}

function invalid(annotation: string, value: string, rule: string): SignetError {
  return new SignetError("INVALID_ARGUMENT", `annotation ${annotation}=${quote(value)} ${rule}`, {
    details: { annotation },
  });
}

/** Annotations may hold 256 KiB: a refusal shows the beginning. */
function quote(value: string): string {
  return JSON.stringify(value.length > 128 ? `${value.slice(0, 128)}…` : value);
}
