import type { Decimal } from "./decimal.ts";
import type { Quantity } from "./quantity.ts";

/** Quantity.AsApproximateFloat64: one multiplication of floats. */
export function approximateFloat({ amount, decimal }: Quantity): number {
  const base = Number(decimal?.unscaled ?? amount?.value ?? 0n);
  const exponent = decimal === undefined ? (amount?.scale ?? 0) : -decimal.scale;
  return exponent === 0 ? base : base * powerOfTen(exponent);
}

/** math.Pow10, which multiplies two table entries. */
function powerOfTen(exponent: number): number {
  if (exponent > 308) return Infinity;
  if (exponent < -323) return 0;
  const size = Math.abs(exponent);
  const small = Number(`1e${size % 32}`);
  const large = Math.floor(size / 32) * 32;
  return exponent < 0 ? Number(`1e-${large}`) / small : Number(`1e${large}`) * small;
}

/** The precision that big.Float gives an integer, unless that has more bits. */
const LEAST_BITS = 64;

/** Quantity.AsFloat64Slow: a quotient of so many bits, then rounded to a float. */
export function slowFloat({ unscaled, scale }: Decimal): number {
  if (scale <= 0) return Number(unscaled * 10n ** BigInt(-scale));
  const size = unscaled < 0n ? -unscaled : unscaled;
  if (size === 0n) return 0;
  const divisor = 10n ** BigInt(scale);
  const bits = Math.max(LEAST_BITS, bitsOf(size));
  // Two bits more than wanted, or one; the last also says whether anything is left.
  const shift = bits + 2 - bitsOf(size) + bitsOf(divisor);
  const quotient = ((size << BigInt(shift)) / divisor) | 1n;
  const rounded = roundToBits(quotient, bits);
  // No float holds all bits of a long number, nor their power of two.
  const cut = Math.max(0, bitsOf(rounded) - LEAST_BITS);
  const rest = BigInt.asUintN(cut, rounded) === 0n ? 0n : 1n;
  const float = Number((rounded >> BigInt(cut)) | rest) * 2 ** (cut - shift);
  return unscaled < 0n ? -float : float;
}

/** To the nearest number of so many bits, the half to the even one. */
function roundToBits(value: bigint, bits: number): bigint {
  const drop = BigInt(bitsOf(value) - bits);
  const unit = 1n << drop;
  const rest = value % unit;
  const down = value - rest;
  const isUp = rest + rest > unit || (rest + rest === unit && (down >> drop) % 2n === 1n);
  return isUp ? down + unit : down;
}

function bitsOf(value: bigint): number {
  return value.toString(2).length;
}
