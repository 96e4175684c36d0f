import { SignetError } from "../core/errors.ts";
import type { Budget } from "./budget.ts";
import { fromBytes, toBytes } from "./bytes.ts";
import { capacityOf } from "./capacity.ts";
import { Pointer } from "./reference.ts";
import type { Slice } from "./reference.ts";
import { specialField } from "./special-fields.ts";
import type { Complex } from "./ast.ts";
import type { Field, GoType } from "./types.ts";
import { goType } from "./types.ts";

export { Pointer } from "./reference.ts";
export type { Slice } from "./reference.ts";

/**
 * A Go value (reflect.Value): its type, whether it is addressable, and `raw`, which holds for
 * strings a byte string, for integers a bigint, for pointers a Pointer, for slices a Slice, for
 * maps and structs their JSON (undefined = nil, or the zero struct).
 */
export class Value {
  readonly type: GoType;
  readonly raw: unknown;
  readonly addressable: boolean;

  constructor(type: GoType, raw: unknown, addressable = false) {
    this.type = type;
    this.raw = raw;
    this.addressable = addressable;
  }
}

/** A value, or Go's invalid reflect.Value ("no value"). */
export type Maybe = Value | undefined;

export const STRING = goType("string");
export const INT = goType("int");
export const BOOL = goType("bool");
const FLOAT64 = goType("float64");
const COMPLEX128 = goType("complex128");

export const stringValue = (bytes: string): Value => new Value(STRING, bytes);
export const intValue = (value: bigint): Value => new Value(INT, value);
export const boolValue = (value: boolean): Value => new Value(BOOL, value);
export const floatValue = (value: number): Value => new Value(FLOAT64, value);
export const complexValue = (value: Complex): Value => new Value(COMPLEX128, value);

/** Where a JSON value sits, so that pointers to it can be told apart. */
export interface Slot {
  readonly owner: object;
  readonly key: string | number;
}

/**
 * Reads JSON (as the API server writes it) as a value of a Go type; absent or null gives the zero value.
 * Throws SignetError TEMPLATE_EXEC when the JSON is of another type.
 */
export function load(type: GoType, json: unknown, slot: Slot, addressable = false): Value {
  return new Value(type, rawOf(type, json, slot), addressable);
}

function rawOf(type: GoType, json: unknown, slot: Slot): unknown {
  if (json === undefined || json === null) return zeroOf(type);
  switch (type.kind) {
    case "string":
      return typeof json === "string" ? toBytes(json) : mismatch(type, slot);
    case "bool":
      return typeof json === "boolean" ? json : mismatch(type, slot);
    case "pointer":
      return new Pointer(slot.owner, slot.key, json);
    case "slice":
      return loadSlice(type, json, slot);
    case "map":
      return loadObject(type, json, slot);
    case "struct":
      return hasOwnJson(type) ? json : loadObject(type, json, slot);
    default:
      return integerOf(type, json) ?? mismatch(type, slot);
  }
}

function integerOf(type: GoType, json: unknown): bigint | undefined {
  if (!isInteger(type)) return undefined;
  if (typeof json === "bigint") return json;
  return Number.isSafeInteger(json) ? BigInt(json as number) : undefined;
}

function zeroOf(type: GoType): unknown {
  if (type.kind === "string") return "";
  if (type.kind === "bool") return false;
  return isInteger(type) ? 0n : undefined;
}

/** The types that are one JSON scalar although Go has a struct for them. */
export function hasOwnJson(type: GoType): boolean {
  switch (type.key) {
    case "meta.Time":
    case "time.Time":
    case "time.Location":
    case "resource.Quantity":
    case "resource.int64Amount":
    case "resource.infDecAmount":
    case "inf.Dec":
    case "big.Int":
    case "intstr.IntOrString":
    case "meta.FieldsV1":
      return true;
    default:
      return false;
  }
}

function loadSlice(type: GoType, json: unknown, slot: Slot): Slice {
  if (!Array.isArray(json) || type.elem.kind === "uint8") return mismatch(type, slot);
  const capacity = capacityOf(type.elem, json.length);
  return { array: json, offset: 0, length: json.length, capacity };
}

