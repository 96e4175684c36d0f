import { SignetError } from "../core/errors.ts";

/** A length of time in nanoseconds, within the 64 bits of Go's time.Duration. */
export type Duration = bigint;

const SECOND = 1_000_000_000n;
const LONGEST = 2n ** 63n - 1n;
const LARGEST_INT32 = 2n ** 31n - 1n;
/** Longer texts are never durations; they are only shortened in messages. */
const LONGEST_TEXT = 128;

/** Both the micro sign and the Greek letter mean micro. */
const UNITS: ReadonlyMap<string, bigint> = new Map([
  ["ns", 1n],
  ["us", 1_000n],
  ["\u00b5s", 1_000n],
  ["\u03bcs", 1_000n],
  ["ms", 1_000_000n],
  ["s", SECOND],
  ["m", 60n * SECOND],
  ["h", 3600n * SECOND],
]);

const PART = /(\d*)(?:\.(\d*))?([^\d.]*)/y;

/**
 * Parses a duration as Go's time.ParseDuration does: an optional sign, then numbers with units ("1h30m",
 * "1.5s", "0"). Returns nanoseconds. Throws INVALID_ARGUMENT that says what is wrong.
 */
export function parseDuration(text: string): Duration {
  if (text.length > LONGEST_TEXT) throw invalid(`${text.slice(0, 32)}…`, "it is too long");
  const negative = text.startsWith("-");
  const body = negative || text.startsWith("+") ? text.slice(1) : text;
  if (body === "0") return 0n;
  if (body === "") throw invalid(text, 'expected a number with a unit, such as "90m" or "1h30m"');
  let total = 0n;
  PART.lastIndex = 0;
  while (PART.lastIndex < body.length) {
    total += parsePart(text, PART.exec(body));
    if (total > LONGEST + (negative ? 1n : 0n)) throw invalid(text, "it is longer than 292 years");
  }
  return negative ? -total : total;
}

/** The text Go prints for a duration: "1h30m0s", "1.5s", "100ms", "0s". */
export function formatDuration(duration: Duration): string {
  const sign = duration < 0n ? "-" : "";
  const nanos = duration < 0n ? -duration : duration;
  if (nanos === 0n) return "0s";
  if (nanos < 1_000n) return `${sign}${nanos}ns`;
  if (nanos < 1_000_000n) return `${sign}${decimal(nanos, 3)}\u00b5s`;
  if (nanos < SECOND) return `${sign}${decimal(nanos, 6)}ms`;
  const minutes = nanos / (60n * SECOND);
  const seconds = `${decimal(nanos % (60n * SECOND), 9)}s`;
  if (minutes === 0n) return sign + seconds;
  if (minutes < 60n) return `${sign}${minutes}m${seconds}`;
  return `${sign}${minutes / 60n}h${minutes % 60n}m${seconds}`;
}

/** Whole milliseconds, truncated. */
export function durationMs(duration: Duration): number {
  return Number(duration / 1_000_000n);
}

/**
 * Parses the time to live of an SVID: a duration, cut to whole seconds as SPIRE does; 0 means the default.
 * Throws INVALID_ARGUMENT when it is malformed, negative or beyond 32 bits of seconds.
 */
export function parseTtlSeconds(text: string): number {
  const duration = parseDuration(text);
  if (duration < 0n) throw invalid(text, "a time to live cannot be negative");
  const seconds = duration / SECOND;
  if (seconds > LARGEST_INT32) throw invalid(text, "a time to live cannot exceed 68 years");
  return Number(seconds);
}

function parsePart(text: string, match: RegExpExecArray | null): bigint {
  const [, whole = "", fraction = "", unit = ""] = match ?? [];
  if (whole === "" && fraction === "") {
    throw invalid(text, 'expected a number with a unit, such as "90m" or "1h30m"');
  }
  if (unit === "")
    throw invalid(text, 'a unit is missing (one of "h", "m", "s", "ms", "us", "ns")');
  const size = UNITS.get(unit);
  if (size === undefined) throw invalid(text, `unknown unit ${JSON.stringify(unit)}`);
  return BigInt(whole === "" ? "0" : whole) * size + fractionOf(fraction, size);
}

/** Go scales fractions with 64-bit floats, digits beyond 63 bits dropped; the same sum gives the same result. */
function fractionOf(digits: string, unit: bigint): bigint {
  let value = 0n;
  let scale = 1;
  for (const digit of digits) {
    const next = value * 10n + BigInt(digit);
    if (next > LONGEST) break;
    value = next;
    scale *= 10;
  }
  return BigInt(Math.trunc(Number(value) * (Number(unit) / scale)));
}

function decimal(value: bigint, places: number): string {
  const scale = 10n ** BigInt(places);
  const fraction = (value % scale).toString().padStart(places, "0").replace(/0+$/, "");
  return fraction === "" ? `${value / scale}` : `${value / scale}.${fraction}`;
}

function invalid(text: string, rule: string): SignetError {
  return new SignetError("INVALID_ARGUMENT", `invalid duration ${JSON.stringify(text)}: ${rule}`);
}
