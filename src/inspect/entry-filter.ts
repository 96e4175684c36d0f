import type { RegistrationEntry } from "../registration/entry.ts";
import type { PodObject } from "../registration/objects.ts";

/** Which entries are asked for; what is left out does not matter. */
export interface EntryFilter {
  readonly namespace?: string;
  readonly node?: string;
  readonly source?: SourceFilter;
}

export interface SourceFilter {
  /** Any kind when left out. */
  readonly kind?: string;
  readonly name: string;
}

/** Reads the filter from the parameters namespace, node, and source as `NAME` or `KIND/NAME`. */
export function parseEntryFilter(query: URLSearchParams): EntryFilter {
  const namespace = query.get("namespace");
  const node = query.get("node");
  const source = query.get("source");
  return {
    ...(namespace ? { namespace } : {}),
    ...(node ? { node } : {}),
    ...(source ? { source: parseSource(source) } : {}),
  };
}

function parseSource(text: string): SourceFilter {
  const slash = text.indexOf("/");
  return slash === -1
    ? { name: text }
    : { kind: text.slice(0, slash), name: text.slice(slash + 1) };
}

/** Tells whether the entry, of `pod`, is asked for. */
export function admitsEntry(
  filter: EntryFilter,
  entry: RegistrationEntry,
  pod: PodObject | undefined,
): boolean {
  const { namespace, node, source } = filter;
  if (node !== undefined && entry.nodeName !== node) return false;
  if (source !== undefined && entry.source.name !== source.name) return false;
  if (source?.kind !== undefined && entry.source.kind !== source.kind) return false;
  return namespace === undefined || pod?.metadata.namespace === namespace;
}
