import { GO_TYPES, METHOD_SETS } from "./go-types.ts";

/** Go's reflect.Kind, as far as template data has it; "opaque" is what no template value can be. */
export type Kind =
  | "string"
  | "bool"
  | "int"
  | "int32"
  | "int64"
  | "uint"
  | "uint8"
  | "uint32"
  | "uint64"
  | "float64"
  | "complex128"
  | "pointer"
  | "slice"
  | "map"
  | "struct"
  | "opaque";

export interface Field {
  readonly name: string;
  /** The JSON name; "-" when the field has none. */
  readonly json: string;
  /** The protobuf number, 0 without one. */
  readonly number: number;
  readonly embedded: boolean;
  readonly exported: boolean;
  readonly type: GoType;
}

export interface Method {
  readonly name: string;
  /** Whether only a pointer (or an addressable value) has it. */
  readonly onPointer: boolean;
  /** Type expressions; the last in begins with "..." when variadic. */
  readonly ins: readonly string[];
  readonly outs: readonly string[];
}

const BASIC = new Set<string>([
  "string",
  "bool",
  "int",
  "int32",
  "int64",
  "uint",
  "uint8",
  "uint32",
  "uint64",
  "float64",
  "complex128",
]);
const PACKAGES: Readonly<Record<string, string>> = { core: "v1", meta: "v1" };
const NO_METHODS: ReadonlyMap<string, Method> = new Map();

interface Row {
  readonly isStruct: boolean;
  readonly size: number;
  readonly methodSet: number;
  readonly definition: string;
}

const ROWS: ReadonlyMap<string, Row> = new Map(GO_TYPES.map(parseRow));

/** One Go type; parts are resolved when they are first asked for. */
export class GoType {
  /** The name in the table, which is unique: `core.PodSpec`. */
  readonly key: string;
  readonly kind: Kind;
  /** The name Go prints: `v1.PodSpec`. */
  readonly text: string;
  /** Bytes that a value takes in Go. */
  readonly size: number;
  readonly #definition: string;
  readonly #methodSet: number;
  #elem: GoType | undefined;
  #pointer: GoType | undefined;
  #fields: readonly Field[] | undefined;
  #promoted: ReadonlyMap<string, readonly Field[]> | undefined;
  #methods: ReadonlyMap<string, Method> | undefined;

  constructor(key: string) {
    const row = ROWS.get(key);
    this.key = key;
    this.#definition = row?.definition ?? key;
    this.#methodSet = row?.methodSet ?? 0;
    this.kind = row?.isStruct === true ? "struct" : kindOf(this.#definition);
    this.size = row?.size ?? sizeOf(this.kind);
    this.text = printedName(key);
  }

  /** What a pointer points at, a slice or a map holds. */
  get elem(): GoType {
    return (this.#elem ??= goType(elementOf(this.#definition)));
  }

  /** The type of a map's keys. */
  get mapKey(): GoType {
    return goType(this.#definition.slice(4, this.#definition.indexOf("]")));
  }

  /** Direct fields in Go order. */
  get fields(): readonly Field[] {
    return (this.#fields ??= this.kind === "struct" ? parseFields(this.#definition) : []);
  }

  /** The way to a field, through embedded structs (reflect.FieldByName). */
  findField(name: string): readonly Field[] | undefined {
    return (this.#promoted ??= promote(this)).get(name);
  }

  /** Every method of a pointer to this type. */
  get methods(): ReadonlyMap<string, Method> {
    return (this.#methods ??= parseMethods(METHOD_SETS[this.#methodSet] ?? "", this.key));
  }

  pointerTo(): GoType {
    return (this.#pointer ??= goType(`*${this.key}`));
  }
}

const known = new Map<string, GoType>();

/** The type an expression of the table stands for, always the same object: `*core.PodSpec`, `[]string`. */
export function goType(expression: string): GoType {
  let type = known.get(expression);
  if (type === undefined) {
    type = new GoType(expression);
    known.set(expression, type);
  }
  return type;
}

/** The data object of a ClusterSPIFFEID template. */
export const DATA_TYPE = goType("spireentry.templateData");
/** What Signet adds: a template can name these on the data object, and nothing else shows them. */
export const EXTRA_FIELDS = goType("spireentry.extras").fields;

function parseRow(text: string): [string, Row] {
  const [key = "", kind, size, methodSet, ...definition] = text.split(" ");
  return [
    key,
    {
      isStruct: kind === "struct",
      size: Number(size),
      methodSet: Number(methodSet),
      definition: definition.join(" "),
    },
  ];
}

function kindOf(definition: string): Kind {
  if (definition.startsWith("*")) return "pointer";
  if (definition.startsWith("[]")) return "slice";
  if (definition.startsWith("map[")) return "map";
  return BASIC.has(definition) ? (definition as Kind) : "opaque";
}

function elementOf(definition: string): string {
  if (definition.startsWith("*")) return definition.slice(1);
  return definition.slice(definition.indexOf("]") + 1);
}

function sizeOf(kind: Kind): number {
  const sizes: Partial<Record<Kind, number>> = {
    string: 16,
    bool: 1,
    int32: 4,
    uint32: 4,
    slice: 24,
  };
  return kind === "uint8" ? 1 : (sizes[kind] ?? 8);
}

function printedName(key: string): string {
  return key.replace(/\b(\w+)\./g, (_, alias: string) => `${PACKAGES[alias] ?? alias}.`);
}

function parseFields(definition: string): readonly Field[] {
  return definition.split("; ").map((text) => {
    const [marked = "", json = "-", number = "0", type = ""] = text.split(" ");
    const embedded = marked.startsWith("^");
    const name = embedded ? marked.slice(1) : marked;
    let resolved: GoType | undefined;
    return {
      name,
      json,
      number: Number(number),
      embedded,
      exported: /^[A-Z]/.test(name),
      get type(): GoType {
        return (resolved ??= goType(type));
      },
    };
  });
}

/** Go's promotion: the shallowest field of a name wins, two at one depth cancel each other. */
function promote(type: GoType): ReadonlyMap<string, readonly Field[]> {
  const found = new Map<string, readonly Field[]>();
  const direct = type === DATA_TYPE ? [...type.fields, ...EXTRA_FIELDS] : type.fields;
  let level: (readonly Field[])[] = direct.map((field) => [field]);
  while (level.length > 0) {
    const names = new Map<string, (readonly Field[])[]>();
    for (const path of level) {
      const name = path.at(-1)?.name ?? "";
      names.set(name, [...(names.get(name) ?? []), path]);
    }
    for (const [name, paths] of names) {
      const path = paths.length === 1 ? paths[0] : undefined;
      if (path !== undefined && !found.has(name)) found.set(name, path);
    }
    level = level.flatMap((path) => {
      const last = path.at(-1);
      return last?.embedded === true ? last.type.fields.map((field) => [...path, field]) : [];
    });
  }
  return found;
}

function parseMethods(set: string, self: string): ReadonlyMap<string, Method> {
  if (set === "") return NO_METHODS;
  const methods = set.split("; ").map((text): [string, Method] => {
    const [, mark = "", name = "", ins = "", outs = ""] =
      /^(\*?)(\w+)\((.*?)\)([^)]*)$/.exec(text) ?? [];
    const method: Method = {
      name,
      onPointer: mark === "*",
      ins: parseList(ins, self),
      outs: parseList(outs, self),
    };
    return [name, method];
  });
  return new Map(methods);
}

function parseList(list: string, self: string): string[] {
  return list === "" ? [] : list.split(",").map((part) => part.replace("@", self));
}
