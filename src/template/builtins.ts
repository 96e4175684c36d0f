import type { Budget } from "./budget.ts";
import { isEqual, isLess } from "./compare.ts";
import { indexInto, lengthOrFail, sliceOf } from "./container.ts";
import { escapeHtml, escapeJs, escapeQuery } from "./escape.ts";
import { CallFailure } from "./exec-failure.ts";
import { Printer, isStringer, sprint, sprintln } from "./fmt/printer.ts";
import { sprintf } from "./fmt/printf.ts";
import { stringOf } from "./methods.ts";
import type { Parameter } from "./runner.ts";
import { scanText } from "./text-cost.ts";
import { isTrue } from "./truth.ts";
import type { Maybe } from "./value.ts";
import { STRING, addressOf, boolValue, indirect, intValue, stringValue } from "./value.ts";

/** Escaping a byte takes as long as making this many. */
const ESCAPE_COST = 8;

export interface Builtin {
  readonly fixed: readonly Parameter[];
  /** The type of all further arguments; undefined when there may be none. */
  readonly variadic: Parameter | undefined;
  /** Throws CallFailure. */
  readonly call: (args: readonly Maybe[], budget: Budget) => Maybe;
}

/** The functions of text/template by name; "and" and "or" never get here with a call to make. */
export const BUILTINS: ReadonlyMap<string, Builtin> = new Map<string, Builtin>([
  ["and", shortCircuit()],
  ["or", shortCircuit()],
  ["call", { fixed: ["value"], variadic: "value", call: () => undefined }],
  [
    "not",
    { fixed: ["value"], variadic: undefined, call: ([a], budget) => boolValue(!isTrue(a, budget)) },
  ],
  [
    "len",
    {
      fixed: ["value"],
      variadic: undefined,
      call: ([a], budget) => intValue(lengthOrFail(a, budget)),
    },
  ],
  ["index", variadic(indexed)],
  ["slice", variadic(([item, ...indexes], budget) => sliceOf(item, indexes, budget))],
  ["eq", variadic(([a, ...rest], budget) => boolValue(equal(a, rest, budget)))],
  ["ne", binary((a, b, budget) => !equal(a, [b], budget))],
  ["lt", binary(isLess)],
  ["le", binary((a, b, budget) => isLess(a, b) || equal(a, [b], budget))],
  ["gt", binary((a, b, budget) => !(isLess(a, b) || equal(a, [b], budget)))],
  ["ge", binary((a, b) => !isLess(a, b))],
  ["print", text((args, budget) => sprint(args, printer(budget)))],
  ["println", text((args, budget) => sprintln(args, printer(budget)))],
  ["printf", { ...text(formatAll), fixed: [STRING] }],
  ["html", text((args, budget) => escapeHtml(escapable(args, budget)))],
  ["js", text((args, budget) => escapeJs(escapable(args, budget)))],
  ["urlquery", text((args, budget) => escapeQuery(escapable(args, budget)))],
]);

/** What an action writes for a value (Go: printValue). */
export function printDirectly(value: Maybe, budget: Budget): string {
  if (value?.type.key === "string") return value.raw as string;
  const out = printer(budget);
  out.printArgument(printable(value), "v");
  return out.text;
}

/** A value as `%v` or `%s` shows it, in error messages. */
export function describe(value: Maybe, verb: string, budget: Budget): string {
  const out = printer(budget);
  out.printArgument(value, verb);
  return out.text;
}

function printer(budget: Budget): Printer {
  return new Printer(budget, stringOf);
}

/** Pointers are followed, no value is "<no value>", and String methods of addressable values count. */
function printable(value: Maybe): Maybe {
  if (value === undefined) return stringValue("<no value>");
  const target = indirect(value);
  if (isStringer(target) || !target.addressable) return target;
  return target.type.methods.has("String") ? addressOf(target) : target;
}

/** What html and its like escape; that is more work than to print it. */
function escapable(args: readonly Maybe[], budget: Budget): string {
  const bytes = sprint(args.map(printable), printer(budget));
  budget.spend(bytes.length * ESCAPE_COST);
  return bytes;
}

function formatAll(args: readonly Maybe[], budget: Budget): string {
  const [first, ...values] = args;
  const format = first?.raw as string;
  budget.spend(format.length);
  return sprintf(format, values, printer(budget));
}

function indexed([item, ...indexes]: readonly Maybe[], budget: Budget): Maybe {
  const element = indexInto(item, indexes, budget);
  scanText(element, budget);
  return element;
}

function equal(first: Maybe, others: readonly Maybe[], budget: Budget): boolean {
  return isEqual(first, others, (value, verb) => describe(value, verb, budget));
}

function shortCircuit(): Builtin {
  return { fixed: ["value"], variadic: "value", call: () => undefined };
}

function variadic(call: Builtin["call"]): Builtin {
  return { fixed: ["value"], variadic: "value", call };
}

function binary(test: (a: Maybe, b: Maybe, budget: Budget) => boolean): Builtin {
  const call: Builtin["call"] = ([a, b], budget) => boolValue(test(a, b, budget));
  return { fixed: ["value", "value"], variadic: undefined, call };
}

function text(make: (args: readonly Maybe[], budget: Budget) => string): Builtin {
  const call: Builtin["call"] = (args, budget) => {
    const made = make(args, budget);
    budget.spend(made.length);
    return stringValue(made);
  };
  return { fixed: [], variadic: "any", call };
}

/** The builtin `call`: no value of a template's data is a function. Throws CallFailure. */
export function callFunctionValue(callee: Maybe, name: string): never {
  if (callee === undefined) throw new CallFailure("call of nil");
  throw new CallFailure(`non-function ${name} of type ${callee.type.text}`);
}
