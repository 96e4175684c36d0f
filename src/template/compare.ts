import type { Complex } from "./ast.ts";
import { CallFailure } from "./exec-failure.ts";
import { isSame } from "./special.ts";
import type { GoType } from "./types.ts";
import type { Maybe, Pointer, Value } from "./value.ts";
import { fieldOf, hasOwnJson, isNil } from "./value.ts";

/** Prints a value for an error message. */
export type Print = (value: Maybe, verb: string) => string;

type BasicKind = "bool" | "complex" | "int" | "float" | "string" | "uint" | "invalid";

/** eq: whether the first equals any of the others (Go: text/template eq). Throws CallFailure. */
export function isEqual(first: Maybe, others: readonly Maybe[], print: Print): boolean {
  if (others.length === 0) throw new CallFailure("missing argument for comparison");
  for (const other of others) if (equalPair(first, other, print)) return true;
  return false;
}

/** lt (Go: text/template lt). Throws CallFailure. */
export function isLess(first: Maybe, second: Maybe): boolean {
  const a = orderedKind(first);
  const b = orderedKind(second);
  if (a !== b && !areIntegers(a, b)) throw incompatible(first, second);
  if (a === "bool" || a === "complex") throw new CallFailure("invalid type for comparison");
  return (first?.raw as string) < (second?.raw as string);
}

function equalPair(first: Maybe, other: Maybe, print: Print): boolean {
  const a = basicKind(first);
  const b = basicKind(other);
  if (a !== b) {
    if (areIntegers(a, b)) return first?.raw === other?.raw;
    if (first !== undefined && other !== undefined) throw incompatible(first, other);
    return false;
  }
  if (a === "complex") return sameComplex(first?.raw as Complex, other?.raw as Complex);
  if (a !== "invalid") return first?.raw === other?.raw;
  return equalOther(first, other, print);
}

/** Values that are not basic: nil equals nil, the rest as Go compares interfaces. */
function equalOther(first: Maybe, other: Maybe, print: Print): boolean {
  if (first !== undefined && other !== undefined && first.type.kind !== other.type.kind) {
    throw new CallFailure(
      `non-comparable types ${print(first, "s")}: ${first.type.text}, ` +
        `${other.type.text}: ${print(other, "v")}`,
    );
  }
  if (isNil(first) || isNil(other)) return isNil(first) === isNil(other);
  if (first === undefined || other === undefined) return false;
  if (!isComparable(other.type)) {
    throw new CallFailure(`non-comparable type ${print(other, "s")}: ${other.type.text}`);
  }
  return first.type === other.type && identical(first, other);
}

/** Go's == on two values of one comparable type. */
function identical(first: Value, other: Value): boolean {
  if (first.type.kind === "pointer") {
    const a = first.raw as Pointer | undefined;
    const b = other.raw as Pointer | undefined;
    return a === b || (a !== undefined && a.owner === b?.owner && a.slot === b.slot);
  }
  if (first.type.kind !== "struct") return first.raw === other.raw;
  if (hasOwnJson(first.type)) return isSame(first.type.key, first.raw, other.raw);
  return first.type.fields.every((field) =>
    identical(fieldOf(first, field), fieldOf(other, field)),
  );
}

function isComparable(type: GoType): boolean {
  if (type.kind === "map" || type.kind === "slice") return false;
  return type.kind !== "struct" || type.fields.every((field) => isComparable(field.type));
}

function basicKind(value: Maybe): BasicKind {
  const kind = value?.type.kind ?? "opaque";
  if (kind === "bool" || kind === "string") return kind;
  if (kind === "float64") return "float";
  if (kind === "complex128") return "complex";
  if (kind.startsWith("uint")) return "uint";
  return kind.startsWith("int") ? "int" : "invalid";
}

function orderedKind(value: Maybe): BasicKind {
  const kind = basicKind(value);
  if (kind === "invalid") throw new CallFailure("invalid type for comparison");
  return kind;
}

function areIntegers(a: BasicKind, b: BasicKind): boolean {
  return (a === "int" || a === "uint") && (b === "int" || b === "uint");
}

function sameComplex(a: Complex, b: Complex): boolean {
  return a.re === b.re && a.im === b.im;
}

function incompatible(first: Maybe, second: Maybe): CallFailure {
  const types = `${first?.type.text} and ${second?.type.text}`;
  return new CallFailure(`incompatible types for comparison: ${types}`);
}
