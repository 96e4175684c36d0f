import type { Complex } from "../ast.ts";
import type { Budget } from "../budget.ts";
import { unsupported } from "../budget.ts";
import { quantityOf } from "../special.ts";
import type { Maybe, Slice } from "../value.ts";
import { Value, dereference, elementAt, fieldOf, isInteger, mapEntries } from "../value.ts";
import { formatBool, formatFloatVerb, formatInteger, formatString } from "./basic.ts";
import type { Flags } from "./flags.ts";
import { noFlags, pad } from "./flags.ts";

/** Gives what a type's String method does; called only for types that have one. */
export type Stringer = (value: Value, budget: Budget) => string;

/** Whether fmt would call a String method on a value passed as it is. */
export function isStringer(value: Value): boolean {
  const { type } = value;
  if (type.kind === "pointer") return type.elem.methods.has("String");
  return type.methods.get("String")?.onPointer === false;
}

const STRINGABLE = new Set(["v", "s", "x", "X", "q"]);

/** Formats values as Go's fmt does (Go: fmt.pp). */
export class Printer {
  readonly budget: Budget;
  flags: Flags = noFlags();
  #out = "";
  #erroring = false;
  readonly #stringer: Stringer;

  constructor(budget: Budget, stringer: Stringer) {
    this.budget = budget;
    this.#stringer = stringer;
  }

  get text(): string {
    return this.#out;
  }

  write(bytes: string): void {
    this.budget.spend(bytes.length);
    this.#out += bytes;
  }

  /** Prints one operand; `verb` is a rune as a byte string. */
  printArgument(value: Maybe, verb: string): void {
    if (value === undefined) {
      if (verb === "T" || verb === "v") this.write(pad("<nil>", this.flags, this.budget));
      else this.#badVerb(undefined, verb);
      return;
    }
    if (verb === "T") {
      const text = formatString(value.type.text, "s", this.flags, this.budget);
      return this.write(text ?? "");
    }
    if (verb === "p") return this.#pointer(value, verb);
    if (!this.#handleMethods(value, verb)) this.#value(value, verb, 0);
  }

  /** `%!verb(type=value)`, with the value printed without its methods. */
  #badVerb(value: Maybe, verb: string): void {
    this.#erroring = true;
    this.write(`%!${verb}(`);
    if (value === undefined) this.write("<nil>");
    else {
      this.write(`${value.type.text}=`);
      if (!this.#handleMethods(value, "v")) this.#value(value, "v", 0);
    }
    this.write(")");
    this.#erroring = false;
  }

  #handleMethods(value: Value, verb: string): boolean {
    if (this.#erroring) return false;
    if (verb === "w") {
      this.#badVerb(value, verb);
      return true;
    }
    if (this.flags.sharpV) {
      const owner = value.type.kind === "pointer" ? value.type.elem : value.type;
      if (owner.methods.has("GoString")) throw unsupported(`%#v of ${value.type.text}`);
      return false;
    }
    if (!STRINGABLE.has(verb) || !isStringer(value)) return false;
    this.write(this.#stringOf(value, verb));
    return true;
  }

  #stringOf(value: Value, verb: string): string {
    const byValue =
      value.type.kind === "pointer" && isStringer(new Value(value.type.elem, undefined));
    // A nil pointer to a type whose method needs the value panics in Go, and fmt prints this.
    if (value.raw === undefined && byValue) return "<nil>";
    const text = this.#stringer(value, this.budget);
    return formatString(text, verb, this.flags, this.budget) ?? "";
  }

  #value(value: Value, verb: string, depth: number): void {
    if (depth > this.budget.limits.depth) throw unsupported("printing a value this deep");
    if (depth > 0 && this.#handleMethods(value, verb)) return;
    switch (value.type.kind) {
      case "map":
        return this.#map(value, verb, depth);
      case "struct":
        return this.#struct(value, verb, depth);
      case "slice":
        return this.#slice(value, verb, depth);
      case "pointer":
        return this.#pointed(value, verb, depth);
      case "complex128":
        return this.#complex(value, verb);
      default:
        return this.#basic(value, verb);
    }
  }

  #basic(value: Value, verb: string): void {
    const text = this.#formatBasic(value, verb);
    if (text === undefined) this.#badVerb(value, verb);
    else this.write(text);
  }

