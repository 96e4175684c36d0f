import type { Budget } from "./budget.ts";
import { unsupported } from "./budget.ts";
import { CallFailure } from "./exec-failure.ts";
import { protoString } from "./proto-string.ts";
import { ZERO_QUANTITY, scaledQuantity } from "./quantity.ts";
import type { IntOrString } from "./special.ts";
import { intOrStringOf, intValueOf, momentOf, quantityOf, quantityText } from "./special.ts";
import { formatMoment, isZeroMoment } from "./time.ts";
import type { GoType } from "./types.ts";
import { goType } from "./types.ts";
import type { Maybe } from "./value.ts";
import {
  Pointer,
  Value,
  boolValue,
  dereference,
  fieldOf,
  intValue,
  mapEntry,
  stringValue,
} from "./value.ts";

/** A method's body; the receiver is a pointer when it was addressable. Throws CallFailure. */
export type MethodBody = (receiver: Value, args: readonly Maybe[], budget: Budget) => Maybe;

const NIL_POINTER = "runtime error: invalid memory address or nil pointer dereference";
const INT64 = goType("int64");

/** The method `name` of a type, or undefined when Signet does not know it. */
export function methodOf(owner: GoType, name: string): MethodBody | undefined {
  const declared = owner.methods.get(name);
  if (declared === undefined) return undefined;
  if (name === "String") return (receiver, _, budget) => stringValue(stringOf(receiver, budget));
  if (name === "DeepCopy" && declared.outs[0] === `*${owner.key}`) return deepCopy;
  if (owner.key === "meta.ObjectMeta" && name.startsWith("Get")) return getterOf(owner, name);
  if (owner.key === "resource.Quantity") return QUANTITY_METHODS[name];
  if (owner.key === "core.ResourceList") return resourceGetter(name);
  if (owner.key === "intstr.IntOrString" && name === "IntValue") {
    return (receiver) => intValue(intValueOf(intOrStringOf(target(receiver).raw)));
  }
  return owner.key === "time.Time" || owner.key === "meta.Time" || owner.key === "meta.MicroTime"
    ? TIME_METHODS[name]
    : undefined;
}

/** What the String method of a type gives; the receiver may be a nil pointer. */
export function stringOf(receiver: Value, budget: Budget): string {
  const type = receiver.type.kind === "pointer" ? receiver.type.elem : receiver.type;
  const special = SPECIAL_STRINGS[type.key];
  const isNil = receiver.type.kind === "pointer" && receiver.raw === undefined;
  if (isNil) return special === undefined ? "nil" : special.nil();
  const value = target(receiver);
  if (special !== undefined) return special.print(value.raw);
  return type.kind === "string" ? (value.raw as string) : protoString(value, budget, stringOf);
}

interface SpecialString {
  /** For a nil pointer. */
  readonly nil: () => string;
  readonly print: (json: unknown) => string;
}

const printTime: SpecialString = {
  nil: panic,
  print: (json) => formatMoment(momentOf(json)),
};

/** The types that print otherwise than the generated methods of the API do. */
const SPECIAL_STRINGS: Readonly<Record<string, SpecialString>> = {
  "meta.Time": printTime,
  "meta.MicroTime": printTime,
  "time.Time": printTime,
  "resource.Quantity": { nil: () => "<nil>", print: quantityText },
  "intstr.IntOrString": { nil: () => "<nil>", print: (json) => portText(intOrStringOf(json)) },
  "meta.FieldsV1": {
    nil: panic,
    print: () => {
      throw unsupported("printing the bytes of FieldsV1");
    },
  },
};

function panic(): never {
  throw new CallFailure(NIL_POINTER);
}

function portText(port: IntOrString): string {
  return port.isString ? port.text : port.number.toString();
}

/** The receiver itself, pointers followed; a nil pointer panics, as in Go. */
function target(receiver: Value): Value {
  if (receiver.type.kind !== "pointer") return receiver;
  if (receiver.raw === undefined) panic();
  return dereference(receiver);
}

