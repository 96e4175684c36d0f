/** Workload API §8: a longer hint is not supported, so it is not handed out. */
export const MAX_HINT_BYTES = 1024;

/**
 * The hints that a response carries for these items, in their order: of equal ones only the first stays,
 * because hints are unique in a response (Workload API §5.2.1); the others become empty.
 */
export function responseHints(items: readonly { readonly hint: string }[]): string[] {
  const used = new Set<string>();
  return items.map(({ hint }) => {
    if (hint === "" || used.has(hint) || Buffer.byteLength(hint) > MAX_HINT_BYTES) return "";
    used.add(hint);
    return hint;
  });
}
