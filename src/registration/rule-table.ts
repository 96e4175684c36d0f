import type { Labels, SelectorAnchor } from "../api/label-selector.ts";
import { compareRules } from "./rule.ts";
import type { TemplateRule } from "./rule.ts";

/** No label has it as a value, so it can stand for any. */
const ANY = "*";
const ANY_VALUE: readonly string[] = [ANY];
const NO_RULES: ReadonlySet<TemplateRule> = new Set();

/** label key → label value → rules that can only match objects that carry it */
type AnchorMap = Map<string, Map<string, Set<TemplateRule>>>;

/**
 * The valid rules, arranged so that a pod finds those that select it without asking all of them: each is
 * filed under one label it requires of the pod, else of the namespace, else among those asked always.
 */
export class RuleTable {
  readonly #byPodLabel: AnchorMap = new Map();
  readonly #byNamespaceLabel: AnchorMap = new Map();
  readonly #always = new Set<TemplateRule>();
  readonly #all = new Set<TemplateRule>();

  add(rule: TemplateRule): void {
    this.#all.add(rule);
    for (const place of this.#places(rule)) place.add(rule);
  }

  remove(rule: TemplateRule): void {
    this.#all.delete(rule);
    for (const place of this.#places(rule)) place.delete(rule);
    const { anchor } = rule.podSelector;
    if (anchor) prune(this.#byPodLabel, anchor);
    else if (rule.namespaceSelector.anchor) {
      prune(this.#byNamespaceLabel, rule.namespaceSelector.anchor);
    }
  }

  all(): Iterable<TemplateRule> {
    return this.#all;
  }

  /** The rules whose selectors match both label sets, in listing order. */
  matching(podLabels: Labels = {}, namespaceLabels: Labels = {}): TemplateRule[] {
    const found: TemplateRule[] = [];
    const take = (rules: Iterable<TemplateRule>): void => {
      for (const rule of rules) {
        if (!rule.podSelector.matches(podLabels)) continue;
        if (rule.namespaceSelector.matches(namespaceLabels)) found.push(rule);
      }
    };
    take(this.#always);
    visit(this.#byPodLabel, podLabels, take);
    visit(this.#byNamespaceLabel, namespaceLabels, take);
    return found.length > 1 ? found.toSorted(compareRules) : found;
  }

  #places(rule: TemplateRule): Set<TemplateRule>[] {
    if (rule.podSelector.anchor) return placesOf(this.#byPodLabel, rule.podSelector.anchor);
    const { anchor } = rule.namespaceSelector;
    return anchor ? placesOf(this.#byNamespaceLabel, anchor) : [this.#always];
  }
}

function placesOf(
  map: AnchorMap,
  { key, values = ANY_VALUE }: SelectorAnchor,
): Set<TemplateRule>[] {
  let byValue = map.get(key);
  if (!byValue) map.set(key, (byValue = new Map()));
  const places: Set<TemplateRule>[] = [];
  for (const value of values) {
    let place = byValue.get(value);
    if (!place) byValue.set(value, (place = new Set()));
    places.push(place);
  }
  return places;
}

function prune(map: AnchorMap, { key, values = ANY_VALUE }: SelectorAnchor): void {
  const byValue = map.get(key);
  if (!byValue) return;
  for (const value of values) if (byValue.get(value)?.size === 0) byValue.delete(value);
  if (byValue.size === 0) map.delete(key);
}

function visit(
  map: AnchorMap,
  labels: Labels,
  take: (rules: Iterable<TemplateRule>) => void,
): void {
  if (map.size === 0) return;
  for (const key of Object.keys(labels)) {
    const byValue = map.get(key);
    if (!byValue) continue;
    take(byValue.get(labels[key] ?? "") ?? NO_RULES);
    take(byValue.get(ANY) ?? NO_RULES);
  }
}
