import { SignetError } from "../../core/errors.ts";
import { detailOf, faulty, quote } from "./fault.ts";
import type { AttributeSource, WrittenValue } from "./fault.ts";
import { DEFAULT_FILE_SETS, readFileNames, readFileSets } from "./files.ts";
import type { FileSet, FixedFile } from "./files.ts";
import { readJwtAudiences } from "./jwt-audiences.ts";
import type { JwtFile } from "./jwt-audiences.ts";
import { ATTRIBUTE_NAMES, ATTRIBUTE_PREFIX, ATTRIBUTES, FS_GROUP_ALIAS } from "./names.ts";
import { readChoice, readFlag, readId, readMode, readNotify, readPassword } from "./scalars.ts";
import type { NotifyTarget } from "./scalars.ts";

/** Types of the SVIDs' key that a pod may ask for. */
export const VOLUME_KEY_TYPES = ["ec-p256", "ec-p384", "rsa-2048", "rsa-4096"] as const;
export const KEY_FORMATS = ["pkcs8", "sec1", "pkcs1"] as const;
export type KeyFormat = (typeof KEY_FORMATS)[number];

const REMOVALS = ["keep", "remove"] as const;
/** Certificates are public. */
const DEFAULT_FILE_MODE = 0o444;
/** Java's habit. It keeps nobody out: the file's mode does. */
const DEFAULT_PASSWORD = "changeit";
const MAX_VALUE_BYTES = 8192;

/** What a pod says of its volume, with the defaults of what it does not say. */
export interface VolumeAttributes {
  /** Start the pod without waiting for an identity. */
  readonly optional: boolean;
  /** Group that may read the key files. */
  readonly gid: number | undefined;
  /** Owner of the files. */
  readonly uid: number | undefined;
  readonly jwtFiles: readonly JwtFile[];
  readonly fileSets: ReadonlySet<FileSet>;
  /** New names of files. */
  readonly fileNames: ReadonlyMap<FixedFile, string>;
  /** Permission bits of public files. */
  readonly fileMode: number;
  /** Permission bits of files that hold a key or a token; undefined when the owner and the group decide. */
  readonly keyMode: number | undefined;
  readonly keyFormat: KeyFormat;
  readonly keyType: (typeof VOLUME_KEY_TYPES)[number];
  readonly keystorePassword: string;
  /** Undefined when the agent decides. */
  readonly removal: "keep" | "remove" | undefined;
  readonly notify: NotifyTarget | undefined;
}

/**
 * Reads volume attributes or annotations. Keys under `signet.dev/` must be known, here or to the caller; all others
 * are ignored, so that a pod can name several drivers' ones. Throws INVALID_ARGUMENT that names key, value and the way out.
 */
export function parseVolumeAttributes(
  given: Readonly<Record<string, string>>,
  source: AttributeSource,
  alsoKnown: readonly string[] = [],
): VolumeAttributes {
  refuseUnknown(given, source, [...ATTRIBUTE_NAMES, ...alsoKnown].toSorted());
  const read = <T, D>(key: string, reader: (value: WrittenValue) => T, otherwise: D): T | D => {
    if (!Object.hasOwn(given, key)) return otherwise;
    return reader(bounded({ source, key, text: given[key] ?? "" }));
  };
  const group = Object.hasOwn(given, ATTRIBUTES.fsGroup) ? ATTRIBUTES.fsGroup : FS_GROUP_ALIAS;
  const fileSets = read(ATTRIBUTES.files, readFileSets, new Set(DEFAULT_FILE_SETS));
  const keyType = read(ATTRIBUTES.keyType, (v) => readChoice(v, VOLUME_KEY_TYPES), "ec-p256");
  return {
    optional: read(ATTRIBUTES.optional, readFlag, false),
    gid: read(group, (v) => readId(v, "group"), undefined),
    uid: read(ATTRIBUTES.uid, (v) => readId(v, "user"), undefined),
    jwtFiles: read(ATTRIBUTES.jwtAudiences, readJwtAudiences, []),
    fileSets,
    fileNames: read(ATTRIBUTES.fileNames, (v) => readFileNames(v, fileSets), new Map()),
    fileMode: read(ATTRIBUTES.fileMode, readMode, DEFAULT_FILE_MODE),
    keyMode: read(ATTRIBUTES.keyMode, readMode, undefined),
    keyFormat: read(ATTRIBUTES.keyFormat, (v) => readKeyFormat(v, keyType), "pkcs8"),
    keyType,
    keystorePassword: read(ATTRIBUTES.keystorePassword, readPassword, DEFAULT_PASSWORD),
    removal: read(ATTRIBUTES.onRemoval, (v) => readChoice(v, REMOVALS), undefined),
    notify: read(ATTRIBUTES.notify, readNotify, undefined),
  };
}

/** The attributes among other ones that Signet reads: what has to be kept to read them again. */
export function ownAttributes(
  given: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const own = Object.entries(given).filter(
    ([key]) => ATTRIBUTE_NAMES.includes(key) || key === FS_GROUP_ALIAS,
  );
  return Object.fromEntries(own.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function refuseUnknown(
  given: Readonly<Record<string, string>>,
  source: AttributeSource,
  known: readonly string[],
): void {
  const unknown = Object.keys(given).find(
    (key) => key.startsWith(ATTRIBUTE_PREFIX) && !known.includes(key),
  );
  if (unknown === undefined) return;
  throw new SignetError(
    "INVALID_ARGUMENT",
    `${source} ${quote(unknown)} is unknown; known are ${known.join(", ")}`,
    { details: { [detailOf(source)]: unknown } },
  );
}

function bounded(value: WrittenValue): WrittenValue {
  if (Buffer.byteLength(value.text) <= MAX_VALUE_BYTES) return value;
  throw faulty(value, `must be at most ${MAX_VALUE_BYTES} bytes long`);
}

function readKeyFormat(value: WrittenValue, keyType: string): KeyFormat {
  const format = readChoice(value, KEY_FORMATS);
  const family = { pkcs8: "", sec1: "ec-", pkcs1: "rsa-" }[format];
  if (keyType.startsWith(family)) return format;
  const fitting = VOLUME_KEY_TYPES.filter((type) => type.startsWith(family)).join(" or ");
  throw faulty(
    value,
    `does not fit a key of type ${keyType}; set ${ATTRIBUTES.keyType} to ${fitting}`,
  );
}
