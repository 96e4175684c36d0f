/**
 * Applies a JSON patch that only adds (RFC 6902 §4.1), written from the RFC as an oracle that shares
 * nothing with the library that makes our patches. Throws for any other operation.
 */
export function applyAdditions(document: unknown, patch: readonly unknown[]): unknown {
  const result = structuredClone(document);
  for (const operation of patch) {
    const { op, path, value } = operation as { op: string; path: string; value: unknown };
    if (op !== "add") throw new Error(`operation ${op} is not an addition`);
    addAt(result, path, structuredClone(value));
  }
  return result;
}

function addAt(document: unknown, path: string, value: unknown): void {
  const tokens = path
    .split("/")
    .slice(1)
    .map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
  const last = tokens.pop();
  if (last === undefined) throw new Error("the whole document cannot be added");
  let parent = document as Record<string, unknown>;
  for (const token of tokens) {
    if (!Object.hasOwn(parent, token)) throw new Error(`${path}: no ${token}`);
    parent = parent[token] as Record<string, unknown>;
  }
  if (!Array.isArray(parent)) {
    parent[last] = value;
    return;
  }
  const index = last === "-" ? parent.length : Number(last);
  if (!(index >= 0 && index <= parent.length)) throw new Error(`${path}: outside the array`);
  parent.splice(index, 0, value);
}
