import type { ArgumentNode, CommandNode, ListNode, PipeNode, StatementNode } from "./ast.ts";
import { resultFailure } from "./field.ts";
import { methodOf } from "./methods.ts";
import type { Problem } from "./problems.ts";
import { Problems } from "./problems.ts";
import type { GoType, Method } from "./types.ts";
import { DATA_TYPE, EXTRA_FIELDS, goType } from "./types.ts";

export interface Analysis {
  /** The data used, sorted: `PodMeta.Labels`; a bare `PodMeta` means all of it. */
  readonly paths: readonly string[];
  readonly problems: readonly Problem[];
  /** Methods that Go has and Signet does not, with where they are called. */
  readonly unsupported: readonly { readonly pos: number; readonly what: string }[];
}

/** What is known about a value before any data is seen; undefined fields are unknown. */
interface Shape {
  readonly type: GoType | undefined;
  /** Names from the data object to here; undefined once the value is no longer part of the data. */
  readonly path: readonly string[] | undefined;
  /** Whether there may be no value at all, as for a key that a map does not have; that never fails. */
  readonly optional: boolean;
}

const UNKNOWN: Shape = { type: undefined, path: undefined, optional: true };
const ROOT: Shape = { type: DATA_TYPE.pointerTo(), path: [], optional: false };
/** After so many operands no template call is followed; the data it could reach counts as used. */
const MOST_OPERANDS = 8_000;
/** Nor are blocks nested deeper than this, over all calls. */
const MOST_DEPTH = 500;

/** Finds out what a template reads and what in it cannot work, without running it. */
export function analyze(program: {
  readonly text: string;
  readonly root: ListNode;
  readonly defined: ReadonlyMap<string, ListNode>;
}): Analysis {
  return new Analyzer(program.text, program.defined).run(program.root);
}

/** Functions that evaluate their first argument always, and the others only as far as they have to. */
const SHORT_CIRCUITS: ReadonlySet<string> = new Set(["and", "or"]);

class Analyzer {
  readonly #text: string;
  readonly #defined: ReadonlyMap<string, ListNode>;
  readonly #paths = new Set<string>();
  readonly #problems: Problems;
  readonly #unsupported: { pos: number; what: string }[] = [];
  readonly #visited = new Set<string>();
  #reassigned: ReadonlySet<string> | undefined;
  #depth = 0;
  #operands = 0;
  /** How many conditions decide whether what is looked at is executed. */
  #conditions = 0;
  #vars: { name: string; shape: Shape }[] = [];

  constructor(text: string, defined: ReadonlyMap<string, ListNode>) {
    this.#text = text;
    this.#defined = defined;
    this.#problems = new Problems(text);
  }

  run(root: ListNode): Analysis {
    this.#body(root, ROOT);
    return {
      paths: [...this.#paths].toSorted(),
      problems: this.#problems.all,
      unsupported: this.#unsupported,
    };
  }

  #body(list: ListNode, dot: Shape): void {
    const outer = this.#vars;
    this.#vars = [{ name: "$", shape: dot }];
    this.#list(list, dot);
    this.#vars = outer;
  }

  #list(list: ListNode, dot: Shape): void {
    this.#depth++;
    if (this.#depth > MOST_DEPTH) this.#use(ROOT);
    else for (const node of list.nodes) this.#statement(node, dot);
    this.#depth--;
  }

