import type { Decimal } from "./decimal.ts";
import { compareDecimals, roundUp } from "./decimal.ts";
import type { Amount } from "./int64-amount.ts";
import { MOST, multiply, removeFactors, scaleDown, scaleUp } from "./int64-amount.ts";
import { int64 } from "./time.ts";

/** The format may be of any name, as Go's ResourceList.Name takes it. */
export type QuantityFormat = "DecimalSI" | "BinarySI" | "DecimalExponent" | (string & {});

/** From nano on, each a thousand times the one before. */
export const DECIMAL_UNITS = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
/** Each 1024 times the one before. */
export const BINARY_UNITS = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/** More than that would only be work. */
const MOST_PLACES = 1_000;
const NOTHING: Amount = { value: 0n, scale: 0 };

/**
 * A resource.Quantity as Go holds it: an int64 amount, or a decimal once that was needed, with the
 * text that String keeps. Some methods change it, so each copy is an object of its own.
 */
export class Quantity {
  /** Go's int64Amount; undefined when the decimal holds. */
  amount: Amount | undefined;
  decimal: Decimal | undefined;
  /** The text Go keeps because it is canonical already, or nothing. */
  cached: string;
  readonly format: QuantityFormat;

  constructor(parts: {
    amount?: Amount | undefined;
    decimal?: Decimal | undefined;
    cached?: string;
    format?: QuantityFormat;
  }) {
    this.decimal = parts.decimal;
    this.amount = parts.decimal === undefined ? (parts.amount ?? NOTHING) : undefined;
    this.cached = parts.cached ?? "";
    this.format = parts.format ?? "";
  }

  copy(): Quantity {
    return new Quantity(this);
  }

  /** Go's ==, which looks at how the amount is held; two decimals are never the same. */
  isIdentical(other: Quantity): boolean {
    if (this === other) return true;
    const [a, b] = [this.amount, other.amount];
    if (a === undefined || b === undefined) return false;
    const sameAmount = a.value === b.value && a.scale === b.scale;
    return sameAmount && this.cached === other.cached && this.format === other.format;
  }

