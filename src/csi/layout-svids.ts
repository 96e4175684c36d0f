import { createHash } from "node:crypto";
import { sanitizeName } from "../api/volume-attributes/file-name.ts";
import type { IssuedSvid } from "./ports.ts";

const MAX_HINT_CHARS = 63;
const PLAIN = /^[A-Za-z0-9_-][A-Za-z0-9._-]*$/;
const DIGEST_CHARS = 8;

/**
 * The folders below `svids/` and what lies in each: every SVID that has a hint, and the ones behind the default
 * without. A hint that is a file name of at most 63 characters names its folder; of equal hints the first has it,
 * as in the Workload API. Any other folder is the hint, or `svid` without one, with `_` for what a file name cannot
 * hold, and a dash and eight hex digits of the entry ID's SHA-256, so that it stays the same from one rotation to
 * the next. The names are always valid and different.
 */
export function svidFolders(svids: readonly IssuedSvid[]): ReadonlyMap<string, IssuedSvid> {
  const named = svids.filter((svid, at) => at > 0 || svid.hint !== "");
  const folders = new Map<string, IssuedSvid>();
  for (const svid of named) {
    if (isPlain(svid.hint) && !folders.has(svid.hint)) folders.set(svid.hint, svid);
  }
  const placed = new Set(folders.values());
  for (const svid of named) {
    if (!placed.has(svid)) folders.set(freeName(folders, derivedName(svid)), svid);
  }
  return folders;
}

function isPlain(hint: string): boolean {
  return hint.length <= MAX_HINT_CHARS && PLAIN.test(hint);
}

function derivedName({ hint, entryId }: IssuedSvid): string {
  const digest = createHash("sha256").update(entryId).digest("hex").slice(0, DIGEST_CHARS);
  const readable = sanitizeName(hint.slice(0, MAX_HINT_CHARS)).replace(/^\.+/, "");
  return `${readable === "" ? "svid" : readable}-${digest}`;
}

function freeName(taken: ReadonlyMap<string, unknown>, name: string): string {
  let free = name;
  for (let number = 2; taken.has(free); number++) free = `${name}-${number}`;
  return free;
}
