/** Says which name a wildcard among `names` covers already, as SPIRE refuses such lists; or undefined. */
export function wildcardOverlap(names: readonly string[]): string | undefined {
  const wildcards = new Set(names.filter((name) => name.startsWith("*.")));
  if (wildcards.size === 0) return undefined;
  for (const name of names) {
    const wildcard = `*${name.slice(name.indexOf("."))}`;
    if (name.includes(".") && !wildcards.has(name) && wildcards.has(wildcard)) {
      return `${JSON.stringify(wildcard)} already covers ${JSON.stringify(name)}`;
    }
  }
  return undefined;
}
