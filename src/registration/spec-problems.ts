import type { SpecProblem } from "./types.ts";

/** The first problem whole, and how many more there are: for one line of a condition. */
export function summarize(problems: readonly SpecProblem[]): string {
  const [first, ...more] = problems;
  if (first === undefined) return "";
  if (more.length === 0) return first.message;
  const fields = more.slice(0, 3).map(({ field }) => field);
  return `${first.message}; and ${more.length} more in ${fields.join(", ")}${more.length > 3 ? ", …" : ""}`;
}
