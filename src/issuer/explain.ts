import type { Explanation } from "../registration/types.ts";

/** An event's message holds 1,024 bytes: as many reasons as fit are told, the rest is counted. */
const MAX_CHARS = 920;
const MAX_REASON_CHARS = 280;

/** What came closest to selecting the pod is told first: on a large cluster most rules are about other pods. */
const CLOSEST_FIRST: readonly Explanation["selects"][] = ["pod", "namespace", "untried", "neither"];

/** One sentence on why a pod has no identity, out of what each custom resource says of it. */
export function explainAbsence(explanations: readonly Explanation[]): string {
  if (explanations.length === 0)
    return "there is no ClusterSPIFFEID that could select it; create one";
  const reasons = CLOSEST_FIRST.flatMap((selects) =>
    explanations.filter((explanation) => explanation.selects === selects),
  ).map(({ kind, rule, clause }) => shorten(`${kind} ${rule}: ${clause}`));
  let length = 0;
  const told = reasons.filter((reason) => (length += reason.length + 2) <= MAX_CHARS);
  const more = reasons.length - told.length;
  return `${told.join("; ")}${more > 0 ? `; and ${more} more` : ""}`;
}

function shorten(reason: string): string {
  return reason.length <= MAX_REASON_CHARS ? reason : `${reason.slice(0, MAX_REASON_CHARS - 1)}…`;
}
