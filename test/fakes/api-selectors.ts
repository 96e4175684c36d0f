import type { KubeObject } from "../../src/kube/types.ts";

export type Matcher = (object: KubeObject) => boolean;

/** The label and field selectors of a request as one predicate; throws for syntax the fake does not know. */
export function selectorMatcher(
  labelSelector: string | null,
  fieldSelector: string | null,
): Matcher {
  const labels = requirements(labelSelector).map(labelMatcher);
  const fields = requirements(fieldSelector).map(fieldMatcher);
  const all = [...labels, ...fields];
  return (object) => all.every((matches) => matches(object));
}

/** Splits at commas outside parentheses. */
function requirements(selector: string | null): string[] {
  return (selector ?? "").split(/,(?![^(]*\))/).filter((part) => part.trim() !== "");
}

function labelMatcher(requirement: string): Matcher {
  const set = /^\s*([^\s!=,()]+)\s+(in|notin)\s+\(([^)]*)\)\s*$/.exec(requirement);
  if (set) {
    const [, key = "", operator, list = ""] = set;
    const values = new Set(list.split(",").map((value) => value.trim()));
    const wanted = operator === "in";
    return ({ metadata }) => {
      const value = metadata.labels?.[key];
      return value === undefined ? !wanted : values.has(value) === wanted;
    };
  }
  const compare = comparison(requirement);
  if (compare) {
    return ({ metadata }) => (metadata.labels?.[compare.key] === compare.value) === compare.equal;
  }
  const text = requirement.trim();
  if (text.startsWith("!")) return ({ metadata }) => metadata.labels?.[text.slice(1)] === undefined;
  return ({ metadata }) => metadata.labels?.[text] !== undefined;
}

function fieldMatcher(requirement: string): Matcher {
  const compare = comparison(requirement);
  if (!compare) throw new Error(`field selector ${requirement} is not understood`);
  const path = compare.key.split(".");
  return (object) => {
    let value: unknown = object;
    for (const part of path) value = (value as Record<string, unknown> | undefined)?.[part];
    return ((value ?? "") === compare.value) === compare.equal;
  };
}

function comparison(
  requirement: string,
): { key: string; value: string; equal: boolean } | undefined {
  const match = /^\s*([^\s!=]+)\s*(==|=|!=)\s*(.*?)\s*$/.exec(requirement);
  if (!match) return undefined;
  const [, key = "", operator, value = ""] = match;
  return { key, value, equal: operator !== "!=" };
}
