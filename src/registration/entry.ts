import { hash } from "node:crypto";
import { formatSelector } from "../spiffe/selector.ts";
import type { Selector } from "../spiffe/selector.ts";
import type { Source } from "./types.ts";

/** What an entry takes over from its custom resource as it stands there. */
export interface EntryTerms {
  /** Seconds; 0 means the operator's default. */
  readonly x509SvidTtl: number;
  /** Seconds; 0 means the operator's default. */
  readonly jwtSvidTtl: number;
  /** Names of trust domains whose bundles go with the SVID. */
  readonly federatesWith: readonly string[];
  readonly admin: boolean;
  readonly downstream: boolean;
  readonly hint: string;
}

/** What an entry says about a pod, before it has an ID and a revision. */
export interface EntryContent extends EntryTerms {
  /** The custom resource the entry comes from. */
  readonly source: Source;
  readonly podUid: string;
  readonly nodeName: string;
  readonly spiffeId: string;
  readonly parentId: string;
  /** All of them must be true of the pod. */
  readonly selectors: readonly Selector[];
  /** In the order of the SVID's names; the first is the certificate's common name. */
  readonly dnsNames: readonly string[];
}

/** A registration entry: which SVID one pod gets because of one custom resource. */
export interface RegistrationEntry extends EntryContent {
  /** The same on every replica and after every restart: a hash of source, SPIFFE ID, parent ID and selectors. */
  readonly id: string;
  /** Changes whenever an SVID issued for the entry would look different. */
  readonly revision: string;
}

/** 128 bits: far beyond accidental collisions in one cluster, and short enough for logs. */
const DIGEST_CHARS = 32;

/** Gives an entry its deterministic ID and revision. */
export function createEntry(content: EntryContent): RegistrationEntry {
  const { source, spiffeId, parentId } = content;
  const selectors = content.selectors.map(formatSelector);
  const id = digest([source.uid, spiffeId, parentId, sortedSelectors(selectors)]);
  const revision = digest([
    spiffeId,
    content.x509SvidTtl,
    content.jwtSvidTtl,
    content.dnsNames,
    content.federatesWith.toSorted(),
    content.admin,
    content.downstream,
    content.hint,
  ]);
  return { ...content, id, revision };
}

/**
 * What makes two declared entries the same registration: SPIFFE ID, parent ID and the set of selectors.
 * Of several entries with one key only one takes effect; TTLs, names and flags play no part.
 */
export function contentKey(entry: {
  readonly spiffeId: string;
  readonly parentId: string;
  /** As `type:value`. */
  readonly selectors: readonly string[];
}): string {
  return JSON.stringify([entry.spiffeId, entry.parentId, sortedSelectors(entry.selectors)]);
}

/** The key of an entry that was rendered. */
export function entryKey({ spiffeId, parentId, selectors }: EntryContent): string {
  return contentKey({ spiffeId, parentId, selectors: selectors.map(formatSelector) });
}

/** Tells whether two lists lead to the same SVIDs in the same order. */
export function sameEntries(
  a: readonly RegistrationEntry[],
  b: readonly RegistrationEntry[],
): boolean {
  if (a === b) return true;
  return (
    a.length === b.length &&
    a.every((entry, at) => entry.id === b[at]?.id && entry.revision === b[at].revision)
  );
}

function sortedSelectors(selectors: readonly string[]): readonly string[] {
  return selectors.length === 1 ? selectors : [...new Set(selectors)].toSorted();
}

function digest(parts: readonly unknown[]): string {
  return hash("sha256", JSON.stringify(parts), "hex").slice(0, DIGEST_CHARS);
}
