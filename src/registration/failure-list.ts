import { MAX_FAILURES } from "../api/cluster-spiffe-id.ts";
import { compareText } from "./rule.ts";
import type { PodFailure } from "./types.ts";

/** The pods that one rule fails for; keeps the first few by name at hand for the status. */
export class FailureList {
  readonly #byUid = new Map<string, PodFailure>();
  /** Undefined when it must be gathered anew. */
  #first: readonly PodFailure[] | undefined = [];

  set(uid: string, failure: PodFailure): void {
    const before = this.#byUid.get(uid);
    if (before?.message === failure.message && before.pod === failure.pod) return;
    this.delete(uid);
    this.#byUid.set(uid, failure);
    if (this.#first) this.#first = insert(this.#first, failure);
  }

  delete(uid: string): void {
    const before = this.#byUid.get(uid);
    if (!before) return;
    this.#byUid.delete(uid);
    if (this.#first?.includes(before)) this.#first = undefined;
  }

  /** At most MAX_FAILURES, in the order of pod names. */
  first(): readonly PodFailure[] {
    if (!this.#first) {
      let first: readonly PodFailure[] = [];
      for (const failure of this.#byUid.values()) first = insert(first, failure);
      this.#first = first;
    }
    return this.#first;
  }
}

function insert(list: readonly PodFailure[], failure: PodFailure): readonly PodFailure[] {
  const last = list.at(-1);
  if (list.length === MAX_FAILURES && last && compare(last, failure) <= 0) return list;
  const at = list.findIndex((other) => compare(failure, other) < 0);
  return list.toSpliced(at === -1 ? list.length : at, 0, failure).slice(0, MAX_FAILURES);
}

function compare(a: PodFailure, b: PodFailure): number {
  return compareText(a.pod, b.pod) || compareText(a.message, b.message);
}
