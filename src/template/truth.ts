import type { Complex } from "./ast.ts";
import type { Budget } from "./budget.ts";
import type { Maybe } from "./value.ts";
import { isInteger, isNil, lengthOf } from "./value.ts";

/** Whether `if` takes a value: not the zero of its type; pointers when not nil, structs always. */
export function isTrue(value: Maybe, budget: Budget): boolean {
  if (value === undefined) return false;
  const { type, raw } = value;
  const length = lengthOf(value, budget);
  if (length !== undefined) return length > 0;
  if (type.kind === "bool") return raw === true;
  if (type.kind === "pointer") return !isNil(value);
  if (type.kind === "float64") return raw !== 0;
  if (type.kind === "complex128") return (raw as Complex).re !== 0 || (raw as Complex).im !== 0;
  return isInteger(type) ? raw !== 0n : true;
}
