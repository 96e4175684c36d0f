import type { Budget } from "./budget.ts";
import { fieldsText, momentOf, quantityOf } from "./special.ts";
import { isZeroMoment, unixTime } from "./time.ts";
import type { Field } from "./types.ts";
import type { Slice, Value } from "./value.ts";
import { dereference, elementAt, fieldOf, mapEntries } from "./value.ts";

/** Wire types of protobuf. */
const VARINT = 0;
const LENGTH = 2;

/**
 * The protobuf form of a Kubernetes API struct, as its generated Marshal method writes it: fields in
 * the order of their numbers, plain ones even when they are empty. A byte string.
 */
export function protoBytes(struct: Value, budget: Budget): string {
  const bytes = specialBytes(struct) ?? messageBytes(struct, budget);
  budget.spend(bytes.length);
  return bytes;
}

/** The types that marshal otherwise than their fields say. */
function specialBytes({ type, raw }: Value): string | undefined {
  switch (type.key) {
    case "resource.Quantity":
      return lengthField(1, quantityOf(raw).text());
    case "meta.FieldsV1": {
      const text = fieldsText(raw);
      return text === "" ? "" : lengthField(1, text);
    }
    case "meta.Time": {
      const moment = momentOf(raw);
      if (isZeroMoment(moment)) return "";
      return numberField(1, unixTime(moment, 1n)) + numberField(2, 0n);
    }
    default:
      return undefined;
  }
}

function messageBytes(struct: Value, budget: Budget): string {
  const fields = struct.type.fields.toSorted((a, b) => a.number - b.number);
  return fields.map((field) => fieldBytes(fieldOf(struct, field), field, budget)).join("");
}

function fieldBytes(value: Value, field: Field, budget: Budget): string {
  budget.step();
  switch (value.type.kind) {
    case "pointer":
      return value.raw === undefined ? "" : fieldBytes(dereference(value), field, budget);
    case "slice":
      return sliceBytes(value, field, budget);
    case "map":
      return mapBytes(value, field, budget);
    case "struct":
      return lengthField(field.number, protoBytes(value, budget));
    case "string":
      return lengthField(field.number, value.raw as string);
    case "bool":
      return numberField(field.number, value.raw === true ? 1n : 0n);
    default:
      return numberField(field.number, value.raw as bigint);
  }
}

function sliceBytes(slice: Value, field: Field, budget: Budget): string {
  const { length } = (slice.raw as Slice | undefined) ?? { length: 0 };
  let bytes = "";
  for (let index = 0; index < length; index++) {
    bytes += fieldBytes(elementAt(slice, index), field, budget);
  }
  return bytes;
}

function mapBytes(map: Value, field: Field, budget: Budget): string {
  const entries = mapEntries(map, budget).map(([key, value]) => {
    const entry = lengthField(1, key.raw as string);
    return lengthField(field.number, entry + fieldBytes(value, { ...field, number: 2 }, budget));
  });
  return [...entries].join("");
}

function numberField(number: number, value: bigint): string {
  return varint(BigInt((number << 3) | VARINT)) + varint(BigInt.asUintN(64, value));
}

function lengthField(number: number, bytes: string): string {
  return varint(BigInt((number << 3) | LENGTH)) + varint(BigInt(bytes.length)) + bytes;
}

function varint(value: bigint): string {
  let bytes = "";
  let rest = value;
  for (; rest >= 128n; rest >>= 7n) bytes += String.fromCharCode(Number(rest & 127n) | 128);
  return bytes + String.fromCharCode(Number(rest));
}
