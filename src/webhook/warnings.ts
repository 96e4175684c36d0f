/** The API server cuts longer warnings off (in characters), and may drop all of them beyond the total. */
const LONGEST = 256;
/** Kubernetes' total is 4096 for the warnings of all webhooks and of the API server itself: some is left to others. */
const MOST_IN_ALL = 3072;

/**
 * The warnings that Kubernetes passes on to the client whole: on one line each, none twice, cut to
 * 256 characters, and 3072 in all; what is left out is counted in the last one.
 */
export function fitWarnings(warnings: readonly string[]): string[] {
  const lines = [...new Set(warnings.map(oneLine))].filter((line) => line !== "");
  const kept: string[] = [];
  let left = MOST_IN_ALL;
  for (const line of lines) {
    left -= characters(line);
    if (left < 0) break;
    kept.push(line);
  }
  const omitted = lines.length - kept.length;
  return omitted === 0 ? kept : [...kept, `${omitted} more warnings are left out`];
}

/** The text cut to `most` characters (code points), the last of which then says that there was more. */
export function shorten(text: string, most: number): string {
  if (text.length <= most) return text;
  const points = Array.from(text);
  return points.length <= most ? text : `${points.slice(0, most - 1).join("")}…`;
}

/** A warning travels in an HTTP header: with a control character the API server would drop it. */
function oneLine(text: string): string {
  return shorten(
    text
      .toWellFormed()
      .replaceAll(/\p{Cc}+/gu, " ")
      .trim(),
    LONGEST,
  );
}

function characters(text: string): number {
  return Array.from(text).length;
}
