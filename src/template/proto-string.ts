import type { Budget } from "./budget.ts";
import { Printer } from "./fmt/printer.ts";
import type { Stringer } from "./fmt/printer.ts";
import type { GoType } from "./types.ts";
import type { Slice } from "./value.ts";
import {
  Value,
  addressOf,
  dereference,
  elementAt,
  fieldOf,
  hasOwnJson,
  mapEntries,
} from "./value.ts";

/** What one print of a struct shares. */
interface Context {
  readonly budget: Budget;
  readonly stringer: Stringer;
  readonly owner: GoType;
}

/**
 * The text that the generated String method of a Kubernetes API struct gives:
 * `&OwnerReference{Kind:ReplicaSet,...,}`, fields in the order of their protobuf numbers.
 */
export function protoString(struct: Value, budget: Budget, stringer: Stringer): string {
  const context: Context = { budget, stringer, owner: struct.type };
  const fields = struct.type.fields.toSorted((a, b) => a.number - b.number);
  const body = fields.map((field) => {
    return `${field.name}:${fieldText(fieldOf(struct, field), context)},`;
  });
  const text = `&${shortName(struct.type)}{${body.join("")}}`;
  budget.spend(text.length);
  return text;
}

function fieldText(value: Value, context: Context): string {
  const { type } = value;
  if (type.kind === "slice") return sliceText(value, context);
  if (type.kind === "map") return mapText(value, context);
  if (type.kind === "struct") return structText(value, context).replace("&", "");
  if (type.kind !== "pointer") return plain(value, context);
  if (type.elem.kind === "struct") return structText(value, context);
  return value.raw === undefined ? "nil" : `*${plain(dereference(value), context)}`;
}

/** A message: by its own method when it is of the same package, else as %v prints it. */
function structText(value: Value, context: Context): string {
  const type = value.type.kind === "pointer" ? value.type.elem : value.type;
  if (packageOf(type) === packageOf(context.owner) && !hasOwnJson(type)) {
    const receiver = value.type.kind === "pointer" ? value : addressOf(value);
    return context.stringer(receiver, context.budget);
  }
  const printed = plain(value, context);
  const foreign = packageOf(type) !== packageOf(context.owner);
  return foreign ? printed.replace(shortName(type), () => type.text) : printed;
}

function sliceText(value: Value, context: Context): string {
  const { elem } = value.type;
  if (elem.kind !== "struct") return plain(value, context);
  const own = packageOf(elem) === packageOf(context.owner);
  const length = (value.raw as Slice | undefined)?.length ?? 0;
  let text = `[]${own ? shortName(elem) : elem.text}{`;
  for (let index = 0; index < length; index++) {
    const element = elementAt(value, index);
    text += `${own ? structText(element, context).replace("&", "") : plain(element, context)},`;
  }
  return `${text}}`;
}

function mapText(value: Value, context: Context): string {
  const named = value.type.key.includes("[") ? value.type.text : shortName(value.type);
  const entries = mapEntries(value, context.budget).map(([key, entry]) => {
    return `${key.raw as string}: ${plain(entry, context)},`;
  });
  return `${named}{${[...entries].join("")}}`;
}

/** `%v` of a field passed by value, which hides the methods of its pointer. */
function plain(value: Value, context: Context): string {
  const printer = new Printer(context.budget, context.stringer);
  printer.printArgument(new Value(value.type, value.raw), "v");
  return printer.text;
}

function shortName(type: GoType): string {
  return type.key.slice(type.key.indexOf(".") + 1);
}

function packageOf(type: GoType): string {
  return type.key.slice(0, type.key.indexOf("."));
}
