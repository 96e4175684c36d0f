import type { ArgumentNode } from "./ast.ts";
import { formatNode } from "./ast.ts";
import type { Parameter, Runner } from "./runner.ts";
import type { GoType } from "./types.ts";
import type { Maybe } from "./value.ts";
import { Value, addressOf, dereference } from "./value.ts";

/** Makes sure that a value can be passed for a parameter, following one pointer, or making one, if need be. */
export function validate(run: Runner, value: Maybe, parameter: Parameter | undefined): Maybe {
  if (parameter === "value" || parameter === undefined) return value;
  if (parameter === "any") {
    return value?.addressable === true ? new Value(value.type, value.raw) : value;
  }
  if (value === undefined) {
    if (isNillable(parameter)) return new Value(parameter, undefined);
    return run.fail(`invalid value; expected ${parameter.text}`);
  }
  const { type } = value;
  if (type === parameter) return value;
  if (type.kind === "pointer" && type.elem === parameter) {
    if (value.raw === undefined) {
      run.fail(`dereference of nil pointer of type ${parameter.text}`);
    }
    return dereference(value);
  }
  if (value.addressable && type.pointerTo() === parameter) return addressOf(value);
  return run.fail(`wrong type for value; expected ${parameter.text}; got ${type.text}`);
}

/** `nil` as an argument. */
export function nilFor(run: Runner, parameter: Parameter | undefined): Maybe {
  if (typeof parameter !== "object") return undefined;
  if (isNillable(parameter)) return new Value(parameter, undefined);
  return run.fail(`cannot assign nil to ${parameter.text}`);
}

/** A literal as an argument of a typed parameter. */
export function literalFor(run: Runner, parameter: GoType | undefined, node: ArgumentNode): Maybe {
  const kind = parameter?.kind ?? "opaque";
  const found = `found ${formatNode(node)}`;
  if (parameter === undefined) return run.fail(`can't handle ${formatNode(node)}`);
  if (kind === "string") {
    return node.kind === "string"
      ? new Value(parameter, node.value)
      : run.fail(`expected string; ${found}`);
  }
  if (kind === "bool") {
    return node.kind === "bool"
      ? new Value(parameter, node.value)
      : run.fail(`expected bool; ${found}`);
  }
  if (kind.startsWith("int")) {
    return node.kind === "number" && node.int !== undefined
      ? new Value(parameter, kind === "int32" ? BigInt.asIntN(32, node.int) : node.int)
      : run.fail(`expected integer; ${found}`);
  }
  return run.fail(`can't handle ${formatNode(node)} for arg of type ${parameter.text}`);
}

function isNillable(type: GoType): boolean {
  return type.kind === "pointer" || type.kind === "map" || type.kind === "slice";
}
