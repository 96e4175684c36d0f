import type { ClusterSpiffeIdStats } from "../api/cluster-spiffe-id.ts";
import type { PodState } from "./cluster-state.ts";
import type { Outcome } from "./evaluate.ts";
import { FailureList } from "./failure-list.ts";
import { podName } from "./objects.ts";
import type { Rule } from "./rule.ts";
import type { RuleStatus } from "./types.ts";

/** The counter, beside podsSelected, that an outcome raises. */
const COUNTER: Readonly<Record<Outcome["kind"], keyof ClusterSpiffeIdStats | undefined>> = {
  unscheduled: "podsUnscheduled",
  finished: "podsFinished",
  skipped: undefined,
  failed: "podEntryRenderFailures",
  masked: "entriesMasked",
  unmet: "entriesToSet",
  set: "entriesToSet",
};

/** One rule with all that is counted about it; counting one pod costs the same however many there are. */
export class Tally {
  rule: Rule;
  generation = 0;
  /** What the rule was compiled from, to tell changes from echoes. */
  fingerprint = "";
  gone = false;
  /** The status that was reported last. */
  reported: RuleStatus | undefined;
  readonly pods = new Set<PodState>();
  readonly #failures = new FailureList();
  readonly #stats = emptyStats();

  constructor(rule: Rule) {
    this.rule = rule;
  }

  countNamespaces(selected: number, ignored: number): void {
    this.#stats.namespacesSelected += selected;
    this.#stats.namespacesIgnored += ignored;
  }

  resetNamespaces(): void {
    this.#stats.namespacesSelected = 0;
    this.#stats.namespacesIgnored = 0;
  }

  /** Moves a pod from one outcome to another; undefined means that the rule does not select it. */
  count(state: PodState, before: Outcome | undefined, after: Outcome | undefined): void {
    this.#add(before, -1);
    this.#add(after, 1);
    if (after) this.pods.add(state);
    else this.pods.delete(state);
    const { uid } = state.pod.metadata;
    if (after?.kind !== "failed") this.#failures.delete(uid);
    else this.#failures.set(uid, { pod: podName(state.pod), message: after.failure });
  }

  /** What the object's status should say; undefined for objects that are not ours to report on. */
  status(): RuleStatus | undefined {
    if (this.gone || this.rule.state === "foreign") return undefined;
    return {
      name: this.rule.source.name,
      observedGeneration: this.generation,
      stats: { ...this.#stats },
      ...this.#readiness(),
      failures: this.#failures.first(),
    };
  }

  #add(outcome: Outcome | undefined, by: number): void {
    if (!outcome) return;
    this.#stats.podsSelected += by;
    const counter = COUNTER[outcome.kind];
    if (counter) this.#stats[counter] += by;
  }

  #readiness(): Pick<RuleStatus, "ready" | "reason" | "message"> {
    const { rule } = this;
    if (rule.state === "invalid")
      return { ready: false, reason: rule.reason, message: rule.message };
    const { podEntryRenderFailures: failures, podsSelected, namespacesSelected } = this.#stats;
    const example = this.#failures.first()[0];
    if (failures > 0 && example) {
      const message = `${failures} of ${podsSelected} selected pods get no entry; pod ${example.pod}: ${example.message}`;
      return { ready: false, reason: "RenderFailed", message };
    }
    if (podsSelected > 0) {
      return {
        ready: true,
        reason: "EntriesRendered",
        message: "No selected pod failed to render.",
      };
    }
    const message =
      namespacesSelected === 0
        ? "In effect, but spec.namespaceSelector selects no namespace."
        : "In effect, but it selects no pod yet; see spec.podSelector and spec.namespaceSelector.";
    return { ready: true, reason: "NothingSelected", message };
  }
}

/** Tells whether two statuses would be written alike. */
export function sameStatus(a: RuleStatus | undefined, b: RuleStatus | undefined): boolean {
  if (!a || !b) return a === b;
  return (
    a.observedGeneration === b.observedGeneration &&
    a.reason === b.reason &&
    a.message === b.message &&
    a.name === b.name &&
    COUNTERS.every((counter) => a.stats[counter] === b.stats[counter]) &&
    a.failures.length === b.failures.length &&
    a.failures.every(
      (failure, at) =>
        failure.pod === b.failures[at]?.pod && failure.message === b.failures[at].message,
    )
  );
}

function emptyStats(): ClusterSpiffeIdStats {
  return {
    namespacesSelected: 0,
    namespacesIgnored: 0,
    podsSelected: 0,
    podEntryRenderFailures: 0,
    entriesMasked: 0,
    entriesToSet: 0,
    entryFailures: 0,
    podsUnscheduled: 0,
    podsFinished: 0,
  };
}

const COUNTERS = Object.keys(emptyStats()) as readonly (keyof ClusterSpiffeIdStats)[];
