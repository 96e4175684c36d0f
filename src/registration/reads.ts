import { mayReadImages } from "./pod-selectors.ts";
import type { Rule } from "./rule.ts";

/** Which parts of pods rules read, so that a cache need keep no more. */
export interface PodReads {
  /** Two names deep, as templates say them: `PodMeta.Annotations`, `PodSpec.HostNetwork`; `PodSpec` for all of it. */
  readonly paths: ReadonlySet<string>;
  /** Whether selectors may ask for images of containers. */
  readonly images: boolean;
}

export const NO_READS: PodReads = { paths: new Set(), images: false };

/** What one rule reads of the pods that it selects. */
export function readsOfRule(rule: Rule): PodReads {
  if (rule.state !== "valid" || rule.form === "alias") return NO_READS;
  if (rule.form === "static") return { paths: new Set(), images: rule.readsImages };
  const templates = [rule.spiffeId, ...rule.dnsNames, ...rule.selectors];
  const paths = templates
    .flatMap(({ template }) => template.paths)
    .filter((path) => path.startsWith("Pod"));
  const images = rule.selectors.some(({ template }) => mayReadImages(template.text));
  return { paths: new Set(paths), images };
}

/** What either reads. */
export function joinReads(a: PodReads, b: PodReads): PodReads {
  if (includesReads(a, b)) return a;
  return { paths: new Set([...a.paths, ...b.paths]), images: a.images || b.images };
}

/** Whether both read the same. */
export function sameReads(a: PodReads, b: PodReads): boolean {
  return a === b || (includesReads(a, b) && includesReads(b, a));
}

/** Whether everything that `b` reads is in what `a` reads. */
export function includesReads(a: PodReads, b: PodReads): boolean {
  if (b.images && !a.images) return false;
  return [...b.paths].every(
    (path) => a.paths.has(path) || a.paths.has(path.split(".", 1)[0] ?? ""),
  );
}
