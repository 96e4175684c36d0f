import type { Decimal } from "./decimal.ts";
import { compareDecimals, parseDecimal, roundUp } from "./decimal.ts";
import { MOST, multiply } from "./int64-amount.ts";
import { BINARY_UNITS, DECIMAL_UNITS, Quantity } from "./quantity.ts";
import type { QuantityFormat } from "./quantity.ts";

const PARTS = /^([+-]?)0*([1-9]\d*)?(?:\.(\d*))?([eEinumkKMGTP]*[+-]?\d*)$/;
/** More digits or zeros than any quantity needs; Go would compute with all of them. */
const MOST_DIGITS = 400;
/** With zeros in front and an exponent. */
const MOST_LENGTH = 2 * MOST_DIGITS;
const MOST_INT64_DIGITS = 18;
/** Places after the point, down to a nano. */
const NANO = 9;
const ONE: Decimal = { unscaled: 1n, scale: 0 };

interface Parsed {
  readonly text: string;
  readonly negative: boolean;
  /** Without leading zeros; "0" when there is nothing else. */
  readonly whole: string;
  readonly fraction: string;
  /** Sign, digits and point. */
  readonly number: string;
  readonly suffix: Suffix;
}

interface Suffix {
  readonly base: 2 | 10;
  readonly exponent: number;
  readonly format: QuantityFormat;
}

/** Reads a quantity (resource.ParseQuantity); undefined when it is none. */
export function parseQuantity(text: string): Quantity | undefined {
  if (text === "" || text.length > MOST_LENGTH) return undefined;
  if (text === "0") return new Quantity({ format: "DecimalSI", cached: text });
  const [, sign, digits = "", fraction = "", unit = ""] = PARTS.exec(text) ?? [];
  const suffix = sign === undefined ? undefined : interpretSuffix(unit);
  if (suffix === undefined || digits.length + fraction.length > MOST_DIGITS) return undefined;
  const parsed: Parsed = {
    text,
    negative: sign === "-",
    whole: digits === "" ? "0" : digits,
    fraction,
    number: text.slice(0, text.length - unit.length),
    suffix,
  };
  return parseFast(parsed) ?? parseSlow(parsed);
}

function interpretSuffix(text: string): Suffix | undefined {
  const decimal = DECIMAL_UNITS.indexOf(text);
  if (decimal >= 0) return { base: 10, exponent: decimal * 3 - 9, format: "DecimalSI" };
  const binary = BINARY_UNITS.indexOf(text);
  if (binary > 0) return { base: 2, exponent: binary * 10, format: "BinarySI" };
  if (!/^[eE][+-]?\d+$/.test(text)) return undefined;
  const exponent = Number(text.slice(1));
  if (Math.abs(exponent) > MOST_DIGITS) return undefined;
  return { base: 10, exponent, format: "DecimalExponent" };
}

/** Amounts that surely fit an int64; those that are canonical already keep their text. */
function parseFast({ text, negative, whole, fraction, suffix }: Parsed): Quantity | undefined {
  const { base, exponent, format } = suffix;
  const precision =
    base === 10
      ? MOST_INT64_DIGITS - (whole.length + fraction.length)
      : fraction === ""
        ? 15 - whole.length - Math.trunc((exponent * 3) / 10) - 1
        : -1;
  const scale = (base === 10 ? exponent : 0) - fraction.length;
  if (precision < 0 || scale < -NANO) return undefined;
  const shifted = whole + fraction;
  const size = multiply(BigInt(shifted), base === 2 ? 1n << BigInt(exponent) : 1n);
  if (size === undefined) return undefined;
  const canonical =
    base === 2
      ? (BigInt(shifted) & 7n) !== 0n
      : scale % 3 === 0 && !shifted.endsWith("000") && !shifted.startsWith("0");
  const amount = { value: negative ? -size : size, scale };
  return new Quantity({ amount, format, cached: canonical ? text : "" });
}

/** All others: rounded away from zero to nanos, and binary ones capped to an int64. */
function parseSlow({ number, suffix }: Parsed): Quantity | undefined {
  const read = parseDecimal(number);
  if (read === undefined) return undefined;
  const { base, exponent } = suffix;
  const size = read.unscaled < 0n ? -read.unscaled : read.unscaled;
  let amount: Decimal =
    base === 10
      ? { unscaled: size, scale: read.scale - exponent }
      : { unscaled: size << BigInt(exponent), scale: read.scale };
  if (size !== 0n) amount = roundUp(amount, NANO);
  const most: Decimal = { unscaled: MOST, scale: 0 };
  let { format } = suffix;
  if (format === "BinarySI") {
    if (compareDecimals(amount, most) > 0) amount = most;
    if (size !== 0n && compareDecimals(amount, ONE) < 0) format = "DecimalSI";
  }
  const unscaled = read.unscaled < 0n ? -amount.unscaled : amount.unscaled;
  return new Quantity({ decimal: { unscaled, scale: amount.scale }, format });
}
