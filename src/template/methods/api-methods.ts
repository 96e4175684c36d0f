import { unsupported } from "../budget.ts";
import type { Budget } from "../budget.ts";
import { protoBytes } from "../proto-bytes.ts";
import { Quantity } from "../quantity.ts";
import { fieldsText, intOrStringOf, intValueOf, momentOf } from "../special.ts";
import { isZeroMoment } from "../time.ts";
import type { Field, GoType } from "../types.ts";
import { goType } from "../types.ts";
import type { Maybe } from "../value.ts";
import { Pointer, Value, addressOf, boolValue, fieldOf, intValue, stringValue } from "../value.ts";
import type { MethodBody, MethodTable } from "./body.ts";
import {
  argument,
  cborInteger,
  cborText,
  isNilPointer,
  jsonText,
  nilPointer,
  stringsValue,
  target,
  textBytes,
} from "./body.ts";

/** Where the models of each package are listed in OpenAPI. */
const MODELS: Readonly<Record<string, string>> = {
  core: "io.k8s.api.core.v1",
  meta: "io.k8s.apimachinery.pkg.apis.meta.v1",
  resource: "io.k8s.apimachinery.pkg.api.resource",
  intstr: "io.k8s.apimachinery.pkg.util.intstr",
};

/** The methods that generators give to every API struct. */
export function generatedMethod(owner: GoType, name: string): MethodBody | undefined {
  switch (name) {
    case "DeepCopy":
      return deepCopy;
    case "Size":
      return (receiver, _, budget) => intValue(BigInt(sizeOf(receiver, budget)));
    case "Marshal":
      return marshal;
    case "OpenAPIModelName": {
      const [alias = "", type = ""] = owner.key.split(".");
      return () => stringValue(`${MODELS[alias]}.${type}`);
    }
    default:
      return undefined;
  }
}

/** A copy shares nothing with the original: their pointers differ. */
const deepCopy: MethodBody = (receiver, _, budget) => {
  if (isNilPointer(receiver)) return receiver;
  const { raw, type } = target(receiver);
  const copied = new Pointer({}, 0, copyOf(raw, budget));
  return new Value(type.pointerTo(), copied);
};

/** ResourceList.DeepCopy: of a value, not of a pointer. */
const copyList: MethodBody = (receiver, _, budget) => {
  const { raw, type } = target(receiver);
  return new Value(type, copyOf(raw, budget));
};

function copyOf(raw: unknown, budget: Budget): unknown {
  budget.step();
  if (typeof raw !== "object" || raw === null) return raw;
  if (raw instanceof Quantity) return raw.copy();
  if (Array.isArray(raw)) return raw.map((element) => copyOf(element, budget));
  const entries = Object.entries(raw).map(([key, value]) => [key, copyOf(value, budget)]);
  return Object.fromEntries(entries);
}

function sizeOf(receiver: Value, budget: Budget): number {
  if (isNilPointer(receiver)) return receiver.type.elem.key === "resource.Quantity" ? 7 : 0;
  return protoBytes(target(receiver), budget).length;
}

/** Only Time and Quantity marshal a nil pointer, the latter as what it prints. */
const marshal: MethodBody = (receiver, _, budget) => {
  const nothing = new Value(goType("[]uint8"), undefined);
  if (!isNilPointer(receiver)) {
    const { type, raw } = target(receiver);
    if (type.key === "meta.Time" && isZeroMoment(momentOf(raw))) return nothing;
    return textBytes(protoBytes(target(receiver), budget));
  }
  const { key } = receiver.type.elem;
  if (key === "meta.Time") return nothing;
  return key === "resource.Quantity" ? textBytes("\n\x05<nil>") : nilPointer();
};

const TAINT_METHODS: MethodTable = {
  MatchTaint: (receiver, args) => boolValue(sameFields(receiver, args, ["Key", "Effect"])),
  ToString: (receiver) => {
    const taint = target(receiver);
    const [key, value, effect] = ["Key", "Value", "Effect"].map((name) => text(taint, name));
    const start = value === "" ? key : `${key}=${value}`;
    const end = effect === "" && value === "" ? "" : `:${effect}`;
    return stringValue(`${start}${end}`);
  },
};

const TOLERATION_METHODS: MethodTable = {
  MatchToleration: (receiver, args) => {
    return boolValue(sameFields(receiver, args, ["Key", "Effect", "Operator", "Value"]));
  },
  // A template has no logger to give, so that its arguments fail before this.
  ToleratesTaint: () => {
    throw unsupported("method ToleratesTaint");
  },
};

function text(struct: Value, name: string): string {
  return fieldOf(struct, fieldNamed(struct.type, name)).raw as string;
}

function fieldNamed(type: GoType, name: string): Field {
  return type.findField(name)?.at(-1) ?? nilPointer();
}

function sameFields(receiver: Value, args: readonly Maybe[], names: readonly string[]): boolean {
  const [a, b] = [target(receiver), target(argument(args, 0))];
  return names.every((name) => text(a, name) === text(b, name));
}

const INT_OR_STRING_METHODS: MethodTable = {
  IntValue: (receiver) => intValue(intValueOf(intOrStringOf(target(receiver).raw))),
  MarshalJSON: (receiver) => {
    const port = intOrStringOf(target(receiver).raw);
    return textBytes(port.isString ? jsonText(port.text) : `${port.number}`);
  },
  MarshalCBOR: (receiver) => {
    const port = intOrStringOf(target(receiver).raw);
    return port.isString ? cborText(port.text) : cborInteger(port.number);
  },
  OpenAPISchemaType: () => stringsValue("string"),
  OpenAPISchemaFormat: () => stringValue("int-or-string"),
  OpenAPIV3OneOfTypes: () => stringsValue("integer", "string"),
};

const rawText = (value: Maybe): string => {
  return value === undefined || isNilPointer(value) ? "" : fieldsText(target(value).raw);
};

const FIELDS_METHODS: MethodTable = {
  GetRawString: (receiver) => stringValue(rawText(receiver)),
  GetRawBytes: (receiver) => {
    const empty = new Value(goType("[]uint8"), undefined);
    return rawText(receiver) === "" ? empty : textBytes(rawText(receiver));
  },
  Equal: (receiver, args) => boolValue(rawText(receiver) === rawText(args[0])),
  MarshalJSON: (receiver) => textBytes(rawText(receiver) === "" ? "null" : rawText(receiver)),
};

/** A getter of ObjectMeta, also of a struct that embeds it. */
export function getterOf(owner: GoType, name: string): MethodBody | undefined {
  if (!name.startsWith("Get")) return undefined;
  const meta = owner.findField("ObjectMeta");
  if (name === "GetObjectMeta") {
    if (meta === undefined) return itself;
    return (receiver) => addressOf(meta.reduce(fieldOf, target(receiver)));
  }
  const field = owner.findField(name.slice("Get".length));
  if (field === undefined) return undefined;
  return (receiver) => {
    const value = field.reduce(fieldOf, target(receiver));
    return new Value(value.type, value.raw);
  };
}

const itself: MethodBody = (receiver) => receiver;

export const API_TABLES: Readonly<Record<string, MethodTable>> = {
  "core.Taint": TAINT_METHODS,
  "core.Toleration": TOLERATION_METHODS,
  "core.ResourceList": { DeepCopy: copyList },
  "intstr.IntOrString": INT_OR_STRING_METHODS,
  "meta.FieldsV1": FIELDS_METHODS,
};
