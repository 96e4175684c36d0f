/** A decimal of any size: unscaled × 10^-scale (Go: inf.Dec). */
export interface Decimal {
  readonly unscaled: bigint;
  readonly scale: number;
}

/** Reads digits with at most one point; undefined when it is no number (Go: Dec.SetString). */
export function parseDecimal(text: string): Decimal | undefined {
  const [, sign = "", whole = "", fraction = ""] = /^([+-]?)(\d*)(?:\.(\d*))?$/.exec(text) ?? [];
  if (whole + fraction === "") return undefined;
  const unscaled = BigInt(whole + fraction);
  return { unscaled: sign === "-" ? -unscaled : unscaled, scale: fraction.length };
}

/** To so many places, away from zero (Go: Dec.Round with RoundUp). */
export function roundUp(decimal: Decimal, scale: number): Decimal {
  const shift = scale - decimal.scale;
  if (shift >= 0) return { unscaled: decimal.unscaled * 10n ** BigInt(shift), scale };
  const unit = 10n ** BigInt(-shift);
  const rest = decimal.unscaled % unit;
  const whole = decimal.unscaled / unit;
  return { unscaled: rest === 0n ? whole : rest > 0n ? whole + 1n : whole - 1n, scale };
}

/** -1, 0 or 1. */
export function compareDecimals(a: Decimal, b: Decimal): number {
  const scale = Math.max(a.scale, b.scale);
  const left = a.unscaled * 10n ** BigInt(scale - a.scale);
  const right = b.unscaled * 10n ** BigInt(scale - b.scale);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Dec.String: all digits, with zeros to the point. */
export function formatDecimal({ unscaled, scale }: Decimal): string {
  if (scale <= 0) return unscaled === 0n ? "0" : `${unscaled}${"0".repeat(-scale)}`;
  const sign = unscaled < 0n ? "-" : "";
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, "0");
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}
