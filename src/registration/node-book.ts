import { isDeepStrictEqual } from "node:util";
import type { NodeObject } from "./objects.ts";
import { renderParentId } from "./render.ts";
import { compareRules } from "./rule.ts";
import type { AliasRule } from "./rule.ts";
import type { Settings } from "./settings.ts";

/** A node, the parent ID that all entries of its pods have or why it has none, and its aliases. */
export interface KnownNode {
  readonly object: NodeObject;
  readonly parentId: string | undefined;
  readonly problem: string;
  /** SPIFFE IDs that static entries give to nodes that it is one of. */
  readonly aliases: readonly string[];
  /** UIDs of those static entries. */
  readonly aliasedBy: readonly string[];
}

type Aliases = Pick<KnownNode, "aliases" | "aliasedBy">;

/** Whether entries with this parent are for the node's pods. */
export function isParent(node: KnownNode, id: string): boolean {
  return node.parentId === id || node.aliases.includes(id);
}

/** The nodes by name, with the IDs that they have by themselves and by alias. */
export class NodeBook {
  readonly #settings: Settings;
  readonly #nodes = new Map<string, KnownNode>();
  readonly #aliases = new Map<string, AliasRule>();
  /** SPIFFE ID, or UID of a static entry that gives one as an alias → how many nodes have it. */
  readonly #counts = new Map<string, number>();
  readonly #touched = new Set<string>();

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  get(name: string): KnownNode | undefined {
    return this.#nodes.get(name);
  }

  objects(): NodeObject[] {
    return [...this.#nodes.values()].map(({ object }) => object);
  }

  /** How many nodes have an ID, as their own or by alias; undefined for an ID that nothing gives. */
  countOf(id: string): number | undefined {
    const count = this.#counts.get(id);
    if (count !== undefined) return count;
    return [...this.#aliases.values()].some(({ spiffeId }) => spiffeId === id) ? 0 : undefined;
  }

  /** How many nodes match the selectors of an entry that gives an alias. */
  countMatching(uid: string): number {
    return this.#counts.get(uid) ?? 0;
  }

  /** Takes a node in; tells whether it differs in anything that entries are made of. */
  apply(object: NodeObject): boolean {
    const { name } = object.metadata;
    const before = this.#nodes.get(name);
    if (before && sameNode(before.object, object)) return false;
    this.#set(name, {
      object,
      ...renderParentId(object, this.#settings),
      ...this.#aliasesOf(object),
    });
    return true;
  }

  /** Takes a node out; false when another of the same name took its place. */
  remove({ metadata: { name, uid } }: NodeObject): boolean {
    if (this.#nodes.get(name)?.object.metadata.uid !== uid) return false;
    this.#set(name, undefined);
    return true;
  }

  /** Takes an alias in, or out when `rule` is undefined; returns the names of the nodes whose IDs changed. */
  setAlias(uid: string, rule: AliasRule | undefined): string[] {
    const before = this.#aliases.get(uid);
    if (before === rule) return [];
    if (rule) this.#aliases.set(uid, rule);
    else this.#aliases.delete(uid);
    for (const alias of [before, rule]) if (alias) this.#touched.add(alias.spiffeId);
    const changed: string[] = [];
    for (const [name, node] of this.#nodes) {
      const found = this.#aliasesOf(node.object);
      const same = isDeepStrictEqual(found.aliases, node.aliases);
      if (same && isDeepStrictEqual(found.aliasedBy, node.aliasedBy)) continue;
      this.#set(name, { ...node, ...found });
      if (!same) changed.push(name);
    }
    return changed;
  }

  /**
   * The SPIFFE IDs that since the last call the first node got, the last one lost, or an alias began or ceased
   * to give; and the UIDs of entries that began or ceased to match any node.
   */
  takeTouched(): Set<string> {
    const touched = new Set(this.#touched);
    this.#touched.clear();
    return touched;
  }

  #aliasesOf(node: NodeObject): Aliases {
    if (this.#aliases.size === 0) return NO_ALIASES;
    const matching = [...this.#aliases.values()]
      .filter(({ selectors }) => selectors.every(({ test }) => test(node)))
      .toSorted(compareRules);
    if (matching.length === 0) return NO_ALIASES;
    return {
      aliases: [...new Set(matching.map(({ spiffeId }) => spiffeId))],
      aliasedBy: matching.map(({ source }) => source.uid),
    };
  }

  #set(name: string, after: KnownNode | undefined): void {
    for (const id of idsOf(this.#nodes.get(name))) this.#count(id, -1);
    for (const id of idsOf(after)) this.#count(id, 1);
    if (after) this.#nodes.set(name, after);
    else this.#nodes.delete(name);
  }

  #count(id: string, by: 1 | -1): void {
    const before = this.#counts.get(id) ?? 0;
    const after = before + by;
    if (after > 0) this.#counts.set(id, after);
    else this.#counts.delete(id);
    if (before === 0 || after === 0) this.#touched.add(id);
  }
}

const NO_ALIASES: Aliases = { aliases: [], aliasedBy: [] };

/** Everything that a node is counted under. */
function idsOf(node: KnownNode | undefined): readonly string[] {
  if (!node) return [];
  const { parentId, aliases, aliasedBy } = node;
  return [...(parentId === undefined ? [] : [parentId]), ...aliases, ...aliasedBy];
}

function sameNode(a: NodeObject, b: NodeObject): boolean {
  return (
    isDeepStrictEqual(a.metadata, b.metadata) &&
    isDeepStrictEqual(a.spec, b.spec) &&
    isDeepStrictEqual(a.status?.addresses, b.status?.addresses)
  );
}
