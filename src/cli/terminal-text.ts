const SECOND = 1;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const UNITS = [
  [DAY, "d"],
  [HOUR, "h"],
  [MINUTE, "m"],
  [SECOND, "s"],
] as const;

/** A value on one line: names and messages come from objects that others write, and must not steer the terminal. */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ").trim();
}

/** Columns under their headings, two blanks apart; the last one is not padded. Empty cells show as `-`. */
export function formatTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const table = [headings, ...rows.map((row) => row.map((cell) => printable(cell) || "-"))];
  const widths = headings.map((_, column) =>
    table.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), 0),
  );
  const lines = table.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  "),
  );
  return lines.map((line) => `${line.trimEnd()}\n`).join("");
}

/** Names in one column, values in the next; what is undefined is left out. */
export function formatFields(
  fields: Readonly<Record<string, string | undefined>>,
  indent = "",
): string {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  const width = Math.max(0, ...given.map(([name]) => name.length)) + 1;
  return given
    .map(([name, value]) =>
      `${indent}${`${name}:`.padEnd(width)}  ${printable(value ?? "") || "-"}`.trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** Indents every line. */
export function indented(text: string, by = "  "): string {
  return text.replaceAll(/^(?=.)/gm, by);
}

/** Seconds as people write them, the two largest units: `1h30m`, `45s`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const largest = UNITS.findIndex(([length]) => whole >= length);
  if (largest === -1) return "0s";
  const parts = UNITS.slice(largest, largest + 2).map(([length, unit], at) => {
    const over = at === 0 ? whole : whole % (UNITS[largest]?.[0] ?? 1);
    return [Math.floor(over / length), unit] as const;
  });
  return parts.flatMap(([count, unit]) => (count > 0 ? [`${count}${unit}`] : [])).join("");
}

/** An RFC 3339 time to the second, and how far it is from `now` (milliseconds since the epoch). */
export function formatTime(time: string, now: number): string {
  const ms = Date.parse(time);
  const distance = formatSeconds(Math.abs(ms - now) / 1000);
  return `${time.replace(/\.\d+Z$/, "Z")} (${ms > now ? `in ${distance}` : `${distance} ago`})`;
}
