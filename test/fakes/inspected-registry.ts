import type { InspectedRegistry, IssueRecords, PodIssues } from "../../src/inspect/ports.ts";
import type { RegistrationEntry } from "../../src/registration/entry.ts";
import type { PodObject } from "../../src/registration/objects.ts";
import type { Explanation, Preview, RuleExplanation } from "../../src/registration/types.ts";

/** A registry that shows what it is told to hold. */
export interface FakeInspectedRegistry extends InspectedRegistry {
  readonly pods: PodObject[];
  readonly all: RegistrationEntry[];
  readonly explanations: Explanation[];
  readonly rules: RuleExplanation[];
  /** Objects that were previewed. */
  readonly previewed: { readonly kind: string; readonly object: unknown }[];
  /** Makes the next previews; throws as the real one may. */
  previews: (name: string, signal: AbortSignal) => Preview | Promise<Preview>;
}

export function fakeInspectedRegistry(): FakeInspectedRegistry {
  const registry: FakeInspectedRegistry = {
    pods: [],
    all: [],
    explanations: [],
    rules: [],
    previewed: [],
    previews: (name) => fakePreview({ name }),
    podNamed: (namespace, name) =>
      registry.pods.find(
        ({ metadata }) => metadata.namespace === namespace && metadata.name === name,
      ),
    pod: (uid) => registry.pods.find(({ metadata }) => metadata.uid === uid),
    entriesOfPod: (uid) => registry.all.filter(({ podUid }) => podUid === uid),
    entries: () => registry.all,
    explainPod: () => registry.explanations,
    explainRule(kind, name, maxPods) {
      const rule = registry.rules.find((rule) => rule.kind === kind && rule.name === name);
      return rule && { ...rule, pods: rule.pods.slice(0, maxPods) };
    },
    async preview(kind, object, signal) {
      registry.previewed.push({ kind, object });
      return registry.previews(object.metadata.name, signal);
    },
  };
  return registry;
}

export function fakePreview(content: Partial<Preview> = {}): Preview {
  return {
    kind: "ClusterSPIFFEID",
    name: "web",
    foreign: false,
    problems: [],
    doubts: [],
    namespacesSelected: 0,
    namespacesIgnored: 0,
    podsSelected: 0,
    podsTried: 0,
    outcomes: { set: 0, masked: 0, unmet: 0, failed: 0, skipped: 0, unscheduled: 0, finished: 0 },
    duplicates: 0,
    pods: [],
    ...content,
  };
}

/** Issue records by pod UID. */
export function fakeIssueRecords(records: Readonly<Record<string, PodIssues>> = {}): IssueRecords {
  return { of: (podUid) => records[podUid] ?? {} };
}
