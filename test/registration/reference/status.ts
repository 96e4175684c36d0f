import { missingBundles } from "./federation.ts";
import { IGNORED, idOf, objectName, selectorsOf, staticUid } from "./model.ts";
import type { Model, ModelRule, ModelStatic } from "./model.ts";
import { aliasesOf, matchesNode, nodeIds } from "./nodes.ts";
import { preferred } from "./preference.ts";
import type { ExpectedStatus, Noted } from "./words.ts";

export function computeTemplate(
  model: Model,
  r: ModelRule,
  noted: readonly Noted[],
): ExpectedStatus {
  const broken = r.template === "broken";
  const namespaces = broken
    ? []
    : [...model.namespaces.values()].filter(({ team }) => r.team === undefined || r.team === team);
  const failures = failuresOf(noted);
  const fine = noted.length > 0 ? "EntriesRendered" : "NothingSelected";
  return {
    generation: r.generation,
    reason: broken ? "InvalidTemplate" : failures.length > 0 ? "RenderFailed" : fine,
    detail: detailOf(broken, { failures, namespaces: namespaces.length, pods: noted.length }),
    stats: statsOf(
      noted,
      namespaces.length,
      namespaces.filter(({ name }) => name === IGNORED).length,
    ),
    ...(broken || r.federatesWith.length === 0
      ? {}
      : { missing: missingBundles(model, r.federatesWith) }),
    failures: failures.slice(0, 10),
  };
}

function detailOf(
  broken: boolean,
  found: { failures: readonly string[]; namespaces: number; pods: number },
): string {
  if (broken || found.failures.length > 0 || found.pods > 0) return "";
  return found.namespaces === 0 ? "no namespace" : "no pod";
}

export function computeStatic(
  model: Model,
  s: ModelStatic,
  noted: readonly Noted[],
): ExpectedStatus {
  const stats = statsOf(noted, 0, 0);
  const twin = s.invalid ? undefined : maskingTwin(model, s);
  const masked = twin !== undefined || (stats["entriesMasked"] ?? 0) > 0;
  const status = {
    generation: s.generation,
    stats,
    entry: { rendered: !s.invalid, masked, set: !s.invalid && !masked },
    ...(s.invalid || s.federatesWith.length === 0
      ? {}
      : { missing: missingBundles(model, s.federatesWith) }),
    failures: [],
  };
  if (s.invalid) return { ...status, reason: "InvalidDuration", detail: "" };
  if (masked) {
    const by = twin ? `ClusterStaticEntry ${objectName(twin.id)}` : "An older object";
    return { ...status, reason: "Masked", detail: by };
  }
  const effect = s.parent === "server" ? aliasEffect(model, s) : staticEffect(model, s, stats);
  return { ...status, ...effect };
}

type Effect = Pick<ExpectedStatus, "reason" | "detail">;

function aliasEffect(model: Model, s: ModelStatic): Effect {
  const matches = [...model.nodes.values()].some((node) => matchesNode(s, node));
  return matches
    ? { reason: "EntryInEffect", detail: "" }
    : { reason: "NothingSelected", detail: "no node matches" };
}

function staticEffect(model: Model, s: ModelStatic, stats: Record<string, number>): Effect {
  const parent = idOf(s.parent);
  const nodes = [...model.nodes.keys()].filter((name) => nodeIds(model, name).includes(parent));
  const promised = aliasesOf(model).some((other) => idOf(other.spiffeId) === parent);
  if (nodes.length === 0 && !promised) return { reason: "UnknownParent", detail: parent };
  if ((stats["entriesToSet"] ?? 0) > 0) return { reason: "EntryInEffect", detail: "" };
  const detail = nodes.length === 0 ? "no node has" : "no pod has";
  return { reason: "NothingSelected", detail };
}

/** The static entry with the same SPIFFE ID, parent and selectors that is preferred to all others. */
function maskingTwin(model: Model, s: ModelStatic): ModelStatic | undefined {
  const key = (t: ModelStatic): string =>
    [idOf(t.spiffeId), idOf(t.parent), ...selectorsOf(t).toSorted()].join(" ");
  const aged = (t: ModelStatic) => ({ ...t, uid: staticUid(t.id) });
  const equal = [...model.statics.values()].filter(
    (t) => !t.foreign && !t.invalid && key(t) === key(s),
  );
  const first = equal.find((t) => !equal.some((other) => preferred(aged(other), aged(t))));
  return first?.id === s.id ? undefined : first;
}

function failuresOf(noted: readonly Noted[]): string[] {
  return noted
    .filter(({ kind }) => kind === "failed")
    .map(({ pod, failure }) => `${pod} ${failure}`)
    .toSorted();
}

function statsOf(
  noted: readonly Noted[],
  namespaces: number,
  ignored: number,
): Record<string, number> {
  const count = (...kinds: string[]): number => noted.filter((n) => kinds.includes(n.kind)).length;
  return {
    namespacesSelected: namespaces,
    namespacesIgnored: ignored,
    podsSelected: noted.length,
    podEntryRenderFailures: count("failed"),
    entriesMasked: count("masked"),
    entriesToSet: count("set", "unmet"),
    entryFailures: 0,
    podsUnscheduled: count("unscheduled"),
    podsFinished: count("finished"),
  };
}
