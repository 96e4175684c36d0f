import { int64 } from "./time.ts";

/** time.Duration: nanoseconds in an int64. */

const MICROSECOND = 1_000n;
const MILLISECOND = 1_000_000n;
const SECOND = 1_000_000_000n;
const LONGEST = (1n << 63n) - 1n;
const SHORTEST = -LONGEST - 1n;

/** Duration.String as a byte string: `72h3m0.5s`, below a second `1.5ms`. */
export function formatDuration(duration: bigint): string {
  const size = duration < 0n ? -duration : duration;
  const sign = duration < 0n ? "-" : "";
  if (size === 0n) return "0s";
  if (size < MICROSECOND) return `${sign}${size}ns`;
  if (size < MILLISECOND) return `${sign}${decimal(size, 3)}\xc2\xb5s`;
  if (size < SECOND) return `${sign}${decimal(size, 6)}ms`;
  const minutes = size / (60n * SECOND);
  const seconds = `${decimal(size % (60n * SECOND), 9)}s`;
  if (minutes === 0n) return sign + seconds;
  const hours = minutes / 60n;
  return `${sign}${hours === 0n ? "" : `${hours}h`}${minutes % 60n}m${seconds}`;
}

function decimal(value: bigint, places: number): string {
  const unit = 10n ** BigInt(places);
  const rest = String(value % unit)
    .padStart(places, "0")
    .replace(/0+$/, "");
  return rest === "" ? String(value / unit) : `${value / unit}.${rest}`;
}

/** Duration.Hours and its like: whole units and the rest, added as floats. */
export function durationIn(duration: bigint, unitSeconds: number): number {
  const unit = BigInt(unitSeconds) * SECOND;
  return Number(duration / unit) + Number(duration % unit) / (unitSeconds * 1e9);
}

export function truncateDuration(duration: bigint, unit: bigint): bigint {
  return unit <= 0n ? duration : duration - (duration % unit);
}

/** Duration.Round: the half away from zero; what has no place in an int64 becomes its end. */
export function roundDuration(duration: bigint, unit: bigint): bigint {
  if (unit <= 0n) return duration;
  const rest = duration % unit;
  const size = rest < 0n ? -rest : rest;
  if (size + size < unit) return duration - rest;
  const rounded = duration < 0n ? duration - unit + size : duration + unit - size;
  if (int64(rounded) === rounded) return rounded;
  return duration < 0n ? SHORTEST : LONGEST;
}

export function absoluteDuration(duration: bigint): bigint {
  if (duration >= 0n) return duration;
  return duration === SHORTEST ? LONGEST : -duration;
}
