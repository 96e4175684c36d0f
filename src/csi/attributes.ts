import { SignetError } from "../core/errors.ts";
import { ownAttributes, parseVolumeAttributes } from "../api/volume-attributes/parse.ts";
import { parseId } from "../api/volume-attributes/scalars.ts";
import type { VolumeSpec } from "./request.ts";

/** What a volume's attributes say of it. */
export type AttributeFields = Pick<
  VolumeSpec,
  "attributes" | "gid" | "jwtAudiences" | "keyType" | "optional" | "removal"
>;

export interface AttributeDefaults {
  /** The pod's fsGroup as kubelet passes it (VOLUME_MOUNT_GROUP), "" when it has none. */
  readonly mountGroup: string;
  /** What becomes of the files of a pod that has no identity any more, and says nothing. */
  readonly removal: VolumeSpec["removal"];
}

/**
 * Reads the volume's attributes, which win over the defaults. Keys of kubelet and of other drivers are ignored.
 * Throws INVALID_ARGUMENT that names the attribute.
 */
export function parseAttributes(
  context: Readonly<Record<string, string>>,
  { mountGroup, removal }: AttributeDefaults,
): AttributeFields {
  const parsed = parseVolumeAttributes(context, "volume attribute");
  return {
    attributes: ownAttributes(context),
    gid: parsed.gid ?? parseMountGroup(mountGroup),
    jwtAudiences: parsed.jwtFiles.map(({ audience }) => audience),
    keyType: parsed.keyType,
    optional: parsed.optional,
    removal: parsed.removal ?? removal,
  };
}

function parseMountGroup(text: string): number | undefined {
  const gid = parseId(text);
  if (gid !== undefined || text === "") return gid;
  throw new SignetError(
    "INVALID_ARGUMENT",
    `volume mount group must be a group ID, not ${JSON.stringify(text.slice(0, 128))}`,
  );
}
