import type { Calendar, Moment } from "./time.ts";
import { calendarOf } from "./time.ts";

export const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
export const WEEKDAYS = [
  "Sunday",
  "Monday",
  "Tuesday",
  "Wednesday",
  "Thursday",
  "Friday",
  "Saturday",
];

export const RFC_3339_LAYOUT = "2006-01-02T15:04:05Z07:00";

/**
 * The elements of a layout, tried in this order at each place: `Jan` and `Mon` only before no
 * small letter, fractions only as all of the digits that follow.
 */
const ELEMENT =
  /January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|0[1-6]|002|15|1|2006|2|_2(?!006)|__2|3|4|5|PM|pm|-070000|-07:00:00|-0700|-07:00|-07|Z070000|Z07:00:00|Z0700|Z07:00|Z07|[.,](?:0+|9+)(?!\d)/g;

type Show = (at: Calendar) => string;

/** What each element but a fraction shows; the zone is always UTC. */
const SHOW: Readonly<Record<string, Show>> = {
  January: (at) => MONTHS[at.month - 1] ?? "",
  Jan: (at) => MONTHS[at.month - 1]?.slice(0, 3) ?? "",
  "1": (at) => String(at.month),
  "01": (at) => pad(at.month, 2),
  Monday: (at) => WEEKDAYS[at.weekday] ?? "",
  Mon: (at) => WEEKDAYS[at.weekday]?.slice(0, 3) ?? "",
  "2": (at) => String(at.day),
  _2: (at) => String(at.day).padStart(2),
  "02": (at) => pad(at.day, 2),
  __2: (at) => String(at.yearDay).padStart(3),
  "002": (at) => pad(at.yearDay, 3),
  "15": (at) => pad(at.hour, 2),
  "3": (at) => String(at.hour % 12 || 12),
  "03": (at) => pad(at.hour % 12 || 12, 2),
  "4": (at) => String(at.minute),
  "04": (at) => pad(at.minute, 2),
  "5": (at) => String(at.second),
  "05": (at) => pad(at.second, 2),
  "2006": (at) => pad(at.year, 4),
  "06": (at) => pad((at.year < 0n ? -at.year : at.year) % 100n, 2),
  PM: (at) => (at.hour >= 12 ? "PM" : "AM"),
  pm: (at) => (at.hour >= 12 ? "pm" : "am"),
  MST: () => "UTC",
  "-070000": () => "+000000",
  "-07:00:00": () => "+00:00:00",
  "-0700": () => "+0000",
  "-07:00": () => "+00:00",
  "-07": () => "+00",
};

/** Time.Format with a layout of Go, both byte strings. */
export function formatTime(moment: Moment, layout: string): string {
  const at = calendarOf(moment);
  return layout.replace(ELEMENT, (element) => {
    if (element.startsWith("Z")) return "Z";
    if (element.startsWith(".") || element.startsWith(",")) return fraction(moment, element);
    return SHOW[element]?.(at) ?? "";
  });
}

/** time.Time.String in UTC. */
export function formatMoment(moment: Moment): string {
  return formatTime(moment, "2006-01-02 15:04:05.999999999 -0700 MST");
}

/** RFC 3339 with nanoseconds; undefined for years that it has no place for. */
export function formatStrict(moment: Moment): string | undefined {
  const text = formatTime(moment, "2006-01-02T15:04:05.999999999Z07:00");
  return text.charAt(4) === "-" ? text : undefined;
}

/** time.Time.GoString. */
export function goStringOfMoment(moment: Moment): string {
  const { year, month, day, hour, minute, second } = calendarOf(moment);
  const date = `${year}, time.${MONTHS[month - 1]}, ${day}`;
  return `time.Date(${date}, ${hour}, ${minute}, ${second}, ${moment.nanos}, time.UTC)`;
}

/** Time.MarshalBinary: a version, seconds since year 1, nanoseconds and "UTC". */
export function binaryOfMoment({ seconds, nanos }: Moment): number[] {
  return [1, ...bigEndian(seconds, 8), ...bigEndian(BigInt(nanos), 4), 255, 255];
}

function bigEndian(value: bigint, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, index) => {
    return Number((value >> BigInt(8 * (bytes - 1 - index))) & 255n);
  });
}

/** Nines leave out zeros at the end, and then the point. Go counts the digits in twelve bits. */
function fraction({ nanos }: Moment, element: string): string {
  const digits = (element.length - 1) & 0xfff;
  const trim = element.endsWith("9");
  if (trim && (digits === 0 || nanos === 0)) return "";
  const all = pad(nanos, 9);
  const shown = digits < 9 ? all.slice(0, digits) : all;
  if (!trim) return element.charAt(0) + shown;
  const short = shown.replace(/0+$/, "");
  return short === "" ? "" : element.charAt(0) + short;
}

/** Zeros before the digits; a sign does not count (Go: time.appendInt). */
function pad(value: number | bigint, width: number): string {
  const text = String(value);
  return text.startsWith("-")
    ? `-${text.slice(1).padStart(width, "0")}`
    : text.padStart(width, "0");
}
