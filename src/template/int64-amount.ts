import { int64 } from "./time.ts";

/** Arithmetic in int64 as apimachinery's resource package does it: what overflows is told, or wraps. */

/** An amount of value × 10^scale (Go: int64Amount). */
export interface Amount {
  readonly value: bigint;
  readonly scale: number;
}

export interface Result {
  readonly value: bigint;
  /** Whether nothing was lost. */
  readonly exact: boolean;
}

export const MOST = (1n << 63n) - 1n;
const LEAST = -MOST - 1n;
/** No int64 has more digits. */
const MOST_DIGITS = 19;

/** The product, or undefined when it does not fit. */
export function multiply(a: bigint, b: bigint): bigint | undefined {
  const product = a * b;
  if (a === 0n || b === 0n || a === 1n || b === 1n) return product;
  if (a === LEAST || b === LEAST) return undefined;
  return int64(product) === product ? product : undefined;
}

/** value × 10^places; where it does not fit, the odd number that Go gives. */
export function scaleUp(value: bigint, places: number): Result {
  if (places === 0 || value === 0n) return { value, exact: true };
  if (places > MOST_DIGITS) return { value: 0n, exact: false };
  const atOnce = places <= 3 || places === 6 || places === 9;
  const product = value * 10n ** BigInt(places);
  if (int64(product) === product) return { value: product, exact: true };
  return { value: atOnce && value !== LEAST ? int64(product) : 0n, exact: false };
}

/** value / 10^places, away from zero. */
export function scaleDown(value: bigint, places: number): Result {
  const unit = 10n ** BigInt(Math.min(places, MOST_DIGITS));
  const rest = value % unit;
  const whole = value / unit;
  if (rest === 0n) return { value: whole, exact: true };
  return { value: rest > 0n ? whole + 1n : whole - 1n, exact: false };
}

/** How often a factor goes into a number other than 0, and what remains. */
export function removeFactors(value: bigint, factor: bigint): [rest: bigint, times: number] {
  let rest = value;
  let times = 0;
  while (rest % factor === 0n) {
    rest /= factor;
    times++;
  }
  return [rest, times];
}