  #formatBasic(value: Value, verb: string): string | undefined {
    const { type, raw } = value;
    if (type.kind === "string") return formatString(raw as string, verb, this.flags, this.budget);
    if (type.kind === "bool") return formatBool(raw as boolean, verb, this.flags, this.budget);
    if (type.kind === "float64") {
      return formatFloatVerb(raw as number, verb, this.flags, this.budget);
    }
    if (!isInteger(type)) throw unsupported(`printing ${type.text}`);
    const signed = type.kind.startsWith("int");
    return formatInteger(raw as bigint, verb, this.flags, { budget: this.budget, signed });
  }

  #complex(value: Value, verb: string): void {
    const { re, im } = value.raw as Complex;
    const real = formatFloatVerb(re, verb, this.flags, this.budget);
    const signed = { ...this.flags, plus: true };
    const imaginary = formatFloatVerb(im, verb, signed, this.budget);
    if (real === undefined || imaginary === undefined) this.#badVerb(value, verb);
    else this.write(`(${real}${imaginary}i)`);
  }

  #map(value: Value, verb: string, depth: number): void {
    if (!this.#open(value, "map[")) return;
    for (const [index, [key, entry]] of mapEntries(value).entries()) {
      this.#separate(index);
      this.#value(key, verb, depth + 1);
      this.write(":");
      this.#value(entry, verb, depth + 1);
    }
    this.write(this.flags.sharpV ? "}" : "]");
  }

  #slice(value: Value, verb: string, depth: number): void {
    if (value.type.elem.kind === "uint8") throw unsupported("printing bytes");
    if (!this.#open(value, "[")) return;
    const length = (value.raw as Slice | undefined)?.length ?? 0;
    for (let index = 0; index < length; index++) {
      this.#separate(index);
      this.#value(elementAt(value, index), verb, depth + 1);
    }
    this.write(this.flags.sharpV ? "}" : "]");
  }

  /** Writes how a map or slice begins; false when that was all, for a nil in Go syntax. */
  #open(value: Value, plain: string): boolean {
    if (!this.flags.sharpV) {
      this.write(plain);
      return true;
    }
    this.write(value.type.text + (value.raw === undefined ? "(nil)" : "{"));
    return value.raw !== undefined;
  }

  #struct(value: Value, verb: string, depth: number): void {
    if (value.type.key === "resource.Quantity") return this.#quantity(value, verb);
    if (this.flags.sharpV) this.write(value.type.text);
    this.write("{");
    for (const [index, field] of value.type.fields.entries()) {
      this.#separate(index);
      if (this.flags.plusV || this.flags.sharpV) this.write(`${field.name}:`);
      if (!field.exported) throw unsupported(`printing the inside of ${value.type.text}`);
      this.#value(fieldOf(value, field), verb, depth + 1);
    }
    this.write("}");
  }

  /** A quantity without its String method shows its hidden fields. */
  #quantity(value: Value, verb: string): void {
    const { amount, cached, format } = quantityOf(value.raw);
    const bare = formatKey({ ...this.flags, plusV: false }) === formatKey(noFlags());
    if (verb !== "v" || !bare || amount === undefined)
      throw unsupported("printing the inside of a quantity");
    const name = this.flags.plusV ? (field: string) => `${field}:` : () => "";
    const number = `{${name("value")}${amount.value} ${name("scale")}${amount.scale}}`;
    const rest = `${name("d")}{${name("Dec")}<nil>} ${name("s")}${cached} ${name("Format")}${format}`;
    this.write(`{${name("i")}${number} ${rest}}`);
  }

  #separate(index: number): void {
    if (index > 0) this.write(this.flags.sharpV ? ", " : " ");
  }

  #pointed(value: Value, verb: string, depth: number): void {
    const { kind } = value.type.elem;
    if (
      depth === 0 &&
      value.raw !== undefined &&
      (kind === "struct" || kind === "map" || kind === "slice")
    ) {
      this.write("&");
      return this.#value(dereference(value), verb, depth + 1);
    }
    this.#pointer(value, verb);
  }

  /** Only nil has an address worth printing: any other differs from run to run. */
  #pointer(value: Value, verb: string): void {
    const { kind } = value.type;
    const numeric = verb === "p" || "bodxX".includes(verb);
    if ((kind !== "pointer" && kind !== "map" && kind !== "slice") || (verb !== "v" && !numeric)) {
      return this.#badVerb(value, verb);
    }
    if (value.raw !== undefined) throw unsupported(`printing the address of ${value.type.text}`);
    if (verb === "v") {
      if (this.flags.sharpV) return this.write(`(${value.type.text})(nil)`);
      return this.write(pad("<nil>", this.flags, this.budget));
    }
    const flags = verb === "p" ? { ...this.flags, sharp: !this.flags.sharp } : this.flags;
    const options = { budget: this.budget, signed: false };
    this.write(formatInteger(0n, verb === "p" ? "x" : verb, flags, options) ?? "");
  }
}

function formatKey(flags: Flags): string {
  return JSON.stringify(Object.entries(flags));
}

/** fmt.Sprint: spaces only between operands of which neither is a string. */
export function sprint(values: readonly Maybe[], printer: Printer): string {
  let previousString = true;
  for (const value of values) {
    const string = value?.type.kind === "string";
    if (!string && !previousString) printer.write(" ");
    printer.printArgument(value, "v");
    previousString = string;
  }
  return printer.text;
}

/** fmt.Sprintln: always spaces, and a newline. */
export function sprintln(values: readonly Maybe[], printer: Printer): string {
  for (const [index, value] of values.entries()) {
    if (index > 0) printer.write(" ");
    printer.printArgument(value, "v");
  }
  printer.write("\n");
  return printer.text;
}
