import type { SelectorAnchor } from "../api/label-selector.ts";
import type { PodState } from "./cluster-state.ts";

/** Label keys that are kept track of; selectors of all rules together rarely name more. */
const MOST_KEYS = 256;
const NO_PODS: ReadonlySet<PodState> = new Set();

/** Finds pods by a label, for the keys that were asked for: the first question about a key looks at every pod. */
export class PodLabels {
  /** label key → value → pods */
  readonly #byKey = new Map<string, Map<string, Set<PodState>>>();

  /** The sets of pods that can match a selector with this anchor; undefined when that is not kept track of. */
  find(
    { key, values }: SelectorAnchor,
    all: Iterable<PodState>,
  ): readonly ReadonlySet<PodState>[] | undefined {
    const byValue = this.#byKey.get(key) ?? this.#track(key, all);
    if (byValue === undefined) return undefined;
    if (values === undefined) return [...byValue.values()];
    return [...new Set(values)].map((value) => byValue.get(value) ?? NO_PODS);
  }

  link(state: PodState): void {
    for (const [key, byValue] of this.#byKey) add(byValue, labelOf(state, key), state);
  }

  unlink(state: PodState): void {
    for (const [key, byValue] of this.#byKey) {
      const value = labelOf(state, key);
      if (value === undefined) continue;
      const pods = byValue.get(value);
      pods?.delete(state);
      if (pods?.size === 0) byValue.delete(value);
    }
  }

  #track(key: string, all: Iterable<PodState>): Map<string, Set<PodState>> | undefined {
    if (this.#byKey.size >= MOST_KEYS) return undefined;
    const byValue = new Map<string, Set<PodState>>();
    for (const state of all) if (!state.gone) add(byValue, labelOf(state, key), state);
    this.#byKey.set(key, byValue);
    return byValue;
  }
}

function labelOf({ pod }: PodState, key: string): string | undefined {
  const { labels } = pod.metadata;
  return labels && Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function add(
  byValue: Map<string, Set<PodState>>,
  value: string | undefined,
  state: PodState,
): void {
  if (value === undefined) return;
  const pods = byValue.get(value);
  if (pods) pods.add(state);
  else byValue.set(value, new Set([state]));
}