function loadObject(type: GoType, json: unknown, slot: Slot): object {
  const isObject = typeof json === "object" && json !== null && !Array.isArray(json);
  return isObject ? json : mismatch(type, slot);
}

function mismatch(type: GoType, slot: Slot): never {
  throw new SignetError("TEMPLATE_EXEC", `the data at ${slot.key} is no ${type.text}`, {
    details: { field: slot.key, type: type.text },
  });
}

/** What a non-nil pointer points at. */
export function dereference(pointer: Value): Value {
  const { owner, slot, json } = pointer.raw as Pointer;
  return load(pointer.type.elem, json, { owner, key: slot }, true);
}

/** A pointer to an addressable struct or map, as Go makes one to call a pointer's method. */
export function addressOf(value: Value): Value {
  return new Value(value.type.pointerTo(), new Pointer(value, 0, value.raw));
}

/** Follows pointers to their end; a nil pointer stays as it is (Go: indirect). */
export function indirect(value: Value): Value {
  let at = value;
  while (at.type.kind === "pointer" && at.raw !== undefined) at = dereference(at);
  return at;
}

/** Whether it is a nil pointer, map or slice, or no value at all. */
export function isNil(value: Maybe): boolean {
  if (value === undefined) return true;
  const { kind } = value.type;
  const nillable = kind === "pointer" || kind === "map" || kind === "slice";
  return nillable && value.raw === undefined;
}

/** A direct field of a struct value. */
export function fieldOf(struct: Value, field: Field): Value {
  if (hasOwnJson(struct.type)) {
    const raw = specialField(struct.type.key, field.name, struct.raw);
    return new Value(field.type, raw, struct.addressable);
  }
  const owner = struct.raw as Readonly<Record<string, unknown>> | undefined;
  // An embedded struct has no JSON of its own: its fields lie in the same object.
  const inline = field.embedded && field.json === "-";
  const json = inline ? owner : owner?.[field.json];
  const slot = { owner: owner ?? struct, key: inline ? `^${field.name}` : field.json };
  return load(field.type, json, slot, struct.addressable);
}

/** The elements of a slice value; those beyond the JSON array are zero. */
export function elementAt(slice: Value, index: number): Value {
  const { array, offset } = slice.raw as Slice;
  const at = offset + index;
  return load(slice.type.elem, array[at], { owner: array, key: at }, true);
}

/** The value of a map's key (a byte string), or nothing. Never looks at what objects inherit. */
export function mapEntry(map: Value, key: string): Maybe {
  const object = map.raw as Readonly<Record<string, unknown>> | undefined;
  const name = fromBytes(key);
  if (object === undefined || !Object.hasOwn(object, name)) return undefined;
  // Bytes that are not UTF-8 are no key, although they decode to something.
  if (name !== key && toBytes(name) !== key) return undefined;
  return load(map.type.elem, object[name], { owner: object, key: name });
}

/** The entries of a map, sorted by key as Go prints and ranges over them. */
export function* mapEntries(map: Value, budget: Budget): Generator<[key: Value, value: Value]> {
  const object = map.raw as Readonly<Record<string, unknown>> | undefined;
  if (object === undefined) return;
  for (const { name, bytes } of budget.keysOf(object)) {
    const value = load(map.type.elem, object[name], { owner: object, key: name });
    yield [new Value(map.type.mapKey, bytes), value];
  }
}

/** len() of a string, slice or map; undefined for what has none. */
export function lengthOf(value: Value, budget: Budget): number | undefined {
  switch (value.type.kind) {
    case "string":
      return (value.raw as string).length;
    case "slice":
      return (value.raw as Slice | undefined)?.length ?? 0;
    case "map":
      return value.raw === undefined ? 0 : budget.keysOf(value.raw as object).length;
    default:
      return undefined;
  }
}

export function isInteger(type: GoType): boolean {
  return type.kind.startsWith("int") || type.kind.startsWith("uint");
}
