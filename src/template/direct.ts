import type { ArgumentNode, ListNode, StatementNode } from "./ast.ts";
import { fromBytes, toBytes } from "./bytes.ts";
import { DATA_TYPE } from "./types.ts";
import type { GoType } from "./types.ts";
import { hasOwnJson } from "./value.ts";

/** Reads one string out of the data; undefined when only the executor can say what Go does. */
type Read = (data: unknown) => string | undefined;

/** Renders the plain templates that nearly all are; undefined when the executor must. */
export type DirectRender = (data: object) => string | undefined;

/**
 * Compiles a template of text, string fields and labels, which are most of them, to plain property
 * reads. Gives undefined for any other template.
 */
export function compileDirect(root: ListNode, outputBytes: number): DirectRender | undefined {
  const parts: (string | Read)[] = [];
  for (const node of root.nodes) {
    const part = compilePart(node);
    if (part === undefined) return undefined;
    parts.push(part);
  }
  // A UTF-16 unit takes at most three bytes.
  const most = Math.floor(outputBytes / 3);
  return (data) => {
    let text = "";
    for (const part of parts) {
      const piece = typeof part === "string" ? part : part(data);
      if (piece === undefined) return undefined;
      text += piece;
      if (text.length > most) return undefined;
    }
    return text.isWellFormed() ? text : undefined;
  };
}

function compilePart(node: StatementNode): string | Read | undefined {
  if (node.kind === "text") return fromBytes(node.text);
  if (node.kind !== "action" || node.pipe.declared.length > 0) return undefined;
  const [command, ...rest] = node.pipe.commands;
  if (command === undefined || rest.length > 0) return undefined;
  const [first, second, third, ...more] = command.args;
  if (first?.kind === "field") return second === undefined ? compileField(first.path) : undefined;
  if (first?.kind !== "identifier" || first.name !== "index" || more.length > 0) return undefined;
  return compileIndex(second, third);
}

/** A chain of struct fields that ends in a string, or in a key of a map of strings. */
function compileField(path: readonly string[]): Read | undefined {
  const way = resolve(path);
  if (way !== undefined) {
    return way.type.kind === "string" && way.type.methods.size === 0
      ? (data) => asString(follow(data, way.names))
      : undefined;
  }
  const map = resolve(path.slice(0, -1));
  const key = fromBytes(path.at(-1) ?? "");
  if (map?.type.key !== "map[string]string") return undefined;
  return (data) => {
    const object = follow(data, map.names);
    return isObject(object) && Object.hasOwn(object, key) ? asText(object[key]) : undefined;
  };
}

/** `index .PodMeta.Labels "key"`: an absent key is the empty string. */
function compileIndex(
  map: ArgumentNode | undefined,
  key: ArgumentNode | undefined,
): Read | undefined {
  if (map?.kind !== "field" || key?.kind !== "string") return undefined;
  const way = resolve(map.path);
  if (way?.type.key !== "map[string]string") return undefined;
  const name = fromBytes(key.value);
  if (toBytes(name) !== key.value) return undefined;
  return (data) => {
    const object = follow(data, way.names);
    if (object === null) return "";
    if (!isObject(object)) return undefined;
    return Object.hasOwn(object, name) ? asText(object[name]) : "";
  };
}

interface Way {
  /** JSON names from the data object on. */
  readonly names: readonly string[];
  readonly type: GoType;
}

function resolve(path: readonly string[]): Way | undefined {
  const names: string[] = [];
  let type = DATA_TYPE;
  for (const name of path) {
    const struct = type.kind === "pointer" ? type.elem : type;
    const fields = struct.findField(name);
    if (struct.kind !== "struct" || hasOwnJson(struct) || struct.methods.has(name))
      return undefined;
    if (fields === undefined) return undefined;
    for (const field of fields) {
      if (!field.exported) return undefined;
      if (!(field.embedded && field.json === "-")) names.push(field.json);
      type = field.type;
    }
  }
  return { names, type };
}

/** The JSON at the end; null when the last step is absent, undefined when one before it is. */
function follow(data: unknown, names: readonly string[]): unknown {
  let at: unknown = data;
  for (const name of names) {
    if (!isObject(at)) return undefined;
    at = at[name] ?? null;
  }
  return at;
}

function asString(json: unknown): string | undefined {
  return json === null ? "" : asText(json);
}

function asText(json: unknown): string | undefined {
  return typeof json === "string" ? json : undefined;
}

function isObject(json: unknown): json is Readonly<Record<string, unknown>> {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
