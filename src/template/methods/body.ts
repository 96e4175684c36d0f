import type { Budget } from "../budget.ts";
import { fromBytes, toBytes } from "../bytes.ts";
import { CallFailure } from "../exec-failure.ts";
import { goType } from "../types.ts";
import type { Maybe, Slice } from "../value.ts";
import { Value, dereference } from "../value.ts";

/** A method's body; the receiver is a pointer when it was addressable. Throws CallFailure. */
export type MethodBody = (receiver: Value, args: readonly Maybe[], budget: Budget) => Maybe;

export type MethodTable = Readonly<Record<string, MethodBody>>;

const BYTES = goType("[]uint8");
const STRINGS = goType("[]string");

/** What Go says when a method follows a nil pointer. */
export function nilPointer(): never {
  throw new CallFailure("runtime error: invalid memory address or nil pointer dereference");
}

export function isNilPointer(value: Maybe): boolean {
  return value?.type.kind === "pointer" && value.raw === undefined;
}

/** The receiver itself, pointers followed; a nil pointer panics, as in Go. */
export function target(receiver: Value): Value {
  if (receiver.type.kind !== "pointer") return receiver;
  if (receiver.raw === undefined) nilPointer();
  return dereference(receiver);
}

/** An argument that the caller checked to be there. */
export function argument(args: readonly Maybe[], index: number): Value {
  return args[index] ?? nilPointer();
}

/** A []byte. */
export function bytesValue(array: readonly number[]): Value {
  const slice: Slice = { array, offset: 0, length: array.length, capacity: array.length };
  return new Value(BYTES, slice);
}

/** A []byte with the bytes of a byte string. */
export function textBytes(text: string): Value {
  return bytesValue(Array.from(text, (char) => char.charCodeAt(0)));
}

/** The bytes of a []byte; none when it is nil. */
export function bytesOf(value: Value): readonly number[] {
  const slice = value.raw as Slice | undefined;
  if (slice === undefined) return [];
  return slice.array.slice(slice.offset, slice.offset + slice.length) as number[];
}

/** A []string. */
export function stringsValue(...array: string[]): Value {
  const slice: Slice = { array, offset: 0, length: array.length, capacity: array.length };
  return new Value(STRINGS, slice);
}

/** encoding/json's text for a byte string, as a byte string. */
export function jsonText(text: string): string {
  const json = JSON.stringify(fromBytes(text));
  return toBytes(
    json.replace(/[<>&\u2028\u2029]/g, (char) => {
      return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
    }),
  );
}

/** CBOR as Kubernetes writes it: text as a byte string. */
export function cborText(text: string): Value {
  const bytes = Array.from(text, (char) => char.charCodeAt(0));
  return bytesValue([...cborHead(2, BigInt(bytes.length)), ...bytes]);
}

export function cborInteger(value: bigint): Value {
  return bytesValue(value < 0n ? cborHead(1, -1n - value) : cborHead(0, value));
}

function cborHead(major: number, value: bigint): number[] {
  const first = major << 5;
  if (value < 24n) return [first | Number(value)];
  const size = value < 256n ? 0 : value < 65_536n ? 1 : 2;
  const bytes = 1 << size;
  const rest = Array.from({ length: bytes }, (_, index) => {
    return Number((value >> BigInt(8 * (bytes - 1 - index))) & 255n);
  });
  return [first | (24 + size), ...rest];
}
