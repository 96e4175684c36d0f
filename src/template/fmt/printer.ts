import type { Complex } from "../ast.ts";
import type { Budget } from "../budget.ts";
import { unsupported } from "../budget.ts";
import { momentOf } from "../special.ts";
import { goStringOfMoment } from "../time-format.ts";
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

/** Printing a value takes as long as making this many bytes of text. */
const VALUE_COST = 96;
const STRINGABLE = new Set(["v", "s", "x", "X", "q"]);

/** Formats values as Go's fmt does (Go: fmt.pp). */
export class Printer {
  readonly budget: Budget;
  flags = noFlags();
  #out = "";
  #erroring = false;
  /** Inside an unexported field, where fmt calls no methods. */
  #hidden = false;
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
    this.budget.spend(VALUE_COST);
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
      if (!owner.methods.has("GoString")) return false;
      this.write(this.#goStringOf(value));
      return true;
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

  /** Only times have a GoString method; on a nil pointer it panics. */
  #goStringOf(value: Value): string {
    const isPointer = value.type.kind === "pointer";
    if (isPointer && value.raw === undefined) return "<nil>";
    const text = goStringOfMoment(momentOf((isPointer ? dereference(value) : value).raw));
    return formatString(text, "s", this.flags, this.budget) ?? "";
  }

  #value(value: Value, verb: string, depth: number): void {
    if (depth > this.budget.limits.depth) throw unsupported("printing a value this deep");
    this.budget.spend(VALUE_COST);
    if (depth > 0 && !this.#hidden && this.#handleMethods(value, verb)) return;
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
    let index = 0;
    for (const [key, entry] of mapEntries(value, this.budget)) {
      this.#separate(index++);
      this.#value(key, verb, depth + 1);
      this.write(":");
      this.#value(entry, verb, depth + 1);
    }
    this.write(this.flags.sharpV ? "}" : "]");
  }

  #slice(value: Value, verb: string, depth: number): void {
    const isBytes = value.type.elem.kind === "uint8";
    if (isBytes && "sqxX".includes(verb)) {
      return this.write(formatString(textOf(value), verb, this.flags, this.budget) ?? "");
    }
    if (!this.#open(value, "[", isBytes && depth === 0 ? "[]byte" : value.type.text)) return;
    const length = (value.raw as Slice | undefined)?.length ?? 0;
    for (let index = 0; index < length; index++) {
      this.#separate(index);
      this.#value(elementAt(value, index), verb, depth + 1);
    }
    this.write(this.flags.sharpV ? "}" : "]");
  }

  /** Writes how a map or slice begins; false when that was all, for a nil in Go syntax. */
  #open(value: Value, plain: string, name = value.type.text): boolean {
    if (!this.flags.sharpV) {
      this.write(plain);
      return true;
    }
    this.write(name + (value.raw === undefined ? "(nil)" : "{"));
    return value.raw !== undefined;
  }

  #struct(value: Value, verb: string, depth: number): void {
    if (this.flags.sharpV) this.write(value.type.text);
    this.write("{");
    const outer = this.#hidden;
    for (const [index, field] of value.type.fields.entries()) {
      this.#separate(index);
      if (this.flags.plusV || this.flags.sharpV) this.write(`${field.name}:`);
      this.#hidden = outer || !field.exported;
      this.#value(fieldOf(value, field), verb, depth + 1);
    }
    this.#hidden = outer;
    this.write("}");
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

  #pointer(value: Value, verb: string): void {
    const { kind } = value.type;
    const numeric = verb === "p" || "bodxX".includes(verb);
    if ((kind !== "pointer" && kind !== "map" && kind !== "slice") || (verb !== "v" && !numeric)) {
      return this.#badVerb(value, verb);
    }
    const address = this.#addressOf(value);
    const hex = { ...this.flags, sharp: !this.flags.sharp };
    if (verb === "v" && this.flags.sharpV) {
      const text = address === 0n ? "nil" : this.#unsigned(address, "x", hex);
      return this.write(`(${value.type.text})(${text})`);
    }
    if (verb === "v" && address === 0n) return this.write(pad("<nil>", this.flags, this.budget));
    const inHex = verb === "v" || verb === "p";
    this.write(this.#unsigned(address, inHex ? "x" : verb, inHex ? hex : this.flags));
  }

  /** 0 of nil. Throws what cannot be supported when addresses are refused. */
  #addressOf(value: Value): bigint {
    if (value.raw === undefined) return 0n;
    const { addresses } = this.budget;
    if (addresses.mode !== "refused") return addresses.of(value);
    throw unsupported(`printing the address of ${value.type.text}`);
  }

  #unsigned(value: bigint, verb: string, flags: Flags): string {
    return formatInteger(value, verb, flags, { budget: this.budget, signed: false }) ?? "";
  }
}

/** A []byte as a byte string. */
function textOf(bytes: Value): string {
  const slice = bytes.raw as Slice | undefined;
  if (slice === undefined) return "";
  const { array, offset, length } = slice;
  // Beyond the array there are zeros.
  const numbers = Array.from({ length }, (_, index) => Number(array[offset + index] ?? 0));
  return numbers.map((byte) => String.fromCharCode(byte)).join("");
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
