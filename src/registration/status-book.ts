import { isDeepStrictEqual } from "node:util";
import type { BundleDocument } from "../spiffe/bundle-document.ts";
import { FederationBook } from "./federation-book.ts";
import type { NodeBook } from "./node-book.ts";
import type { CustomResource } from "./objects.ts";
import type { RuleBook } from "./rule-book.ts";
import { statusOf } from "./rule-status.ts";
import type { StatusContext } from "./rule-status.ts";
import type { AliasRule, Rule } from "./rule.ts";
import type { Settings } from "./settings.ts";
import type { FederationStatus, RuleStatus } from "./types.ts";

/** The statuses of all custom resources: what each says, and which changed since they were taken last. */
export class StatusBook implements StatusContext {
  readonly #own: string;
  readonly #rules: RuleBook;
  readonly #nodes: NodeBook;
  readonly #federation: FederationBook;
  #bundles: ReadonlyMap<string, BundleDocument> = new Map();
  #changedBundles = new Set<string>();
  #federationTouched = false;

  constructor(settings: Settings, rules: RuleBook, nodes: NodeBook) {
    this.#own = settings.trustDomain;
    this.#rules = rules;
    this.#nodes = nodes;
    this.#federation = new FederationBook(settings);
  }

  applyFederation(object: CustomResource): void {
    this.#federation.apply(object);
    this.#federationTouched = true;
  }

  removeFederation(uid: string): void {
    this.#federation.remove(uid);
    this.#federationTouched = true;
  }

  federationUids(): string[] {
    return this.#federation.uids();
  }

  /** Undefined when the object is unknown or of another class. */
  of(uid: string): RuleStatus | FederationStatus | undefined {
    const tally = this.#rules.get(uid);
    return tally ? statusOf(tally, this) : this.#federation.statusOf(uid);
  }

  maskedBy(...[rule]: Parameters<StatusContext["maskedBy"]>): Rule | undefined {
    return this.#rules.maskedBy(rule);
  }

  nodesWith(id: string): number | undefined {
    return this.#nodes.countOf(id);
  }

  nodesMatching({ source }: AliasRule): number {
    return this.#nodes.countMatching(source.uid);
  }

  /** The bundles of foreign trust domains, as of the last `takeChanged`. */
  foreignBundles(): ReadonlyMap<string, BundleDocument> {
    return this.#bundles;
  }

  /** Trust domains whose bundle has come, changed or gone since the last call. */
  takeChangedBundles(): ReadonlySet<string> {
    const changed = this.#changedBundles;
    this.#changedBundles = new Set();
    return changed;
  }

  /** Our own bundle is always there. */
  withoutBundle(trustDomains: readonly string[]): readonly string[] {
    return trustDomains.filter((name) => name !== this.#own && !this.#bundles.has(name));
  }

  /** UIDs of the objects whose status differs from what it was at the last call; removed ones are among them. */
  takeChanged(): Set<string> {
    const ids = this.#nodes.takeTouched();
    if (ids.size > 0) this.#rules.touchWhere((rule) => namesAny(rule, ids));
    const federated = this.#federationTouched ? this.#takeFederation() : [];
    return new Set([...this.#rules.takeChanged(this), ...federated]);
  }

  #takeFederation(): Set<string> {
    this.#federationTouched = false;
    const before = this.#bundles;
    const after = new Map(this.#federation.bundles());
    this.#bundles = after;
    const names = new Set([...before.keys(), ...after.keys()]);
    for (const name of names) {
      const known = before.get(name);
      if (!isDeepStrictEqual(known, after.get(name))) this.#changedBundles.add(name);
      // The same object for the same content: what was derived from it holds.
      else if (known) after.set(name, known);
    }
    if ([...names].some((name) => before.has(name) !== after.has(name))) {
      this.#rules.touchWhere(
        (rule) => rule.state === "valid" && rule.terms.federatesWith.length > 0,
      );
    }
    return this.#federation.takeChanged();
  }
}

/** Whether a static entry has one of these IDs as its parent, or has other nodes to give an alias to. */
function namesAny(rule: Rule, ids: ReadonlySet<string>): boolean {
  if (rule.state !== "valid" || rule.form === "template") return false;
  return ids.has(rule.parentId) || ids.has(rule.source.uid);
}
