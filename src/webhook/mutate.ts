import { posix } from "node:path";
import { parseVolumeAttributes } from "../api/volume-attributes/parse.ts";
import { SignetError } from "../core/errors.ts";
import type { Container, EnvVar, PodSpec, Volume, VolumeMount } from "../kube/types.ts";
import { ANNOTATIONS, readWishes, SOCKET_NAME } from "./annotations.ts";
import type { InjectionWishes } from "./annotations.ts";
import type { IncomingPod } from "./pod.ts";

export interface InjectionOptions {
  /** Name of the CSI driver whose volume carries the identity. */
  readonly driverName: string;
}

const VOLUME_NAME = "signet";

/** Volumes of our driver in one pod. */
interface IdentityVolumes {
  /** The one that containers without a mount get. */
  readonly name: string;
  readonly all: ReadonlySet<string>;
  /** Those with the files of SPIFFE's filesystem delivery under the names that it gives them. */
  readonly delivering: ReadonlySet<string>;
}

/**
 * Gives the pod a volume of our driver, and every container and init container (or those that
 * `signet.dev/containers` names) a read-only mount of it and the variables that SPIFFE clients look for.
 *
 * What the owner wrote stays: a volume of our driver under any name and with its attributes (those of the
 * annotations are for the volume that is added here), its mounts wherever they are (the variables then point
 * there), and variables of the same name. Everything new is appended, parts
 * that need nothing are the same objects as before, and a second call returns the pod it was given.
 *
 * Throws INVALID_ARGUMENT for an annotation or attribute that cannot be followed, and FAILED_PRECONDITION where a
 * container already has another volume at the mount path: without a mount it would run without an
 * identity, or with somebody else's credentials in the place of ours.
 */
export function injectVolume(pod: IncomingPod, options: InjectionOptions): IncomingPod {
  const wishes = readWishes(pod);
  const { spec } = pod;
  const declared = declaredVolumes(pod, options);
  const added = declared.length === 0 ? [identityVolume(pod, wishes, options)] : [];
  const volumes = identityVolumes([...declared, ...added]);

  const next: PodSpec = { ...spec };
  if (added.length > 0) next.volumes = [...(spec.volumes ?? []), ...added];
  for (const list of ["initContainers", "containers"] as const) {
    const containers = spec[list];
    if (containers) next[list] = equipAll(containers, volumes, wishes);
  }
  return sameParts(spec, next) ? pod : { ...pod, spec: next };
}

/**
 * Annotations that have no effect, as warnings for the pod's owner: those for the volume of a pod that declares its
 * own, unless the volume says the same.
 */
export function idleAnnotations(pod: IncomingPod, options: InjectionOptions): string[] {
  const declared = declaredVolumes(pod, options);
  const [first] = declared;
  if (first === undefined) return [];
  return Object.entries(readWishes(pod).attributes)
    .filter(([key, value]) => declared.some(({ csi }) => csi?.volumeAttributes?.[key] !== value))
    .map(
      ([key]) =>
        `annotation ${key} has no effect: the pod declares volume "${first.name}" itself, so write it into that volume's csi.volumeAttributes`,
    );
}

function declaredVolumes({ spec }: IncomingPod, { driverName }: InjectionOptions): Volume[] {
  return (spec.volumes ?? []).filter(({ csi }) => csi?.driver === driverName);
}

function identityVolumes(volumes: readonly Volume[]): IdentityVolumes {
  const delivering = volumes.filter(({ csi }) => {
    const { fileSets, fileNames } = parseVolumeAttributes(
      csi?.volumeAttributes ?? {},
      "volume attribute",
    );
    return fileSets.has("credential-bundle") && !fileNames.has("credential-bundle.pem");
  });
  return {
    name: volumes[0]?.name ?? "",
    all: new Set(volumes.map(({ name }) => name)),
    delivering: new Set(delivering.map(({ name }) => name)),
  };
}

function identityVolume(
  { spec }: IncomingPod,
  { attributes }: InjectionWishes,
  { driverName }: InjectionOptions,
): Volume {
  const some = Object.keys(attributes).length > 0;
  return {
    name: freeName(spec.volumes ?? []),
    csi: {
      driver: driverName,
      readOnly: true,
      ...(some && { volumeAttributes: { ...attributes } }),
    },
  };
}

/** `signet`, or with a number behind it where the pod uses that name for something else. */
function freeName(volumes: readonly Volume[]): string {
  const taken = new Set(volumes.map((volume) => volume.name));
  let name = VOLUME_NAME;
  for (let number = 2; taken.has(name); number += 1) name = `${VOLUME_NAME}-${number}`;
  return name;
}

function equipAll(
  containers: Container[],
  volumes: IdentityVolumes,
  wishes: InjectionWishes,
): Container[] {
  const equipped = containers.map((container) =>
    wishes.containers?.has(container.name) === false
      ? container
      : equip(container, volumes, wishes.mountPath),
  );
  return equipped.some((container, index) => container !== containers[index])
    ? equipped
    : containers;
}

function equip(container: Container, volumes: IdentityVolumes, mountPath: string): Container {
  const { volumeMounts = [], env = [] } = container;
  const existing = volumeMounts.find((mount) => volumes.all.has(mount.name) && isWhole(mount));
  if (!existing) refuseCollision(container, mountPath);
  const folder = existing ? trimPath(existing.mountPath) : mountPath;
  const delivers = volumes.delivering.has(existing?.name ?? volumes.name);
  const wanted = variables(folder, delivers);
  const missing = wanted.filter(({ name }) => !env.some((known) => known.name === name));
  if (existing && missing.length === 0) return container;
  const mount = { name: volumes.name, mountPath, readOnly: true };
  return {
    ...container,
    ...(existing ? {} : { volumeMounts: [...volumeMounts, mount] }),
    ...(missing.length > 0 ? { env: [...env, ...missing] } : {}),
  };
}

/** A mount of a sub-path shows one file that never changes again: it does not count. */
function isWhole(mount: VolumeMount & { subPathExpr?: string }): boolean {
  return !mount.subPath && !mount.subPathExpr;
}

/** Filesystem delivery (draft): whoever finds the folder's variable expects its files there. */
function variables(folder: string, delivers: boolean): EnvVar[] {
  return [
    { name: "SPIFFE_ENDPOINT_SOCKET", value: `unix://${folder}/${SOCKET_NAME}` },
    ...(delivers ? [{ name: "SPIFFE_CREDENTIAL_FOLDER", value: folder }] : []),
  ];
}

/** Below the path is as bad as at it: the mount point could not be made in a read-only volume. */
function refuseCollision(container: Container, mountPath: string): void {
  const other = (container.volumeMounts ?? []).find((mount) => {
    const path = trimPath(mount.mountPath);
    return path === mountPath || path.startsWith(`${mountPath}/`);
  });
  if (!other) return;
  const way = `choose another path with the annotation ${ANNOTATIONS.mountPath}, or leave the container out with ${ANNOTATIONS.containers}`;
  throw new SignetError(
    "FAILED_PRECONDITION",
    `container "${container.name}" already mounts volume "${other.name}" at ${other.mountPath}; ${way}`,
    { details: { mountPath } },
  );
}

function trimPath(path: string): string {
  const normal = posix.normalize(path);
  return normal.length > 1 ? normal.replace(/\/$/, "") : normal;
}

function sameParts(before: PodSpec, after: PodSpec): boolean {
  return (
    before.volumes === after.volumes &&
    before.containers === after.containers &&
    before.initContainers === after.initContainers
  );
}