const deepCopy: MethodBody = (receiver) => {
  if (receiver.type.kind === "pointer" && receiver.raw === undefined) return receiver;
  const { raw, type } = target(receiver);
  return new Value(type.pointerTo(), new Pointer({}, 0, raw));
};

function getterOf(owner: GoType, name: string): MethodBody | undefined {
  const field = owner.fields.find((known) => known.name === name.slice("Get".length));
  if (field === undefined) return undefined;
  return (receiver) => {
    const value = fieldOf(target(receiver), field);
    return new Value(value.type, value.raw);
  };
}

const QUANTITY_METHODS: Readonly<Record<string, MethodBody>> = {
  Value: (receiver) => scaledValue(receiver, 0),
  MilliValue: (receiver) => scaledValue(receiver, -3),
  IsZero: (receiver) => boolValue(quantityOf(target(receiver).raw).nanos === 0n),
  Sign: (receiver) => {
    const { nanos } = quantityOf(target(receiver).raw);
    return intValue(nanos === 0n ? 0n : nanos > 0n ? 1n : -1n);
  },
};

function scaledValue(receiver: Value, scale: 0 | -3): Value {
  const value = scaledQuantity(quantityOf(target(receiver).raw), scale);
  if (value === undefined) throw unsupported("this number of a quantity");
  return new Value(INT64, value);
}

const RESOURCES: Readonly<Record<string, readonly [string, "DecimalSI" | "BinarySI"]>> = {
  Cpu: ["cpu", "DecimalSI"],
  Memory: ["memory", "BinarySI"],
  Pods: ["pods", "DecimalSI"],
  Storage: ["storage", "BinarySI"],
  StorageEphemeral: ["ephemeral-storage", "BinarySI"],
};

/** ResourceList.Cpu and its like: the quantity, or a zero one. */
function resourceGetter(name: string): MethodBody | undefined {
  const known = RESOURCES[name];
  if (known === undefined) return undefined;
  const [resource, format] = known;
  const quantity = goType("*resource.Quantity");
  return (receiver) => {
    const raw = mapEntry(target(receiver), resource)?.raw ?? { ...ZERO_QUANTITY, format };
    return new Value(quantity, new Pointer({}, 0, raw));
  };
}

/** On a nil *Time only IsZero works: it is the one that Kubernetes wrote for pointers. */
const TIME_METHODS: Readonly<Record<string, MethodBody>> = {
  IsZero: (receiver) => {
    const isNil = receiver.type.kind === "pointer" && receiver.raw === undefined;
    return boolValue(isNil || isZeroMoment(momentOf(target(receiver).raw)));
  },
  Unix: (receiver) => new Value(INT64, BigInt(momentOf(target(receiver).raw).seconds)),
  UnixMilli: (receiver) => new Value(INT64, unixTime(receiver, 1_000n)),
  UnixMicro: (receiver) => new Value(INT64, unixTime(receiver, 1_000_000n)),
  UnixNano: (receiver) => new Value(INT64, unixTime(receiver, 1_000_000_000n)),
  Nanosecond: (receiver) => intValue(BigInt(momentOf(target(receiver).raw).nanos)),
  Year: (receiver) => intValue(BigInt(dateOf(receiver).getUTCFullYear())),
  Day: (receiver) => intValue(BigInt(dateOf(receiver).getUTCDate())),
  Hour: (receiver) => intValue(BigInt(dateOf(receiver).getUTCHours())),
  Minute: (receiver) => intValue(BigInt(dateOf(receiver).getUTCMinutes())),
  Second: (receiver) => intValue(BigInt(dateOf(receiver).getUTCSeconds())),
};

function dateOf(receiver: Value): Date {
  return new Date(momentOf(target(receiver).raw).seconds * 1000);
}

/** Parts of a second since 1970; Go lets what is too large for an int64 wrap. */
function unixTime(receiver: Value, perSecond: bigint): bigint {
  const { seconds, nanos } = momentOf(target(receiver).raw);
  const part = BigInt(nanos) / (1_000_000_000n / perSecond);
  return BigInt.asIntN(64, BigInt(seconds) * perSecond + part);
}