  #statement(node: StatementNode, dot: Shape): void {
    switch (node.kind) {
      case "action": {
        const shape = this.#pipe(node.pipe, dot);
        if (node.pipe.declared.length === 0) this.#show(shape);
        return;
      }
      case "if":
      case "with":
      case "range": {
        const scope = this.#vars.length;
        const shape = this.#pipe(node.pipe, dot);
        if (node.kind === "range") this.#use(shape);
        else this.#test(shape);
        const inner = node.kind === "with" ? shape : node.kind === "range" ? UNKNOWN : dot;
        if (node.kind === "range") this.#forget(scope);
        this.#conditions++;
        this.#list(node.list, inner);
        if (node.elseList !== undefined) this.#list(node.elseList, dot);
        this.#conditions--;
        this.#vars.length = scope;
        return;
      }
      case "template":
        this.#call(node.name, node.pipe === undefined ? UNKNOWN : this.#pipe(node.pipe, dot));
        return;
      default:
    }
  }

  /** Follows a template call once for each part of the data it can get. */
  #call(name: string, dot: Shape): void {
    const list = this.#defined.get(name);
    if (list === undefined) return;
    const certain = this.#conditions === 0;
    const key = JSON.stringify([name, dot.path ?? null, dot.type?.key, dot.optional, certain]);
    if (this.#visited.has(key)) return;
    this.#visited.add(key);
    if (this.#operands > MOST_OPERANDS) this.#use(ROOT);
    else this.#body(list, dot);
  }

  /** The variables of a range hold elements, of which nothing is known. */
  #forget(scope: number): void {
    for (const variable of this.#vars.slice(scope)) variable.shape = UNKNOWN;
  }

  #pipe(pipe: PipeNode, dot: Shape): Shape {
    let shape: Shape | undefined;
    for (const command of pipe.commands) {
      if (shape !== undefined) this.#use(shape);
      shape = this.#command(command, dot);
    }
    const result = shape ?? UNKNOWN;
    for (const { path } of pipe.declared) {
      const name = path[0] ?? "";
      // What is assigned later may come round in a loop: such a variable is not followed.
      if (pipe.assign || this.#isReassigned(name)) this.#use(result);
      const known = pipe.assign || this.#isReassigned(name) ? UNKNOWN : result;
      this.#vars.push({ name, shape: known });
    }
    return result;
  }

  #isReassigned(name: string): boolean {
    this.#reassigned ??= reassignedNames(this.#text);
    return this.#reassigned.has(name);
  }

  #command(command: CommandNode, dot: Shape): Shape {
    const [first, ...rest] = command.args;
    const lazy = first?.kind === "identifier" && SHORT_CIRCUITS.has(first.name);
    for (const [at, arg] of rest.entries()) {
      const conditional = lazy && at > 0 ? 1 : 0;
      this.#conditions += conditional;
      this.#use(this.#argument(arg, dot));
      this.#conditions -= conditional;
    }
    return first === undefined ? UNKNOWN : this.#argument(first, dot);
  }

  #argument(node: ArgumentNode, dot: Shape): Shape {
    this.#operands++;
    switch (node.kind) {
      case "dot":
        return dot;
      case "field":
        return this.#chain(node, dot, node.path);
      case "variable": {
        const [name, ...path] = node.path;
        const shape = this.#vars.findLast((variable) => variable.name === name)?.shape;
        return this.#chain(node, shape ?? UNKNOWN, path);
      }
      case "pipe":
        return this.#pipe(node, dot);
      case "chain":
        return this.#chain(node, this.#argument(node.node, dot), node.path);
      default:
        return UNKNOWN;
    }
  }

  #chain(node: ArgumentNode, start: Shape, names: readonly string[]): Shape {
    let shape = start;
    for (const name of names) shape = this.#field(node, shape, name);
    return shape;
  }

  #field(node: ArgumentNode, shape: Shape, name: string): Shape {
    const { type } = shape;
    const struct = type === undefined ? undefined : pointedAt(type);
    if (type === undefined || struct === undefined || struct.kind === "opaque") {
      return this.#leave(shape);
    }
    const method = struct.methods.get(name);
    if (method !== undefined) return this.#method(node, shape, { struct, method });
    const field = struct.findField(name)?.at(-1);
    const path = shape.path === undefined ? undefined : [...shape.path, name];
    if (field?.exported === true) return { type: field.type, path, optional: shape.optional };
    if (struct.kind === "map" && struct.mapKey.key === "string") {
      return { type: struct.elem, path, optional: true };
    }
    const reason = field
      ? `${name} is an unexported field of struct type ${type.text}`
      : `can't evaluate field ${name} in type ${type.text}`;
    this.#problem(node, shape, reason);
    return this.#leave(shape);
  }

  /** A getter reads one field; any other method may read all of its receiver. */
  #method(node: ArgumentNode, shape: Shape, call: { struct: GoType; method: Method }): Shape {
    const { struct, method } = call;
    const failure = resultFailure(method);
    if (failure !== undefined) this.#problem(node, shape, failure);
    else if (methodOf(struct, method.name) === undefined) {
      this.#unsupported.push({ pos: node.pos, what: `method ${method.name} of ${struct.text}` });
    }
    const [result] = method.outs;
    if (result === undefined || failure !== undefined) return this.#leave(shape);
    const { optional } = shape;
    const getter = method.name.startsWith("Get") ? method.name.slice(3) : "";
    const field = struct.findField(getter)?.at(-1);
    if (field !== undefined && shape.path !== undefined) {
      return { type: field.type, path: [...shape.path, getter], optional };
    }
    this.#use(shape);
    return { type: goType(result), path: undefined, optional };
  }

  /** Gives up following a value: from here on all of it counts as used. */
  #leave(shape: Shape): Shape {
    this.#use(shape);
    return UNKNOWN;
  }

  #use(shape: Shape): void {
    this.#show(shape);
    // Whoever has all of the data can also ask for what Signet adds to it.
    if (shape.path?.length === 0) for (const { name } of EXTRA_FIELDS) this.#paths.add(name);
  }

  /** Printing shows what SPIRE's data has. */
  #show({ path }: Shape): void {
    if (path === undefined) return;
    if (path.length > 0) this.#paths.add(path.slice(0, 2).join("."));
    else for (const field of DATA_TYPE.fields) this.#paths.add(field.name);
  }

  /** A test for presence: of a whole pod or node it reads nothing that a cache could leave out. */
  #test(shape: Shape): void {
    if ((shape.path?.length ?? 0) > 1 || shape.type?.kind !== "pointer") this.#use(shape);
    else if (shape.path?.[0] !== undefined) this.#paths.add(`${shape.path[0]}.`);
  }

  #problem(node: ArgumentNode, shape: Shape, reason: string): void {
    this.#problems.add(node, reason, this.#conditions === 0 && !shape.optional);
  }
}

/** The variables that some `$x = ...` (not `:=`) sets, by a look at the text that sees all of them. */
function reassignedNames(text: string): ReadonlySet<string> {
  const name = "\\$[\\w\\x80-\\xff]*";
  const found = text.matchAll(new RegExp(`(${name})\\s*(?:,\\s*(${name})\\s*)?=`, "g"));
  return new Set([...found].flatMap(([, first = "", second = ""]) => [first, second]));
}

function pointedAt(type: GoType): GoType {
  return type.kind === "pointer" ? pointedAt(type.elem) : type;
}
