import { faulty } from "./fault.ts";
import type { WrittenValue } from "./fault.ts";

/** chown(2) reads the largest 32-bit number as "leave it". */
const MAX_ID = 2 ** 32 - 2;
const MAX_NOTIFY_PATH = 512;
const OWNER_READS = 0o400;
const ALL_READ = 0o444;

/** Where a pod wants to hear of new files: a POST to its own address. */
export interface NotifyTarget {
  readonly port: number;
  /** With its query; begins with a slash. */
  readonly path: string;
}

/** `true` or `false`. All readers of this file throw INVALID_ARGUMENT that names the key, the value and the rule. */
export function readFlag(value: WrittenValue): boolean {
  return readChoice(value, ["true", "false"]) === "true";
}

export function readChoice<T extends string>(value: WrittenValue, choices: readonly T[]): T {
  const chosen = choices.find((choice) => choice === value.text);
  if (chosen !== undefined) return chosen;
  const quoted = choices.map((choice) => `"${choice}"`);
  const last = quoted.pop() ?? "";
  throw faulty(value, `must be ${quoted.join(", ")} or ${last}`);
}

/** A user or group ID of the node. */
export function readId(value: WrittenValue, what: "user" | "group"): number {
  const id = parseId(value.text);
  if (id !== undefined) return id;
  throw faulty(value, `must be a ${what} ID between 0 and ${MAX_ID}`);
}

/** A user or group ID in decimal digits; undefined for anything else. */
export function parseId(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= MAX_ID ? Number(text) : undefined;
}

/** Permission bits in octal. A volume is read-only: nobody writes or executes, and the owner always reads. */
export function readMode(value: WrittenValue): number {
  const mode = /^0?[0-7]{3}$/.test(value.text) ? Number.parseInt(value.text, 8) : 0;
  if ((mode & ~ALL_READ) === 0 && (mode & OWNER_READS) !== 0) return mode;
  throw faulty(value, "must be one of the octal modes 0400, 0440, 0404 and 0444");
}

/** The password of Java's keystores. The refusal does not repeat it. */
export function readPassword(value: WrittenValue): string {
  if (/^[\x21-\x7e]{6,128}$/.test(value.text)) return value.text;
  throw faulty(
    { ...value, text: "…" },
    "must be 6 to 128 printable ASCII characters without spaces, as Java's tools ask",
  );
}

/** `http://:<port>/<path>`: the host is the pod's own and cannot be chosen. */
export function readNotify(value: WrittenValue): NotifyTarget {
  const [, port = "", path = ""] =
    /^http:\/\/:(\d{1,5})(\/[\w.~!$&'()*+,;=:@%/?-]*)?$/.exec(value.text) ?? [];
  const number = Number(port);
  if (number >= 1 && number <= 65_535 && path.length <= MAX_NOTIFY_PATH) {
    return { port: number, path: path === "" ? "/" : path };
  }
  const rule = `must be http://:<port>/<path> with a path of at most ${MAX_NOTIFY_PATH} characters`;
  throw faulty(value, `${rule}; the host is always the pod's own address`);
}