  /** Quantity.AsDec: from now on the decimal holds. */
  toDecimal(): Decimal {
    this.decimal ??= { unscaled: this.#value, scale: -this.#scale };
    this.amount = undefined;
    return this.decimal;
  }

  get sign(): number {
    const value = this.decimal?.unscaled ?? this.#value;
    return value === 0n ? 0 : value < 0n ? -1 : 1;
  }

  compare(other: Quantity): number {
    if (this.amount !== undefined && other.amount !== undefined) {
      return compareDecimals(asDecimal(this.amount), asDecimal(other.amount));
    }
    return compareDecimals(this.toDecimal(), other.copy().toDecimal());
  }

  compareInteger(value: bigint): number {
    const decimal = this.decimal ?? asDecimal(this.amount ?? NOTHING);
    return compareDecimals(decimal, { unscaled: value, scale: 0 });
  }

  /** Quantity.ScaledValue: in units of 10^scale, away from zero; what is too large is odd as in Go. */
  scaled(scale: number): bigint {
    if (this.decimal !== undefined) return scaledDecimal(this.decimal, scale);
    const places = scale - this.#scale;
    const scaled = places > 0 ? scaleDown(this.#value, places) : scaleUp(this.#value, -places);
    return scaled.value;
  }

  /** Quantity.Mul: false when the result is no int64 any more. */
  multiply(by: bigint): boolean {
    this.cached = "";
    if (this.amount !== undefined) {
      const product = multiplyAmount(this.amount, by);
      if (product !== undefined) {
        this.amount = product;
        return true;
      }
    }
    const { unscaled, scale } = this.toDecimal();
    this.decimal = { unscaled: unscaled * by, scale };
    return int64(unscaled * by) === unscaled * by;
  }

  /** Quantity.RoundUp: false when something was lost. */
  round(scale: number): boolean {
    if (this.decimal === undefined && this.#scale >= scale) return true;
    this.cached = "";
    if (this.decimal !== undefined) {
      const rounded = roundUp(this.decimal, -scale);
      const exact = compareDecimals(rounded, this.decimal) === 0;
      this.decimal = rounded;
      return exact;
    }
    const { value, exact } = scaleDown(this.#value, scale - this.#scale);
    this.amount = { value, scale };
    return exact;
  }

  /** Quantity.String, which keeps the text. */
  text(): string {
    if (this.cached === "") this.cached = this.canonical();
    return this.cached;
  }

  /** The canonical text (Go: CanonicalizeBytes): no fraction, the largest unit. */
  canonical(): string {
    if (this.sign === 0) return "0";
    if (this.format === "BinarySI" && this.#isWholeKilobyte()) return this.#binaryText();
    const [mantissa, exponent] = this.#mantissa();
    if (this.format === "DecimalSI" || this.format === "BinarySI") {
      return `${mantissa}${DECIMAL_UNITS[(exponent + 9) / 3] ?? ""}`;
    }
    return exponent === 0 ? `${mantissa}` : `${mantissa}e${exponent}`;
  }

  get #value(): bigint {
    return this.amount?.value ?? 0n;
  }

  get #scale(): number {
    return this.amount?.scale ?? 0;
  }

  /** Binary units are for whole numbers of at least 1024. */
  #isWholeKilobyte(): boolean {
    if (this.compareInteger(-1024n) > 0 && this.compareInteger(1024n) < 0) return false;
    const decimal = this.decimal ?? asDecimal(this.amount ?? NOTHING);
    return decimal.scale <= 0 || decimal.unscaled % 10n ** BigInt(decimal.scale) === 0n;
  }

  #binaryText(): string {
    const exact = this.decimal ?? asDecimal(this.amount ?? NOTHING);
    const [mantissa, times] = removeFactors(roundUp(exact, 0).unscaled, 1024n);
    return `${mantissa}${BINARY_UNITS[times] ?? ""}`;
  }

  /** The number without zeros at its end, and a power of ten that is a multiple of three. */
  #mantissa(): [bigint, number] {
    const { unscaled, scale } = this.decimal ?? asDecimal(this.amount ?? NOTHING);
    const [rest, times] = removeFactors(unscaled, 10n);
    const exponent = times - scale;
    const extra = ((exponent % 3) + 3) % 3;
    return [rest * 10n ** BigInt(extra), exponent - extra];
  }
}

function asDecimal({ value, scale }: Amount): Decimal {
  return { unscaled: value, scale: -scale };
}

function multiplyAmount({ value, scale }: Amount, by: bigint): Amount | undefined {
  if (value === 0n) return { value, scale };
  if (by === 0n) return NOTHING;
  const product = multiply(value, by);
  if (product === undefined) return undefined;
  if (scale > 0 && !scaleUp(product, scale).exact) return undefined;
  if (scale < 0 && !scaleDown(product, -scale).exact) return undefined;
  return { value: product, scale };
}

/** Go's scaledValue, which rounds negative numbers up and lets large ones wrap. */
function scaledDecimal({ unscaled, scale }: Decimal, to: number): bigint {
  const drop = scale + to;
  if (drop === 0) return int64(unscaled);
  if (drop < 0) {
    const factor = -drop > 18 ? -MOST - 1n : 10n ** BigInt(-drop);
    return int64(int64(unscaled) * factor);
  }
  if (drop > MOST_PLACES) return unscaled > 0n ? 1n : 0n;
  const unit = 10n ** BigInt(drop);
  if (unscaled < MOST && drop < 19) {
    const value = int64(unscaled);
    return value % unit === 0n ? value / unit : value / unit + 1n;
  }
  const whole = unscaled / unit;
  const rest = unscaled % unit;
  // DivMod of a big.Int goes down to the next whole number.
  const down = rest < 0n ? whole - 1n : whole;
  return int64(rest === 0n ? down : down + 1n);
}
