import type { Explanation } from "../registration/types.ts";

/** An event's message holds 1,024 bytes: this many reasons fit, the rest is counted. */
const MAX_REASONS = 6;
const MAX_REASON_CHARS = 140;

/** One sentence on why a pod has no identity, out of what each ClusterSPIFFEID says of it. */
export function explainAbsence(explanations: readonly Explanation[]): string {
  if (explanations.length === 0)
    return "there is no ClusterSPIFFEID that could select it; create one";
  const reasons = explanations
    .slice(0, MAX_REASONS)
    .map(({ rule, clause }) => `ClusterSPIFFEID ${rule}: ${clause}`.slice(0, MAX_REASON_CHARS));
  const more = explanations.length - reasons.length;
  return `${reasons.join("; ")}${more > 0 ? `; and ${more} more` : ""}`;
}
