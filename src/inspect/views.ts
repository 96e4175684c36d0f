import type { RegistrationEntry } from "../registration/entry.ts";
import type { PodObject } from "../registration/objects.ts";
import type { Preview, PreviewedPod, RuleExplanation } from "../registration/types.ts";
import { formatSelector } from "../spiffe/selector.ts";
import type {
  EntryView,
  InspectedRegistry,
  Issued,
  IssuedView,
  IssueRecords,
  IssuesView,
  PodIssues,
  PodView,
  PreviewView,
  RuleView,
  SelectedPodView,
} from "./ports.ts";

/** What views are made from. */
export interface ViewSource {
  readonly registry: InspectedRegistry;
  readonly issues: IssueRecords;
  /** Lifetime in seconds of an X509-SVID whose entry names none. */
  readonly defaultX509SvidTtl: number;
}

export function podView(pod: PodObject, source: ViewSource): PodView {
  const { name, namespace = "", uid } = pod.metadata;
  const { nodeName } = pod.spec;
  return {
    kind: "Pod",
    namespace,
    name,
    uid,
    ...(nodeName === undefined || nodeName === "" ? {} : { node: nodeName }),
    serviceAccount: pod.spec.serviceAccountName ?? "default",
    phase: pod.status?.phase ?? "Unknown",
    entries: source.registry.entriesOfPod(uid).map((entry) => entryView(entry, pod, source)),
    considered: source.registry.explainPod(uid),
    ...issuesView(source.issues.of(uid)),
  };
}

/** `pod` is the entry's; undefined when it went while the entry was being read. */
export function entryView(
  entry: RegistrationEntry,
  pod: PodObject | undefined,
  { defaultX509SvidTtl }: Pick<ViewSource, "defaultX509SvidTtl">,
): EntryView {
  return {
    id: entry.id,
    source: { kind: entry.source.kind, name: entry.source.name },
    namespace: pod?.metadata.namespace ?? "",
    pod: pod?.metadata.name ?? "",
    podUid: entry.podUid,
    node: entry.nodeName,
    spiffeId: entry.spiffeId,
    parentId: entry.parentId,
    selectors: entry.selectors.map(formatSelector),
    x509SvidTtl: entry.x509SvidTtl > 0 ? entry.x509SvidTtl : defaultX509SvidTtl,
    jwtSvidTtl: entry.jwtSvidTtl,
    dnsNames: entry.dnsNames,
    federatesWith: entry.federatesWith,
    admin: entry.admin,
    downstream: entry.downstream,
    hint: entry.hint,
  };
}

export function ruleView(rule: RuleExplanation, source: ViewSource): RuleView {
  const { kind, name, uid, clause, status } = rule;
  return {
    kind,
    name,
    uid,
    clause,
    ...(status === undefined ? {} : { status }),
    pods: rule.pods.map((selected) => {
      const pod = podOf(selected, source);
      const issues = pod === undefined ? {} : issuesView(source.issues.of(pod.metadata.uid));
      return { ...selectedPodView(selected, pod, source), ...issues };
    }),
  };
}

export function previewView(preview: Preview, source: ViewSource): PreviewView {
  const pods = preview.pods.map((selected) =>
    selectedPodView(selected, podOf(selected, source), source),
  );
  return { ...preview, pods };
}

function podOf({ pod }: PreviewedPod, { registry }: ViewSource): PodObject | undefined {
  const slash = pod.indexOf("/");
  return registry.podNamed(pod.slice(0, slash), pod.slice(slash + 1));
}

function selectedPodView(
  selected: PreviewedPod,
  pod: PodObject | undefined,
  source: ViewSource,
): SelectedPodView {
  const { entry, ...plain } = selected;
  return { ...plain, ...(entry === undefined ? {} : { entry: entryView(entry, pod, source) }) };
}

function issuesView({ issued, issuedJwt, failed }: PodIssues): IssuesView {
  return {
    ...(issued === undefined ? {} : { lastIssued: issuedView(issued) }),
    ...(issuedJwt === undefined ? {} : { lastIssuedJwt: issuedView(issuedJwt) }),
    ...(failed === undefined ? {} : { lastError: { ...failed, at: rfc3339(failed.at) } }),
  };
}

function issuedView({ by, at, notAfter, spiffeIds }: Issued): IssuedView {
  return { by, at: rfc3339(at), until: rfc3339(notAfter), spiffeIds };
}

function rfc3339(ms: number): string {
  return new Date(ms).toISOString();
}
