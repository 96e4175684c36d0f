import { SignetError } from "../core/errors.ts";

/** What a pod may say on its volume (`volumeAttributes`), and what kubelet adds. */
export interface VolumeAttributes {
  /** Start the pod without waiting for an identity. */
  readonly optional: boolean;
  /** Group that may read the key files; undefined leaves them readable for all. */
  readonly gid: number | undefined;
}

const PREFIX = "signet.dev/";
const OPTIONAL = `${PREFIX}optional`;
const FS_GROUP = `${PREFIX}fs-group`;
const ALLOWED = [FS_GROUP, OPTIONAL];
/** cert-manager's csi-driver-spiffe calls it so; pods written for it keep working. */
const FS_GROUP_ALIAS = "spiffe.csi.cert-manager.io/fs-group";

/** chown(2) reads the largest 32-bit number as "leave it". */
const MAX_GID = 2 ** 32 - 2;

/**
 * Reads the volume's attributes. Keys under `signet.dev/` must be known, so that a misspelt one is not lost
 * in silence; keys of kubelet and of other drivers are ignored, so that a pod can name several drivers' ones.
 * `mountGroup` is the pod's fsGroup as kubelet passes it (VOLUME_MOUNT_GROUP), "" when it has none; an
 * attribute of the volume wins over it. Throws INVALID_ARGUMENT that names the attribute.
 */
export function parseAttributes(
  context: Readonly<Record<string, string>>,
  mountGroup: string,
): VolumeAttributes {
  const unknown = Object.keys(context).find(
    (key) => key.startsWith(PREFIX) && !ALLOWED.includes(key),
  );
  if (unknown !== undefined) {
    throw new SignetError(
      "INVALID_ARGUMENT",
      `volume attribute ${JSON.stringify(unknown.slice(0, 128))} is unknown; known are ${ALLOWED.join(", ")}`,
    );
  }
  const groupKey = [FS_GROUP, FS_GROUP_ALIAS].find((key) => context[key] !== undefined);
  const group = groupKey === undefined ? mountGroup : (context[groupKey] ?? "");
  return {
    optional: parseFlag(OPTIONAL, context[OPTIONAL]),
    gid: group === "" && groupKey === undefined ? undefined : parseGid(groupKey, group),
  };
}

function parseFlag(key: string, value: string | undefined): boolean {
  if (value === undefined || value === "false") return false;
  if (value === "true") return true;
  throw new SignetError(
    "INVALID_ARGUMENT",
    `volume attribute ${key} must be "true" or "false", not ${JSON.stringify(value.slice(0, 128))}`,
  );
}

function parseGid(key: string | undefined, value: string): number {
  if (/^\d{1,10}$/.test(value) && Number(value) <= MAX_GID) return Number(value);
  throw new SignetError(
    "INVALID_ARGUMENT",
    `${key === undefined ? "volume mount group" : `volume attribute ${key}`} must be a group ID between 0 and ${MAX_GID}, not ${JSON.stringify(value.slice(0, 128))}`,
  );
}
