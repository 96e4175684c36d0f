import type {
  PreviewView,
  RenderView,
  RuleView,
  SelectedPodView,
  TrustDomainView,
} from "../inspect/ports.ts";
import type { RuleStatus, SpecProblem } from "../registration/types.ts";
import { formatFields, formatTable, formatTime, indented, printable } from "./terminal-text.ts";

/** What a custom resource gives now. */
export function printRule(rule: RuleView, now: number): string {
  const { status } = rule;
  return [
    formatFields({
      [rule.kind]: rule.name,
      UID: rule.uid,
      Ready: status && `${status.ready ? "True" : "False"} (${status.reason}): ${status.message}`,
      Note: rule.clause === status?.message ? undefined : rule.clause,
      Counts: status && countsText(status.stats),
    }),
    printFailures(status),
    printPods(rule.pods, now),
  ]
    .filter(Boolean)
    .join("\n");
}

/** What a custom resource would give. */
export function printPreview(preview: RenderView, now: number): string {
  return preview.kind === "ClusterFederatedTrustDomain"
    ? printTrustDomain(preview)
    : printSelecting(preview, now);
}

/** Whether the object could take effect as it is. */
export function isValid({ problems }: RenderView): boolean {
  return problems.length === 0;
}

function printTrustDomain(view: TrustDomainView): string {
  const valid = isValid(view) ? "yes" : "no";
  const head = formatFields({ [view.kind]: view.name, Valid: valid });
  return `${head}${printProblems("Problems", view.problems)}`;
}

function printSelecting(preview: PreviewView, now: number): string {
  const { kind, name, foreign, problems, doubts } = preview;
  const valid = isValid(preview);
  const head = formatFields({
    [kind]: name,
    Valid: valid ? "yes" : "no",
    Note: foreign ? "it is of another operator's class, and was not tried" : undefined,
    ...(valid && !foreign ? trialFields(preview) : {}),
  });
  const pods = printPods(preview.pods, now);
  return [
    head,
    printProblems("Problems", problems),
    printProblems("Doubts", doubts),
    pods === "" ? "" : `\n${pods}`,
  ].join("");
}

function trialFields(preview: PreviewView): Readonly<Record<string, string | undefined>> {
  const { namespacesSelected, namespacesIgnored, podsSelected, podsTried, duplicates } = preview;
  const tried = podsTried < podsSelected ? `, the first ${podsTried} of them tried` : "";
  return {
    Namespaces: `${namespacesSelected} selected, ${namespacesIgnored} of them ignored`,
    Pods: `${podsSelected} selected${tried}`,
    Results: countsText(preview.outcomes),
    Duplicates:
      duplicates === 0
        ? undefined
        : `${duplicates} of the pods have an equal entry of another object already`,
  };
}

function printProblems(title: string, problems: readonly SpecProblem[]): string {
  if (problems.length === 0) return "";
  return `${title}:\n${problems.map(({ message }) => `  ${printable(message)}\n`).join("")}`;
}

function printFailures(status: RuleStatus | undefined): string {
  const failures = status?.failures ?? [];
  if (failures.length === 0) return "";
  const rows = failures.map(({ pod, message }) => [pod, message]);
  return `Failures:\n${indented(formatTable(["POD", "WHY"], rows))}`;
}

/** Counters that are not zero. */
function countsText(counts: object): string {
  const some = Object.entries(counts).filter(([, count]) => count !== 0);
  return some.length === 0 ? "all 0" : some.map(([name, count]) => `${name} ${count}`).join(", ");
}

const POD_COLUMNS = ["POD", "RESULT", "SPIFFE ID", "DNS NAMES", "ISSUED UNTIL", "WHY"] as const;

/** A table of pods, without the columns that none of them fills. */
function printPods(pods: readonly SelectedPodView[], now: number): string {
  if (pods.length === 0) return "";
  const rows = pods.map((pod) => [
    pod.pod,
    pod.outcome,
    pod.entry?.spiffeId ?? "",
    pod.entry?.dnsNames.join(",") ?? "",
    pod.lastIssued === undefined ? "" : formatTime(pod.lastIssued.until, now),
    whyOf(pod),
  ]);
  const isFilled = (column: number): boolean => rows.some((row) => row[column] !== "");
  return formatTable(
    POD_COLUMNS.filter((_, column) => isFilled(column)),
    rows.map((row) => row.filter((_, column) => isFilled(column))),
  );
}

function whyOf({ outcome, clause, duplicateOf, lastError }: SelectedPodView): string {
  const isNews = duplicateOf !== undefined && outcome !== "masked";
  return [
    clause,
    isNews ? `equal to an entry of ${duplicateOf}` : "",
    lastError === undefined ? "" : `last error: ${lastError.code}: ${lastError.message}`,
  ]
    .filter(Boolean)
    .join("; ");
}
