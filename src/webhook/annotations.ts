import { posix } from "node:path";
import { faulty, quote } from "../api/volume-attributes/fault.ts";
import { ATTRIBUTE_PREFIX } from "../api/volume-attributes/names.ts";
import { ownAttributes, parseVolumeAttributes } from "../api/volume-attributes/parse.ts";
import type { SignetError } from "../core/errors.ts";
import type { IncomingPod } from "./pod.ts";

/** Pod annotations that steer the injection, beside those that are attributes of the volume; all are optional. */
export const ANNOTATIONS = {
  /** Absolute folder at which containers see the volume. */
  mountPath: "signet.dev/mount-path",
  /** Comma-separated names of the containers and init containers that get the volume; all without it. */
  containers: "signet.dev/containers",
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
  /** Attributes for the volume, in the annotations' words. */
  readonly attributes: Readonly<Record<string, string>>;
}

/**
 * Reads the annotations of a pod under `signet.dev/`, of which each must be known; throws INVALID_ARGUMENT that
 * names the annotation and what it may hold.
 */
export function readWishes(pod: IncomingPod): InjectionWishes {
  const annotations = Object.fromEntries(
    Object.entries(pod.metadata?.annotations ?? {}).filter(([key]) =>
      key.startsWith(ATTRIBUTE_PREFIX),
    ),
  );
  parseVolumeAttributes(annotations, "annotation", Object.values(ANNOTATIONS));
  return {
    mountPath: readMountPath(annotations[ANNOTATIONS.mountPath]),
    containers: readContainers(annotations[ANNOTATIONS.containers], containerNames(pod)),
    attributes: ownAttributes(annotations),
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

function invalid(key: string, text: string, rule: string): SignetError {
  return faulty({ source: "annotation", key, text }, rule);
}
