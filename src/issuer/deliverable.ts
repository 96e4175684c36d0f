import { MAX_SVIDS } from "../spiffe/svid.ts";
import type { EntryRegistry } from "./ports.ts";

/**
 * The registry as nodes see it: of a pod's entries only as many as they take. Those of the oldest custom resources come
 * first, so that one rule too many costs no running pod the identities that it has.
 */
export function deliverable(registry: EntryRegistry): EntryRegistry {
  return {
    ...registry,
    entriesOfPod(uid) {
      const entries = registry.entriesOfPod(uid);
      return entries.length > MAX_SVIDS ? entries.slice(0, MAX_SVIDS) : entries;
    },
  };
}
