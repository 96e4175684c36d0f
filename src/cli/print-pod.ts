import type { FailureView, IssuedView, PodView } from "../inspect/ports.ts";
import type { Explanation } from "../registration/types.ts";
import { printEntry } from "./print-entry.ts";
import { formatFields, formatTable, formatTime, indented } from "./terminal-text.ts";

/** What came closest to selecting the pod comes first. */
const CLOSEST_FIRST: readonly Explanation["selects"][] = ["pod", "namespace", "untried", "neither"];

/** Why a pod has the identities that it has. */
export function printPod(pod: PodView, now: number): string {
  const entries = pod.entries.map((entry) => indented(printEntry(entry)));
  return [
    formatFields({
      Pod: `${pod.namespace}/${pod.name}`,
      UID: pod.uid,
      Node: pod.node ?? "none yet",
      "Service account": pod.serviceAccount,
      Phase: pod.phase,
      "Last issued": issuedText(pod.lastIssued, now),
      ...(pod.lastIssuedJwt ? { "Last JWT-SVID": issuedText(pod.lastIssuedJwt, now) } : {}),
      "Last error": failureText(pod.lastError, now),
    }),
    section("Identities", entries.join("\n"), "none"),
    section(
      "Considered",
      pod.considered.length === 0 ? "" : indented(printConsidered(pod.considered)),
      "nothing: there is no ClusterSPIFFEID and no ClusterStaticEntry",
    ),
  ].join("\n");
}

function section(title: string, content: string, empty: string): string {
  return content === "" ? `${title}: ${empty}\n` : `${title}:\n${content}`;
}

function printConsidered(explanations: readonly Explanation[]): string {
  const rows = CLOSEST_FIRST.flatMap((selects) =>
    explanations.filter((explanation) => explanation.selects === selects),
  ).map((explanation) => [
    explanation.kind,
    explanation.rule,
    resultOf(explanation),
    explanation.spiffeId ?? "",
    explanation.clause,
  ]);
  return formatTable(["KIND", "NAME", "RESULT", "SPIFFE ID", "WHY"], rows);
}

function resultOf({ outcome, selects }: Explanation): string {
  return outcome ?? (selects === "untried" ? "not tried" : "no match");
}

function issuedText(issued: IssuedView | undefined, now: number): string {
  if (issued === undefined) return "not since the operator's replicas started";
  const ids = issued.spiffeIds.join(", ");
  return `${formatTime(issued.at, now)} by ${callText(issued)}, until ${formatTime(issued.until, now)}: ${ids}`;
}

function failureText(failure: FailureView | undefined, now: number): string {
  if (failure === undefined) return "none";
  return `${formatTime(failure.at, now)} by ${callText(failure)}: ${failure.code}: ${failure.message}`;
}

function callText({ by, replica }: IssuedView | FailureView): string {
  return replica === undefined ? by : `${by} at ${replica}`;
}
