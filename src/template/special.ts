import { SignetError } from "../core/errors.ts";
import { toBytes } from "./bytes.ts";
import { Quantity } from "./quantity.ts";
import { parseQuantity } from "./quantity-parse.ts";
import type { Moment } from "./time.ts";
import { ZERO_TIME, compareMoments, parseMoment } from "./time.ts";

/**
 * The types whose JSON is one scalar although Go has a struct for them: Time, Quantity and
 * IntOrString. Each reader also takes what it gave before, and throws SignetError TEMPLATE_EXEC on
 * JSON of another form.
 */

export function momentOf(json: unknown): Moment {
  if (json === undefined || json === null) return ZERO_TIME;
  if (isMoment(json)) return json;
  const moment = typeof json === "string" ? parseMoment(json) : undefined;
  return moment ?? malformed("timestamp", json);
}

export function quantityOf(json: unknown): Quantity {
  if (json === undefined || json === null) return new Quantity({});
  if (json instanceof Quantity) return json;
  const text = typeof json === "number" ? String(json) : json;
  const quantity = typeof text === "string" ? parseQuantity(text.trim()) : undefined;
  return quantity ?? malformed("quantity", json);
}

export interface IntOrString {
  readonly isString: boolean;
  readonly number: bigint;
  /** A byte string. */
  readonly text: string;
}

export function intOrStringOf(json: unknown): IntOrString {
  if (typeof json === "string") return { isString: true, number: 0n, text: toBytes(json) };
  if (json === undefined || json === null) return { isString: false, number: 0n, text: "" };
  if (typeof json !== "number" || !Number.isSafeInteger(json)) malformed("port", json);
  return { isString: false, number: BigInt(json), text: "" };
}

/** No int64 has more. */
const MOST_DIGITS = 19;

/** IntOrString.IntValue: a string counts when it is a number; one that is too large, as the largest. */
export function intValueOf(port: IntOrString): bigint {
  if (!port.isString) return port.number;
  if (!/^[+-]?\d+$/.test(port.text)) return 0n;
  const most = (1n << 63n) - 1n;
  const digits = port.text.replace(/^[+-]?0*/, "");
  const size = digits.length > MOST_DIGITS ? most + 2n : BigInt(digits);
  if (port.text.startsWith("-")) return size > most ? -most - 1n : -size;
  return size > most ? most : size;
}

/** The JSON that FieldsV1 holds, as compact as the API server sends it; a byte string. */
export function fieldsText(json: unknown): string {
  return json === undefined ? "" : toBytes(JSON.stringify(json));
}

/** Go's == on two values of a type that has its own JSON. */
export function isSame(key: string, a: unknown, b: unknown): boolean {
  switch (key) {
    case "resource.Quantity":
      return quantityOf(a).isIdentical(quantityOf(b));
    case "intstr.IntOrString": {
      const [one, other] = [intOrStringOf(a), intOrStringOf(b)];
      return (
        one.isString === other.isString && one.number === other.number && one.text === other.text
      );
    }
    default:
      return compareMoments(momentOf(a), momentOf(b)) === 0;
  }
}

function isMoment(json: unknown): json is Moment {
  // JSON has no bigint: only a moment that was read before can have one.
  return (
    typeof json === "object" &&
    json !== null &&
    "seconds" in json &&
    typeof json.seconds === "bigint"
  );
}

function malformed(what: string, json: unknown): never {
  throw new SignetError("TEMPLATE_EXEC", `the data has a malformed ${what}`, {
    details: { value: JSON.stringify(json)?.slice(0, 64) },
  });
}
