import { CallFailure } from "./exec-failure.ts";
import type { Budget } from "./budget.ts";
import type { GoType } from "./types.ts";
import type { Maybe, Slice } from "./value.ts";
import { Value, elementAt, indirect, isInteger, lengthOf, load, mapEntry } from "./value.ts";
import { goType } from "./types.ts";

/** The builtins index, slice and len (Go: text/template funcs.go). Each throws CallFailure. */

export function indexInto(item: Maybe, indexes: readonly Maybe[], budget: Budget): Maybe {
  if (item === undefined) throw new CallFailure("index of untyped nil");
  let at = item;
  for (const index of indexes) {
    at = indirect(at);
    if (at.type.kind === "pointer") throw new CallFailure("index of nil pointer");
    at = indexOnce(at, index, budget);
  }
  return at;
}

function indexOnce(item: Value, index: Maybe, budget: Budget): Value {
  switch (item.type.kind) {
    case "string": {
      const text = item.raw as string;
      const at = indexNumber(index, text.length);
      if (at === text.length) throw new CallFailure("reflect: string index out of range");
      return new Value(goType("uint8"), BigInt(text.charCodeAt(at)));
    }
    case "slice": {
      const length = lengthOf(item, budget) ?? 0;
      const at = indexNumber(index, length);
      if (at === length) throw new CallFailure("reflect: slice index out of range");
      return elementAt(item, at);
    }
    case "map": {
      const key = keyFor(index, item.type.mapKey);
      return mapEntry(item, key) ?? load(item.type.elem, undefined, { owner: item, key });
    }
    default:
      throw new CallFailure(`can't index item of type ${item.type.text}`);
  }
}

/** A map key out of an operand, which must have exactly the key's type. */
function keyFor(index: Maybe, type: GoType): string {
  if (index === undefined) {
    throw new CallFailure(`value is nil; should be of type ${type.text}`);
  }
  if (index.type !== type) {
    throw new CallFailure(`value has type ${index.type.text}; should be ${type.text}`);
  }
  return index.raw as string;
}

function indexNumber(index: Maybe, limit: number): number {
  if (index === undefined) throw new CallFailure("cannot index slice/array with nil");
  if (!isInteger(index.type)) {
    throw new CallFailure(`cannot index slice/array with type ${index.type.text}`);
  }
  const at = BigInt.asIntN(64, index.raw as bigint);
  if (at < 0n || at > BigInt(limit)) throw new CallFailure(`index out of range: ${at}`);
  return Number(at);
}

export function sliceOf(item: Maybe, indexes: readonly Maybe[], budget: Budget): Value {
  if (item === undefined) throw new CallFailure("slice of untyped nil");
  const value = indirect(item);
  if (value.type.kind === "pointer") throw new CallFailure("slice of nil pointer");
  if (indexes.length > 3) throw new CallFailure(`too many slice indexes: ${indexes.length}`);
  const { capacity } = bounds(value, indexes.length);
  const numbers = indexes.map((index) => indexNumber(index, capacity));
  const from = numbers[0] ?? 0;
  const to = numbers[1] ?? lengthOf(value, budget) ?? 0;
  const most = numbers[2] ?? capacity;
  if (from > to) throw new CallFailure(`invalid slice index: ${from} > ${to}`);
  if (to > most) throw new CallFailure(`invalid slice index: ${to} > ${most}`);
  return cut(value, { from, to, most });
}

function bounds(value: Value, indexes: number): { capacity: number } {
  if (value.type.kind === "string") {
    if (indexes === 3) throw new CallFailure("cannot 3-index slice a string");
    return { capacity: (value.raw as string).length };
  }
  if (value.type.kind === "slice") {
    return { capacity: (value.raw as Slice | undefined)?.capacity ?? 0 };
  }
  throw new CallFailure(`can't slice item of type ${value.type.text}`);
}

function cut(value: Value, range: { from: number; to: number; most: number }): Value {
  const { from, to, most } = range;
  if (value.type.kind === "string") {
    return new Value(value.type, (value.raw as string).slice(from, to));
  }
  const old = value.raw as Slice | undefined;
  if (old === undefined) return value;
  const slice: Slice = {
    array: old.array,
    offset: old.offset + from,
    length: to - from,
    capacity: most - from,
  };
  return new Value(value.type, slice);
}

export function lengthOrFail(item: Maybe, budget: Budget): bigint {
  if (item === undefined) throw new CallFailure(ZERO_VALUE);
  const value = indirect(item);
  if (value.type.kind === "pointer") throw new CallFailure("len of nil pointer");
  const length = lengthOf(value, budget);
  if (length === undefined) throw new CallFailure(`len of type ${value.type.text}`);
  return BigInt(length);
}

const ZERO_VALUE = "reflect: call of reflect.Value.Type on zero Value";
