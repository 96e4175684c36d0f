import { code, table } from "./markdown.ts";

/** The part of an OpenAPI schema that a reader needs. */
export interface FieldSchema {
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly format?: string;
  readonly maxItems?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, FieldSchema>>;
  readonly items?: FieldSchema;
  readonly additionalProperties?: FieldSchema;
}

/** What holds where a field is left out, other than what its type says by itself. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  namespaceSelector: "every namespace",
  podSelector: "every pod",
  ttl: "the chart's `x509SvidTtl`",
  x509SVIDTTL: "the chart's `x509SvidTtl`",
  jwtTtl: "the operator's default",
  jwtSVIDTTL: "the operator's default",
};

/** The table of a spec's fields. */
export function specTable(schema: FieldSchema): string {
  const rows = rowsOf(schema, "").map(({ path, field, required }) => [
    code(path),
    typeOf(field),
    required ? "**required**" : leftOut(path, field),
    meaning(field),
  ]);
  return table(["field", "type", "left out", "meaning"], rows);
}

/** The table of a status's fields. */
export function statusTable(schema: FieldSchema): string {
  const rows = rowsOf(schema, "").map(({ path, field }) => [
    code(path),
    typeOf(field),
    meaning(field),
  ]);
  return table(["field", "type", "meaning"], rows);
}

interface Row {
  readonly path: string;
  readonly field: FieldSchema;
  readonly required: boolean;
}

/** Every field with those below it, as `outer.inner` and `list[].inner`. */
function rowsOf({ properties = {}, required = [] }: FieldSchema, prefix: string): Row[] {
  return Object.entries(properties).flatMap(([name, field]) => {
    const path = `${prefix}${name}`;
    const row = { path, field, required: required.includes(name) };
    if (isLabelSelector(field)) return [row];
    const below = field.items ? rowsOf(field.items, `${path}[].`) : rowsOf(field, `${path}.`);
    return [row, ...below];
  });
}

/** Kubernetes' own type, which everyone knows. */
function isLabelSelector({ properties }: FieldSchema): boolean {
  return properties?.["matchLabels"] !== undefined;
}

function typeOf(field: FieldSchema): string {
  if (isLabelSelector(field)) return "label selector";
  if (field.type === "array") return `list of ${field.items?.type ?? "object"}s`;
  if (field.format === "date-time") return "time";
  return field.type ?? "object";
}

function leftOut(path: string, { type }: FieldSchema): string {
  const known = LEFT_OUT[path];
  if (known !== undefined) return known;
  if (type === "boolean") return "`false`";
  return type === "array" ? "none" : "empty";
}

function meaning({ description = "", enum: values, pattern, maxItems }: FieldSchema): string {
  const rules = [
    ...(values ? [`One of ${values.map(code).join(", ")}.`] : []),
    ...(pattern === undefined ? [] : [`Pattern ${code(pattern)}.`]),
    ...(maxItems === undefined ? [] : [`At most ${maxItems}.`]),
  ];
  return [description, ...rules].join(" ");
}
