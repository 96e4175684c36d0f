import { SignetError } from "../core/errors.ts";
import { fromBytes, toBytes } from "./bytes.ts";
import type { Quantity } from "./quantity.ts";
import { ZERO_QUANTITY, formatQuantity, parseQuantity } from "./quantity.ts";
import type { Moment } from "./time.ts";
import { ZERO_TIME, parseMoment } from "./time.ts";

/**
 * The types whose JSON is one scalar although Go has a struct for them: Time, Quantity and
 * IntOrString. Each reader throws SignetError TEMPLATE_EXEC on JSON of another form.
 */

export function momentOf(json: unknown): Moment {
  if (json === undefined || json === null) return ZERO_TIME;
  const moment = typeof json === "string" ? parseMoment(json) : undefined;
  return moment ?? malformed("timestamp", json);
}

export function quantityOf(json: unknown): Quantity {
  if (json === undefined || json === null) return ZERO_QUANTITY;
  if (isQuantity(json)) return json;
  const text = typeof json === "number" ? String(json) : json;
  const quantity = typeof text === "string" ? parseQuantity(text.trim()) : undefined;
  return quantity ?? malformed("quantity", json);
}

/** Quantity.String as a byte string. */
export function quantityText(json: unknown): string {
  return formatQuantity(quantityOf(json)) ?? malformed("quantity", json);
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

/** IntOrString.IntValue: a string counts when it is a number. */
export function intValueOf(port: IntOrString): bigint {
  if (!port.isString) return port.number;
  const text = fromBytes(port.text);
  if (!/^[+-]?\d+$/.test(text)) return 0n;
  const sign = text.startsWith("-") ? -1n : 1n;
  return BigInt.asIntN(64, sign * BigInt(text.replace(/^[+-]/, "")));
}

function isQuantity(json: unknown): json is Quantity {
  // JSON has no bigint: only a quantity that was read before can have one.
  return (
    typeof json === "object" && json !== null && "nanos" in json && typeof json.nanos === "bigint"
  );
}

function malformed(what: string, json: unknown): never {
  throw new SignetError("TEMPLATE_EXEC", `the data has a malformed ${what}`, {
    details: { value: JSON.stringify(json)?.slice(0, 64) },
  });
}
