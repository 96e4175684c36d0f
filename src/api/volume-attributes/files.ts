import { faulty, quote } from "./fault.ts";
import type { WrittenValue } from "./fault.ts";
import { collision, isFilePath } from "./file-name.ts";
import {
  FEDERATED_FOLDER,
  JWT_FOLDER,
  SOCKET_NAMES,
  SVIDS_FOLDER,
  TRUST_BUNDLE_SUFFIX,
} from "./names.ts";

/** Sets of files with the names that are known beforehand; some hold others, one for each trust domain or SVID. */
export const FILE_SETS = {
  /** Names of a Secret of the type kubernetes.io/tls. */
  kubernetes: ["tls.crt", "tls.key", "ca.crt"],
  "spiffe-helper": ["svid.pem", "svid_key.pem", "bundle.pem"],
  /** SPIFFE filesystem delivery (draft), with `<trust domain>.trust-bundle.pem`. */
  "credential-bundle": ["credential-bundle.pem"],
  combined: ["tls-combined.pem"],
  pkcs12: ["keystore.p12", "truststore.p12"],
  jks: ["keystore.jks", "truststore.jks"],
  "bundle-json": ["bundle.json"],
  federated: [],
  svids: [],
  rotated: ["rotated"],
} as const satisfies Record<string, readonly string[]>;

export type FileSet = keyof typeof FILE_SETS;
/** A file whose name a pod may change. */
export type FixedFile = (typeof FILE_SETS)[FileSet][number];

/** What a volume shows whose pod says nothing. */
export const DEFAULT_FILE_SETS: readonly FileSet[] = [
  "kubernetes",
  "spiffe-helper",
  "credential-bundle",
  "bundle-json",
  "federated",
  "svids",
];

const SETS = Object.keys(FILE_SETS) as FileSet[];
const RESERVED: ReadonlySet<string> = new Set([
  ...SOCKET_NAMES,
  JWT_FOLDER,
  FEDERATED_FOLDER,
  SVIDS_FOLDER,
]);

/** Reads `<set>,…`, where `default` stands for the default sets, or `none`. Throws INVALID_ARGUMENT. */
export function readFileSets(value: WrittenValue): ReadonlySet<FileSet> {
  const words = value.text.split(",").map((word) => word.trim());
  if (words.length === 1 && words[0] === "none") return new Set();
  const sets = words.flatMap((word): readonly FileSet[] => {
    if (word === "default") return DEFAULT_FILE_SETS;
    const set = SETS.find((known) => known === word);
    if (set !== undefined) return [set];
    const why = word === "none" ? '"none" stands alone' : `${quote(word)} is no set of files`;
    throw faulty(
      value,
      `must name sets of files, but ${why}; known are default, ${SETS.join(", ")}, or none`,
    );
  });
  return new Set(sets);
}

/**
 * Reads `<file>=<new name>,…` for files of the chosen sets; a new name may lie in a folder. Throws
 * INVALID_ARGUMENT for a file that is not chosen, a name that cannot be, and two files of one name.
 */
export function readFileNames(
  value: WrittenValue,
  sets: ReadonlySet<FileSet>,
): ReadonlyMap<FixedFile, string> {
  const chosen: readonly FixedFile[] = [...sets].flatMap((set) => [...FILE_SETS[set]]);
  const names = new Map<FixedFile, string>();
  for (const part of value.text.split(",")) {
    const [from = "", to, ...more] = part.split("=").map((word) => word.trim());
    const file = chosen.find((known) => known === from);
    if (to === undefined || more.length > 0) {
      throw faulty(value, `must be <file>=<new name>, separated by commas, not ${quote(part)}`);
    }
    if (file === undefined) throw faulty(value, notChosen(from, chosen));
    if (names.has(file)) throw faulty(value, `names ${file} twice`);
    if (!isFilePath(to) || isReserved(to)) throw faulty(value, badName(to));
    names.set(file, to);
  }
  const twice = collision(chosen.map((file) => names.get(file) ?? file));
  if (twice === undefined) return names;
  throw faulty(
    value,
    `makes two files of the name ${quote(twice)}; choose another name for one of them`,
  );
}

function isReserved(path: string): boolean {
  const [first = ""] = path.split("/", 1);
  return RESERVED.has(first) || first.endsWith(TRUST_BUNDLE_SUFFIX);
}

function notChosen(file: string, chosen: readonly string[]): string {
  const known = chosen.length === 0 ? "none" : chosen.join(", ");
  return `names ${quote(file)}, which is not among the volume's files; they are ${known}`;
}

function badName(name: string): string {
  const rule = "up to four steps of letters, digits, dots, dashes and _, without a leading dot";
  const taken = `${[...RESERVED].join(", ")} and *${TRUST_BUNDLE_SUFFIX}`;
  return `has the name ${quote(name)}; a name is ${rule}, and not one of ${taken}`;
}
