import { fingerprint } from "./workload.ts";
import type { EntryRef, Wanted } from "./workload.ts";

/** Which entries apply to the pods of this node, as the operator said it. */
export interface NodeEntries {
  /** Undefined when none is known. */
  of(podUid: string): Wanted;
  /** Notes the entries of a pod and returns their fingerprint, empty for none. */
  set(podUid: string, entries: readonly EntryRef[]): string;
  /** From here to `synced` the operator names every pod that has entries. */
  beginSession(): void;
  /** Forgets the pods that were not named since the session began. */
  synced(): void;
  readonly isSynced: boolean;
}

/** Entries of no pod yet. */
export function nodeEntries(): NodeEntries {
  const wanted = new Map<string, string>();
  let named = new Set<string>();
  let isSynced = false;
  return {
    of: (podUid) => wanted.get(podUid),
    get isSynced() {
      return isSynced;
    },
    set(podUid, entries) {
      const text = fingerprint(entries);
      if (!isSynced) named.add(podUid);
      if (text === "") wanted.delete(podUid);
      else wanted.set(podUid, text);
      return text;
    },
    beginSession() {
      named = new Set();
      isSynced = false;
    },
    synced() {
      for (const podUid of wanted.keys()) if (!named.has(podUid)) wanted.delete(podUid);
      named = new Set();
      isSynced = true;
    },
  };
}
