import { authoritiesOf } from "./journal.ts";
import type { Journal } from "./journal.ts";
import { AUTHORITY_KINDS } from "./record.ts";
import type { KnownAuthorityRecord } from "./record.ts";

/** The authorities of `journal` that have not expired and that `other` does not know: what they signed needs them. */
export function unknownTo(other: Journal, journal: Journal, now: number): KnownAuthorityRecord[] {
  return AUTHORITY_KINDS.flatMap((kind) => {
    const known = new Set(authoritiesOf(other, kind).map(({ id }) => id));
    return authoritiesOf(journal, kind).filter(
      ({ id, notAfter }) => now <= notAfter && !known.has(id),
    );
  });
}

/**
 * One journal out of two that grew apart, as when a Secret was deleted or restored while a replica started: the
 * authorities of `used` stay as they are, and those that only `other` knows are trusted and sign no more.
 */
export function mergeJournals(used: Journal, other: Journal, now: number): Journal {
  const strange = unknownTo(used, other, now);
  if (strange.length === 0) return used;
  const added = strange.map((record) => ({ ...record, status: "old" as const }));
  const sequence = Math.max(used.sequence, other.sequence) + 1;
  return { ...used, sequence, authorities: [...used.authorities, ...added] };
}
