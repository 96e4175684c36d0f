import type { Budget } from "./budget.ts";
import { CallFailure } from "./exec-failure.ts";
import { API_TABLES, generatedMethod, getterOf } from "./methods/api-methods.ts";
import type { MethodBody } from "./methods/body.ts";
import { isNilPointer, nilPointer, target } from "./methods/body.ts";
import { QUANTITY_TABLES, decimalText, quantityText } from "./methods/quantity-methods.ts";
import { TIME_TABLES, isPromotedTimeMethod, timeUnitText } from "./methods/time-methods.ts";
import { protoString } from "./proto-string.ts";
import { fieldsText, intOrStringOf, momentOf } from "./special.ts";
import { formatMoment } from "./time-format.ts";
import type { GoType, Method } from "./types.ts";
import type { Value } from "./value.ts";
import { stringValue } from "./value.ts";

/** The method `name` of a type, or undefined when Signet does not know it. */
export function methodOf(owner: GoType, name: string): MethodBody | undefined {
  const declared = owner.methods.get(name);
  if (declared === undefined) return undefined;
  const body = bodyOf(owner, name);
  return body === undefined || declared.onPointer ? body : ofValue(owner, declared, body);
}

function bodyOf(owner: GoType, name: string): MethodBody | undefined {
  if (name === "String") return (receiver, _, budget) => stringValue(stringOf(receiver, budget));
  const tables = [TIME_TABLES, QUANTITY_TABLES, API_TABLES];
  for (const table of tables) {
    const methods = table[owner.key];
    if (methods !== undefined && Object.hasOwn(methods, name)) return methods[name];
  }
  if (owner.methods.has("GetObjectMeta") && name.startsWith("Get")) return getterOf(owner, name);
  return owner.methods.has("Marshal") ? generatedMethod(owner, name) : undefined;
}

const PACKAGES: Readonly<Record<string, string>> = {
  core: "k8s.io/api/core/v1",
  meta: "k8s.io/apimachinery/pkg/apis/meta/v1",
  resource: "k8s.io/apimachinery/pkg/api/resource",
  intstr: "k8s.io/apimachinery/pkg/util/intstr",
};

/** A method that is declared on the value: Go panics when it is called on a nil pointer. */
function ofValue(owner: GoType, { name }: Method, body: MethodBody): MethodBody {
  return (receiver, args, budget) => {
    if (!isNilPointer(receiver)) return body(receiver, args, budget);
    if (owner.key === "meta.Time" && isPromotedTimeMethod(name)) return nilPointer();
    const [alias = "", type = ""] = owner.key.split(".");
    const method = `${PACKAGES[alias] ?? alias}.${type}.${name}`;
    throw new CallFailure(`value method ${method} called using nil *${type} pointer`);
  };
}

/** What the String method of a type gives; the receiver may be a nil pointer. */
export function stringOf(receiver: Value, budget: Budget): string {
  const type = receiver.type.kind === "pointer" ? receiver.type.elem : receiver.type;
  if (type.key === "resource.Quantity") return quantityText(receiver);
  if (isNilPointer(receiver)) return textOfNil(type);
  const value = target(receiver);
  switch (type.key) {
    case "meta.Time":
    case "time.Time":
      return formatMoment(momentOf(value.raw));
    case "intstr.IntOrString": {
      const port = intOrStringOf(value.raw);
      return port.isString ? port.text : `${port.number}`;
    }
    case "meta.FieldsV1":
      return fieldsText(value.raw);
    case "inf.Dec":
      return decimalText(value.raw);
    case "time.Location":
      return "UTC";
    default:
  }
  if (type.kind === "string") return value.raw as string;
  if (type.kind === "struct") return protoString(value, budget, stringOf);
  return timeUnitText(type.key, value.raw as bigint) ?? "";
}

function textOfNil(type: GoType): string {
  switch (type.key) {
    case "intstr.IntOrString":
    case "inf.Dec":
      return "<nil>";
    case "time.Location":
      return "UTC";
    default:
      // The generated methods of the API look whether they have something to print.
      return type.methods.get("String")?.onPointer === true ? "nil" : nilPointer();
  }
}
