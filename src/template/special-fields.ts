import { bytesCapacity } from "./capacity.ts";
import type { Amount } from "./int64-amount.ts";
import type { Decimal } from "./decimal.ts";
import { Pointer } from "./reference.ts";
import type { Slice } from "./reference.ts";
import { fieldsText, intOrStringOf, momentOf, quantityOf } from "./special.ts";

/**
 * The fields, hidden ones too, of the structs that are one JSON scalar, as Value.raw has them;
 * undefined means nil.
 */
export function specialField(struct: string, field: string, raw: unknown): unknown {
  return FIELDS[struct]?.[field]?.(raw);
}

type Read = (raw: unknown) => unknown;

const FIELDS: Readonly<Record<string, Readonly<Record<string, Read>>>> = {
  "meta.Time": { Time: (raw) => raw },
  // All times are in UTC, for which Go keeps no location.
  "time.Time": {
    wall: (raw) => BigInt(momentOf(raw).nanos),
    ext: (raw) => momentOf(raw).seconds,
  },
  "time.Location": {
    name: () => "UTC",
    extend: () => "",
    cacheStart: () => 0n,
    cacheEnd: () => 0n,
  },
  "resource.Quantity": {
    i: (raw) => quantityOf(raw).amount ?? NOTHING,
    d: (raw) => quantityOf(raw).decimal,
    s: (raw) => quantityOf(raw).cached,
    Format: (raw) => quantityOf(raw).format,
  },
  "resource.int64Amount": {
    value: (raw) => (raw as Amount).value,
    scale: (raw) => BigInt((raw as Amount).scale),
  },
  "resource.infDecAmount": {
    Dec: (raw) => (raw === undefined ? undefined : new Pointer(raw as Decimal, "Dec", raw)),
  },
  "inf.Dec": {
    unscaled: (raw) => (raw as Decimal).unscaled,
    scale: (raw) => BigInt((raw as Decimal).scale),
  },
  "big.Int": {
    neg: (raw) => (raw as bigint) < 0n,
    abs: (raw) => wordsOf(raw as bigint),
  },
  "intstr.IntOrString": {
    Type: (raw) => (intOrStringOf(raw).isString ? 1n : 0n),
    IntVal: (raw) => intOrStringOf(raw).number,
    StrVal: (raw) => intOrStringOf(raw).text,
  },
  "meta.FieldsV1": { Raw: (raw) => bytesOf(fieldsText(raw)) },
};

const NOTHING: Amount = { value: 0n, scale: 0 };

/** A []byte, nil when there are none. */
function bytesOf(text: string): Slice | undefined {
  if (text === "") return undefined;
  const array = Array.from(text, (char) => char.charCodeAt(0));
  return { array, offset: 0, length: array.length, capacity: bytesCapacity(array.length) };
}

/** The words of a big.Int, the lowest first. */
function wordsOf(integer: bigint): Slice {
  const array: bigint[] = [];
  for (let rest = integer < 0n ? -integer : integer; rest > 0n; rest >>= 64n) {
    array.push(BigInt.asUintN(64, rest));
  }
  return { array, offset: 0, length: array.length, capacity: array.length };
}
