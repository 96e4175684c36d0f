import { SPIRE_GROUP } from "../api/resources.ts";
import type { SpecProblem } from "../registration/types.ts";
import type { InvalidObject } from "./review.ts";
import { shorten } from "./warnings.ts";

/** A spec may hold thousands of templates, all of them wrong. */
const MOST_PROBLEMS = 20;
const LONGEST_PROBLEM = 1024;

/** Refuses a custom resource for all of its problems, of which there is at least one; long lists are cut, and say so. */
export function refusalOf(
  kind: string,
  name: string,
  problems: readonly SpecProblem[],
): InvalidObject {
  const shown = problems.slice(0, MOST_PROBLEMS).map((problem) => ({
    field: shorten(problem.field, LONGEST_PROBLEM),
    message: shorten(problem.message, LONGEST_PROBLEM),
  }));
  const omitted = problems.length - shown.length;
  const lines = shown.map(({ message }) => message);
  if (omitted > 0) lines.push(`and ${omitted} more problems`);
  const list = lines.length === 1 ? ` ${lines[0]}` : lines.map((line) => `\n- ${line}`).join("");
  return {
    group: SPIRE_GROUP,
    kind,
    name,
    message: `${kind} "${name}" is invalid:${list}`,
    causes: [
      ...shown.map(({ field, message }) => ({ field, message: withoutField(message, field) })),
      ...(omitted > 0 ? [{ field: "spec", message: `${omitted} more problems` }] : []),
    ],
  };
}

/** Clients write the field before the message of a cause. */
function withoutField(message: string, field: string): string {
  const prefix = `${field}: `;
  return message.startsWith(prefix) ? message.slice(prefix.length) : message;
}
