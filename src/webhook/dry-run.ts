import type { OutcomeKind, Preview, PreviewedPod } from "../registration/types.ts";

/** How many pods a summary shows, beside the counts. */
const EXAMPLES = 3;
/** Up to here, in characters, an example fits the line of what it is an example of. */
const LONGEST_SENTENCE = 160;

/** How many other objects a sentence names. */
const MOST_NAMES = 3;

/** Pods that get nothing, in the order in which a summary counts them. */
const REST: readonly (readonly [OutcomeKind, string])[] = [
  ["failed", "failing"],
  ["unmet", "lacking a selector"],
  ["masked", "with an equal entry of another object"],
  ["skipped", "left to other objects, as this is a fallback"],
  ["unscheduled", "without a node yet"],
  ["finished", "finished"],
];

export interface WarningOptions {
  /** Also tell what is as it should be. */
  readonly summary: boolean;
  /** It is about nodes: that no pod is selected means nothing. */
  readonly alias: boolean;
}

/**
 * What a dry run found that is probably not meant, each as a sentence about the object: nothing selected, pods that
 * would fail, selectors that are not true of a pod, entries that another object gives already, and doubts about
 * the spec. With `summary` the counts and some examples come last, also where all is well.
 */
export function dryRunWarnings(preview: Preview, { summary, alias }: WarningOptions): string[] {
  if (preview.foreign) return [];
  return [
    ...preview.doubts.map(({ message }) => message),
    ...(alias ? [] : selection(preview)),
    ...failures(preview),
    ...unmet(preview),
    ...duplicates(preview),
    ...(summary ? summarise(preview) : []),
  ];
}

function selection(preview: Preview): string[] {
  const { kind, namespacesSelected, namespacesIgnored, podsSelected } = preview;
  if (podsSelected > 0) return [];
  if (kind === "ClusterStaticEntry") return ["no pod has all of its selectors now"];
  if (namespacesSelected === 0) return ["selects no namespace now, and so gives nothing"];
  if (namespacesIgnored === namespacesSelected) {
    return [`selects only namespaces that the operator ignores (${namespacesSelected})`];
  }
  const searched = count(namespacesSelected - namespacesIgnored, "namespace");
  return [`selects no pod now in ${searched}, and so gives nothing`];
}

function failures(preview: Preview): string[] {
  const { failed } = preview.outcomes;
  if (failed === 0) return [];
  return sentence(`would fail for ${share(failed, preview)}`, example(preview, "failed"));
}

function unmet(preview: Preview): string[] {
  const { unmet: missing } = preview.outcomes;
  if (missing === 0) return [];
  const what = `would give no identity to ${share(missing, preview)}, which lack a selector`;
  return sentence(what, example(preview, "unmet"));
}

function duplicates(preview: Preview): string[] {
  if (preview.duplicates === 0) return [];
  const found = preview.pods.filter(({ duplicateOf }) => duplicateOf !== undefined);
  const others = [...new Set(found.map(({ duplicateOf }) => duplicateOf ?? ""))];
  const named = others.slice(0, MOST_NAMES).join(", ");
  const more = others.length > MOST_NAMES ? " and others" : "";
  const from = others.length === 0 ? "another object" : `${named}${more}`;
  const [first] = found;
  const what = `duplicates entries of ${from} for ${share(preview.duplicates, preview)}`;
  return sentence(what, first && `${first.pod}${identity(first)}`);
}

function summarise(preview: Preview): string[] {
  const { outcomes, namespacesSelected, namespacesIgnored, pods, podsSelected } = preview;
  if (podsSelected === 0) return [];
  const searched = namespacesSelected - namespacesIgnored;
  const where = searched > 0 ? ` in ${count(searched, "namespace")}` : "";
  const rest = REST.filter(([kind]) => outcomes[kind] > 0).map(
    ([kind, words]) => `${outcomes[kind]} ${words}`,
  );
  const others = rest.length > 0 ? `; not to ${rest.join(", ")}` : "";
  const given = pods.filter(({ outcome, entry }) => outcome === "set" && entry !== undefined);
  return [
    `would give an identity to ${share(outcomes.set, preview)}${where}${others}`,
    ...given.slice(0, EXAMPLES).map((pod) => `e.g. ${pod.pod}${identity(pod)}${dnsNames(pod)}`),
  ];
}

/** `12 of 14 selected pods`, or of those that were tried where they were too many to try all. */
function share(part: number, { podsSelected, podsTried }: Preview): string {
  const all = count(podsSelected, "selected pod");
  return podsTried < podsSelected
    ? `${part} of ${podsTried} tried of ${all} now`
    : `${part} of ${all} now`;
}

function example({ pods }: Preview, outcome: OutcomeKind): string | undefined {
  const pod = pods.find((candidate) => candidate.outcome === outcome);
  return pod && `${pod.pod}: ${pod.clause}`;
}

/** On one line where both are short, else on two, because a long line would be cut. */
function sentence(what: string, example: string | undefined): string[] {
  if (example === undefined) return [what];
  const whole = `${what}, e.g. ${example}`;
  return whole.length <= LONGEST_SENTENCE ? [whole] : [what, `e.g. ${example}`];
}

function identity({ entry }: PreviewedPod): string {
  return entry === undefined ? "" : `: ${entry.spiffeId}`;
}

function dnsNames({ entry }: PreviewedPod): string {
  if (entry === undefined || entry.dnsNames.length === 0) return "";
  return ` with DNS names ${entry.dnsNames.join(", ")}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
