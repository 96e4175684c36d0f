import { unsupported } from "../budget.ts";
import type { Decimal } from "../decimal.ts";
import { compareDecimals, formatDecimal } from "../decimal.ts";
import { Quantity } from "../quantity.ts";
import { approximateFloat, slowFloat } from "../quantity-float.ts";
import { quantityOf } from "../special.ts";
import { goType } from "../types.ts";
import type { Maybe } from "../value.ts";
import {
  Pointer,
  Value,
  boolValue,
  floatValue,
  intValue,
  mapEntry,
  stringValue,
} from "../value.ts";
import type { MethodBody, MethodTable } from "./body.ts";
import { argument, cborText, isNilPointer, stringsValue, target, textBytes } from "./body.ts";

const INT64 = goType("int64");
const QUANTITY = goType("resource.Quantity");
const DECIMAL = goType("*inf.Dec");
/** A scale beyond this, and more digits, would only be work. */
const MOST_SCALE = 100n;
const MOST_DIGITS = 10n ** MOST_SCALE;

const int64Value = (value: bigint): Value => new Value(INT64, value);
const pointerTo = (quantity: Quantity): Value => {
  return new Value(QUANTITY.pointerTo(), new Pointer({}, 0, quantity));
};

function read(body: (quantity: Quantity, args: readonly Maybe[]) => Maybe): MethodBody {
  return (receiver, args) => body(quantityOf(target(receiver).raw), args);
}

const integerArgument = (args: readonly Maybe[]): bigint => argument(args, 0).raw as bigint;
const scaleArgument = (args: readonly Maybe[]): number => Number(integerArgument(args));
const quantityArgument = (args: readonly Maybe[]): Quantity => {
  return quantityOf(argument(args, 0).raw);
};

/** A method that changes its receiver, which must be a copy: the data of a pod stays as it is. */
function change(name: string, body: (quantity: Quantity, by: bigint) => boolean): MethodBody {
  return (receiver, args) => {
    const { raw } = target(receiver);
    const by = integerArgument(args);
    const tooFar = name === "RoundUp" && (by > MOST_SCALE || by < -MOST_SCALE);
    if (!(raw instanceof Quantity) || tooFar) throw unsupported(`method ${name} of this quantity`);
    const exact = body(raw, by);
    const size = raw.decimal?.unscaled ?? 0n;
    if (size > MOST_DIGITS || size < -MOST_DIGITS) {
      throw unsupported("a quantity with this many digits");
    }
    return boolValue(exact);
  };
}

const QUANTITY_METHODS: MethodTable = {
  AsApproximateFloat64: read((quantity) => floatValue(approximateFloat(quantity))),
  AsFloat64Slow: read((quantity) => floatValue(slowFloat(quantity.toDecimal()))),
  AsDec: read((quantity) => new Value(DECIMAL, new Pointer({}, 0, quantity.toDecimal()))),
  ToDec: (receiver) => {
    quantityOf(target(receiver).raw).toDecimal();
    return receiver;
  },
  Cmp: read((quantity, args) => intValue(BigInt(quantity.compare(quantityArgument(args))))),
  CmpInt64: read((quantity, args) => {
    return intValue(BigInt(quantity.compareInteger(integerArgument(args))));
  }),
  Equal: read((quantity, args) => {
    return boolValue(quantity.copy().compare(quantityArgument(args)) === 0);
  }),
  IsZero: read((quantity) => boolValue(quantity.sign === 0)),
  Sign: read((quantity) => intValue(BigInt(quantity.sign))),
  Value: read((quantity) => int64Value(quantity.scaled(0))),
  MilliValue: read((quantity) => int64Value(quantity.scaled(-3))),
  ScaledValue: read((quantity, args) => int64Value(quantity.scaled(scaleArgument(args)))),
  Mul: change("Mul", (quantity, by) => quantity.multiply(by)),
  RoundUp: change("RoundUp", (quantity, scale) => quantity.round(Number(scale))),
  DeepCopy: read((quantity) => new Value(QUANTITY, quantity.copy())),
  MarshalJSON: read((quantity) => textBytes(`"${quantity.copy().text()}"`)),
  MarshalCBOR: read((quantity) => cborText(quantity.copy().text())),
  ToUnstructured: read((quantity) => stringValue(quantity.copy().text())),
  OpenAPISchemaType: () => stringsValue("string"),
  OpenAPISchemaFormat: () => stringValue(""),
  OpenAPIV3OneOfTypes: () => stringsValue("string", "number"),
};

const decimalOf = (value: Value): Decimal => target(value).raw as Decimal;

const DECIMAL_METHODS: MethodTable = {
  Cmp: (receiver, args) => {
    return intValue(BigInt(compareDecimals(decimalOf(receiver), decimalOf(argument(args, 0)))));
  },
  Scale: (receiver) => new Value(goType("inf.Scale"), BigInt(decimalOf(receiver).scale)),
  Sign: (receiver) => {
    const { unscaled } = decimalOf(receiver);
    return intValue(unscaled === 0n ? 0n : unscaled < 0n ? -1n : 1n);
  },
  MarshalText: (receiver) => textBytes(formatDecimal(decimalOf(receiver))),
};

/** Each getter of a ResourceList: its resource, and the format of the zero it gives for none. */
const RESOURCES: Readonly<Record<string, readonly [string, string]>> = {
  Cpu: ["cpu", "DecimalSI"],
  Memory: ["memory", "BinarySI"],
  Pods: ["pods", "DecimalSI"],
  Storage: ["storage", "BinarySI"],
  StorageEphemeral: ["ephemeral-storage", "BinarySI"],
};

const getters = Object.entries(RESOURCES).map(([name, [resource, format]]) => {
  const getter: MethodBody = (receiver) => resourceOf(receiver, resource, format);
  return [name, getter] as const;
});

const RESOURCE_LIST_METHODS: MethodTable = {
  ...Object.fromEntries(getters),
  Name: (receiver, args) => {
    const format = argument(args, 1).raw as string;
    return resourceOf(receiver, argument(args, 0).raw as string, format);
  },
};

/** A pointer to a copy of the quantity, or to a zero one. */
function resourceOf(receiver: Value, resource: string, format: string): Value {
  const list = target(receiver);
  const entry = mapEntry(list, resource);
  return pointerTo(entry ? quantityOf(entry.raw).copy() : new Quantity({ format }));
}

export const QUANTITY_TABLES: Readonly<Record<string, MethodTable>> = {
  "resource.Quantity": QUANTITY_METHODS,
  "core.ResourceList": RESOURCE_LIST_METHODS,
  "inf.Dec": DECIMAL_METHODS,
};

/** Dec.String as a byte string. */
export function decimalText(raw: unknown): string {
  return formatDecimal(raw as Decimal);
}

/** Quantity.String, which works on a nil pointer. */
export function quantityText(receiver: Value): string {
  return isNilPointer(receiver) ? "<nil>" : quantityOf(target(receiver).raw).text();
}
