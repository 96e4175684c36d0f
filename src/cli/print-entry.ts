import type { EntryView } from "../inspect/ports.ts";
import { formatFields, formatSeconds, formatTable } from "./terminal-text.ts";

/** All of an entry, one field on each line. */
export function printEntry(entry: EntryView): string {
  return formatFields({
    "SPIFFE ID": entry.spiffeId,
    from: `${entry.source.kind} ${entry.source.name}`,
    "X509-SVID lifetime": formatSeconds(entry.x509SvidTtl),
    "JWT-SVID lifetime": jwtLifetime(entry),
    "DNS names": entry.dnsNames.join(", "),
    selectors: entry.selectors.join(", "),
    "parent ID": entry.parentId,
    "federates with": entry.federatesWith.join(", "),
    flags: flagsOf(entry),
    hint: entry.hint,
    "entry ID": entry.id,
  });
}

const HEADINGS = ["NAMESPACE", "POD", "NODE", "SPIFFE ID", "SOURCE"];
const WIDE_HEADINGS = [
  "X509-TTL",
  "JWT-TTL",
  "DNS NAMES",
  "HINT",
  "FLAGS",
  "FEDERATES WITH",
  "SELECTORS",
  "PARENT ID",
  "ENTRY ID",
];

/** Entries as a table. */
export function printEntries(entries: readonly EntryView[], wide: boolean): string {
  const headings = wide ? [...HEADINGS, ...WIDE_HEADINGS] : HEADINGS;
  return formatTable(
    headings,
    entries.map((entry) => (wide ? [...columns(entry), ...wideColumns(entry)] : columns(entry))),
  );
}

function columns(entry: EntryView): string[] {
  const { kind, name } = entry.source;
  return [entry.namespace, entry.pod, entry.node, entry.spiffeId, `${kind}/${name}`];
}

function wideColumns(entry: EntryView): string[] {
  return [
    formatSeconds(entry.x509SvidTtl),
    entry.jwtSvidTtl > 0 ? formatSeconds(entry.jwtSvidTtl) : "",
    entry.dnsNames.join(","),
    entry.hint,
    flagsOf(entry),
    entry.federatesWith.join(","),
    entry.selectors.join(","),
    entry.parentId,
    entry.id,
  ];
}

function jwtLifetime({ jwtSvidTtl }: EntryView): string {
  return jwtSvidTtl > 0 ? formatSeconds(jwtSvidTtl) : "the operator's default";
}

function flagsOf({ admin, downstream }: EntryView): string {
  return [admin ? "admin" : "", downstream ? "downstream" : ""].filter(Boolean).join(",");
}

/** By namespace, pod and SPIFFE ID. */
export function compareEntries(a: EntryView, b: EntryView): number {
  return (
    compare(a.namespace, b.namespace) || compare(a.pod, b.pod) || compare(a.spiffeId, b.spiffeId)
  );
}

function compare(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}
