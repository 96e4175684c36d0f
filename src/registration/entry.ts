import { hash } from "node:crypto";
import { formatSelector } from "../spiffe/selector.ts";
import type { Selector } from "../spiffe/selector.ts";

/** The custom resource an entry comes from. */
export interface EntrySource {
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

/** What an entry says about a pod, before it has an ID and a revision. */
export interface EntryContent {
  readonly source: EntrySource;
  readonly podUid: string;
  readonly nodeName: string;
  readonly spiffeId: string;
  readonly parentId: string;
  /** All of them must be true of the pod. */
  readonly selectors: readonly Selector[];
  /** Seconds; 0 means the operator's default. */
  readonly x509SvidTtl: number;
  /** Seconds; 0 means the operator's default. */
  readonly jwtSvidTtl: number;
  /** In the order of the SVID's names; the first is the certificate's common name. */
  readonly dnsNames: readonly string[];
  /** Names of trust domains whose bundles go with the SVID. */
  readonly federatesWith: readonly string[];
  readonly admin: boolean;
  readonly downstream: boolean;
  readonly hint: string;
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
  const id = digest([source.uid, spiffeId, parentId, sortedSelectors(content.selectors)]);
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
export function contentKey(entry: EntryContent): string {
  return JSON.stringify([entry.spiffeId, entry.parentId, sortedSelectors(entry.selectors)]);
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

function sortedSelectors(selectors: readonly Selector[]): readonly string[] {
  if (selectors.length === 1) return selectors.map(formatSelector);
  return [...new Set(selectors.map(formatSelector))].toSorted();
}

function digest(parts: readonly unknown[]): string {
  return hash("sha256", JSON.stringify(parts), "hex").slice(0, DIGEST_CHARS);
}
