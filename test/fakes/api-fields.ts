import { isDeepStrictEqual } from "node:util";

/** Field ownership of server-side apply: paths in an object, and the managers that own them. */

export type Json = Record<string, unknown>;
/** JSON text of the segments: a field name, or `k:{"name":"x"}` for the item of a keyed list. */
export type FieldPath = string;

export interface FieldOwner {
  manager: string;
  operation: "Apply" | "Update";
  subresource?: string;
  apiVersion?: string;
  time: string;
  fieldsType: "FieldsV1";
  fieldsV1: Json;
}

/** Lists whose items are merged by a key; every other list is one value. */
const LIST_KEYS: Readonly<Record<string, string>> = {
  conditions: "type",
  containers: "name",
  initContainers: "name",
  env: "name",
  volumes: "name",
  volumeMounts: "mountPath",
  webhooks: "name",
  ownerReferences: "uid",
};

const UNOWNED = new Set(["apiVersion", "kind"]);
const UNOWNED_METADATA = new Set([
  "name",
  "namespace",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "generateName",
  "managedFields",
]);

export function isJson(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function listKey(field: string | undefined, value: unknown): string | undefined {
  const key = LIST_KEYS[field ?? ""];
  const keyed = key !== undefined && Array.isArray(value);
  return keyed && value.every((item) => isJson(item) && key in item) ? key : undefined;
}

/** Every leaf of `value` that a manager can own, with its value. */
export function leaves(value: unknown, path: readonly string[] = []): Map<FieldPath, unknown> {
  const key = listKey(path.at(-1), value);
  if (key !== undefined) {
    const items = (value as Json[]).map((item) =>
      leaves(item, [...path, `k:${JSON.stringify({ [key]: item[key] })}`]),
    );
    return new Map(items.flatMap((item) => [...item]));
  }
  if (!isJson(value) || Object.keys(value).length === 0) {
    return path.length === 0 ? new Map() : new Map([[JSON.stringify(path), value]]);
  }
  const fields = Object.entries(value).filter(([name]) => ownable(path, name));
  return new Map(fields.flatMap(([name, field]) => [...leaves(field, [...path, name])]));
}

function ownable(path: readonly string[], name: string): boolean {
  if (path.length === 0) return !UNOWNED.has(name);
  return !(path.length === 1 && path[0] === "metadata" && UNOWNED_METADATA.has(name));
}

/** `applied` laid over `live`: maps by field, keyed lists by key, anything else replaced. */
export function mergeApplied(live: unknown, applied: unknown, field?: string): unknown {
  if (isJson(live) && isJson(applied)) {
    const merged: Json = { ...live };
    for (const [name, value] of Object.entries(applied)) {
      merged[name] = mergeApplied(live[name], value, name);
    }
    return merged;
  }
  const key = listKey(field, applied);
  if (key === undefined || !Array.isArray(live)) return applied;
  const items = new Map<unknown, Json>((live as Json[]).map((item) => [item[key], item]));
  for (const item of applied as Json[]) {
    items.set(item[key], mergeApplied(items.get(item[key]), item) as Json);
  }
  return [...items.values()];
}

/** Takes the field at `path` out of `object`, and the keyed item that is left with nothing but its key. */
export function removeField(object: Json, path: FieldPath): void {
  const segments = JSON.parse(path) as string[];
  removeAt(object, segments);
}

function removeAt(container: unknown, [segment, ...rest]: string[]): void {
  if (segment === undefined) return;
  if (segment.startsWith("k:") && Array.isArray(container)) {
    const key = JSON.parse(segment.slice(2)) as Json;
    const at = container.findIndex((item: Json) => isDeepStrictEqual({ ...item, ...key }, item));
    if (at < 0) return;
    removeAt(container[at], rest);
    if (isDeepStrictEqual(container[at], key) || isDeepStrictEqual(container[at], {})) {
      container.splice(at, 1);
    }
  } else if (isJson(container)) {
    if (rest.length === 0) delete container[segment];
    else removeAt(container[segment], rest);
  }
}

/** Paths as the nested map that `managedFields` carries. */
export function encodeFields(paths: Iterable<FieldPath>): Json {
  const root: Json = {};
  for (const path of paths) {
    let node = root;
    for (const segment of JSON.parse(path) as string[]) {
      node = (node[segment.startsWith("k:") ? segment : `f:${segment}`] ??= {}) as Json;
    }
  }
  return root;
}

export function decodeFields(fields: Json, path: readonly string[] = []): Set<FieldPath> {
  const entries = Object.entries(fields);
  if (entries.length === 0 && path.length > 0) return new Set([JSON.stringify(path)]);
  const inner = entries.flatMap(([name, value]) => [
    ...decodeFields(value as Json, [...path, name.startsWith("f:") ? name.slice(2) : name]),
  ]);
  return new Set(inner);
}
