/** A Kubernetes quantity as resource.Quantity holds it. */
export interface Quantity {
  /** The amount in nano units, exact. */
  readonly nanos: bigint;
  /** Go's int64Amount; undefined when Go falls back to a big decimal. */
  readonly amount: { readonly value: bigint; readonly scale: number } | undefined;
  /** The text Go keeps because it is canonical already, or nothing. */
  readonly cached: string;
  readonly format: "DecimalSI" | "BinarySI" | "DecimalExponent" | "";
}

export const ZERO_QUANTITY: Quantity = {
  nanos: 0n,
  amount: { value: 0n, scale: 0 },
  cached: "",
  format: "",
};

const DECIMAL = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
const BINARY = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const PARTS = /^([+-]?)(\d*)(?:\.(\d*))?([eEinumkKMGTP]*[+-]?\d*)$/;
/** More digits than any quantity needs. */
const MOST_DIGITS = 40;
const MAX_INT64 = (1n << 63n) - 1n;

/** Reads a quantity (resource.ParseQuantity); undefined when it is none. */
export function parseQuantity(text: string): Quantity | undefined {
  if (text === "0") return { ...ZERO_QUANTITY, cached: text, format: "DecimalSI" };
  const parts = PARTS.exec(text);
  const suffix = interpretSuffix(parts?.[4] ?? "?");
  if (parts === null || suffix === undefined) return undefined;
  const [, sign, digits = "", fraction = ""] = parts;
  const whole = digits.replace(/^0+/, "") || "0";
  if (digits + fraction === "" || whole.length + fraction.length > MOST_DIGITS) return undefined;
  const number = { whole, fraction, suffix };
  const unit = sign === "-" ? -1n : 1n;
  const nanos = unit * nanosOf(number);
  const fast = fastAmount(number);
  if (fast === undefined) return slowQuantity(nanos, suffix);
  const amount = { value: unit * fast.value, scale: fast.scale };
  return { nanos, amount, cached: fast.canonical ? text : "", format: suffix.format };
}

/** Quantity.String: the canonical text; undefined when Go's own would be broken. */
export function formatQuantity(quantity: Quantity): string | undefined {
  if (quantity.cached !== "") return quantity.cached;
  const { nanos } = quantity;
  if (nanos === 0n) return "0";
  const binary = quantity.format === "BinarySI" && isWholeKilobyte(nanos);
  if (binary) {
    const [amount, steps] = removeFactors(nanos / NANO, 1024n);
    const unit = BINARY[steps];
    return unit === undefined ? undefined : `${amount}${unit}`;
  }
  const [amount, steps] = removeFactors(nanos, 1000n);
  if (quantity.format === "DecimalExponent" || quantity.format === "") {
    const exponent = steps * 3 - 9;
    return exponent === 0 ? `${amount}` : `${amount}e${exponent}`;
  }
  const unit = DECIMAL[steps];
  return unit === undefined ? undefined : `${amount}${unit}`;
}

/**
 * The amount in units of 10^scale, rounded away from zero (Quantity.ScaledValue); undefined when
 * that is no int64, or when Go's own result is off.
 */
export function scaledQuantity(quantity: Quantity, scale: 0 | -3): bigint | undefined {
  const unit = scale === 0 ? NANO : 1_000_000n;
  const rest = quantity.nanos % unit;
  let value = quantity.nanos / unit;
  // What Go makes of a negative big decimal has no rule worth repeating.
  if (quantity.nanos < 0n && quantity.amount === undefined) return undefined;
  if (rest !== 0n) value += rest > 0n ? 1n : -1n;
  return BigInt.asIntN(64, value) === value ? value : undefined;
}

const NANO = 1_000_000_000n;

interface Suffix {
  readonly base: 2 | 10;
  readonly exponent: number;
  readonly format: "DecimalSI" | "BinarySI" | "DecimalExponent";
}

function interpretSuffix(text: string): Suffix | undefined {
  const decimal = DECIMAL.indexOf(text);
  if (decimal >= 0) return { base: 10, exponent: decimal * 3 - 9, format: "DecimalSI" };
  const binary = BINARY.indexOf(text);
  if (binary > 0) return { base: 2, exponent: binary * 10, format: "BinarySI" };
  if (!/^[eE][+-]?\d{1,3}$/.test(text)) return undefined;
  return { base: 10, exponent: Number(text.slice(1)), format: "DecimalExponent" };
}

interface Parsed {
  /** Without leading zeros. */
  readonly whole: string;
  readonly fraction: string;
  readonly suffix: Suffix;
}

/** Rounds away from zero what is smaller than a nano; binary amounts stop at the largest int64. */
function nanosOf({ whole, fraction, suffix }: Parsed): bigint {
  let number = BigInt(whole + fraction);
  let power = 9 - fraction.length;
  if (suffix.base === 2) number <<= BigInt(suffix.exponent);
  else power += suffix.exponent;
  if (power >= 0) number *= 10n ** BigInt(power);
  else {
    const divisor = 10n ** BigInt(-power);
    number = (number + divisor - 1n) / divisor;
  }
  const most = MAX_INT64 * NANO;
  return suffix.base === 2 && number > most ? most : number;
}

interface FastAmount {
  readonly value: bigint;
  readonly scale: number;
  readonly canonical: boolean;
}

/** Go's way for amounts that surely fit an int64; the conditions decide what it prints raw. */
function fastAmount({ whole, fraction, suffix }: Parsed): FastAmount | undefined {
  const length = whole.length + fraction.length;
  const value = BigInt(whole + fraction);
  if (suffix.base === 10) {
    const scale = suffix.exponent - fraction.length;
    if (length > 18 || scale < -9) return undefined;
    const digits = whole + fraction;
    const canonical = scale % 3 === 0 && !digits.endsWith("000") && !digits.startsWith("0");
    return { value, scale, canonical };
  }
  const room = 15 - whole.length - Math.trunc((suffix.exponent * 3) / 10) - 1;
  if (fraction !== "" || room < 0) return undefined;
  const shifted = value << BigInt(suffix.exponent);
  return { value: shifted, scale: 0, canonical: (value & 7n) !== 0n };
}

function slowQuantity(nanos: bigint, suffix: Suffix): Quantity {
  const size = nanos < 0n ? -nanos : nanos;
  const small = suffix.format === "BinarySI" && size > 0n && size < NANO;
  return { nanos, amount: undefined, cached: "", format: small ? "DecimalSI" : suffix.format };
}

/** Binary units are for whole numbers of at least 1024. */
function isWholeKilobyte(nanos: bigint): boolean {
  const size = nanos < 0n ? -nanos : nanos;
  return size >= 1024n * NANO && size % NANO === 0n;
}

function removeFactors(amount: bigint, factor: bigint): [bigint, number] {
  let rest = amount;
  let steps = 0;
  while (rest % factor === 0n) {
    rest /= factor;
    steps++;
  }
  return [rest, steps];
}
