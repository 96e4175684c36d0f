import type { ClusterSpiffeIdStats } from "../api/cluster-spiffe-id.ts";
import type { PodState } from "./cluster-state.ts";
import type { Outcome } from "./evaluate.ts";
import { FailureList } from "./failure-list.ts";
import { podName } from "./objects.ts";
import type { Rule } from "./rule.ts";
import type { PodFailure } from "./types.ts";

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
  readonly pods = new Set<PodState>();
  readonly #failures = new FailureList();
  readonly #stats = emptyStats();

  constructor(rule: Rule) {
    this.rule = rule;
  }

  get stats(): ClusterSpiffeIdStats {
    return { ...this.#stats };
  }

  /** The first pods that it fails for. */
  get failures(): readonly PodFailure[] {
    return this.#failures.first();
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

  #add(outcome: Outcome | undefined, by: number): void {
    if (!outcome) return;
    this.#stats.podsSelected += by;
    const counter = COUNTER[outcome.kind];
    if (counter) this.#stats[counter] += by;
  }
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
