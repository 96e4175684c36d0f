/** A moment as Go's time.Time has it, in UTC, over all years that Go knows. */
export interface Moment {
  /** Since 1 January of year 1; an int64. */
  readonly seconds: bigint;
  readonly nanos: number;
}

/** A moment as clocks and calendars show it. */
export interface Calendar {
  readonly year: bigint;
  /** From 1. */
  readonly month: number;
  readonly day: number;
  /** From 1. */
  readonly yearDay: number;
  /** 0 is Sunday. */
  readonly weekday: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

/** 1 January of year 1. */
export const ZERO_TIME: Moment = { seconds: 0n, nanos: 0 };
const SECONDS_TO_1970 = 62_135_596_800n;
const NANOS_PER_SECOND = 1_000_000_000n;
const SECONDS_PER_DAY = 86_400n;
/** Go computes dates in unsigned seconds from 1 March of the year minus this. */
const YEARS_BEFORE_ZERO = 292_277_022_400n;
const DAYS_FROM_MARCH = 306;
const SECONDS_TO_YEAR_ONE =
  ((YEARS_BEFORE_ZERO * 146_097n) / 400n + BigInt(DAYS_FROM_MARCH)) * SECONDS_PER_DAY;
const LONGEST = (1n << 63n) - 1n;

const RFC_3339 =
  /^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):([0-5]\d):([0-5]\d)(?:[.,](\d+))?(?:Z|([+-])([01]\d|2[0-4]):([0-5]\d))$/;
const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

export const int64 = (value: bigint): bigint => BigInt.asIntN(64, value);

/** Reads a timestamp of the API server; undefined when it is none. */
export function parseMoment(text: string): Moment | undefined {
  const parts = RFC_3339.exec(text);
  if (parts === null) return undefined;
  const [, year = "", month = "", day = "", ...rest] = parts;
  const [hour, minute, second, fraction = "", sign, zoneHour = "0", zoneMinute = "0"] = rest;
  if (Number(day) > daysIn(Number(month), Number(year))) return undefined;
  const zone = Number(zoneHour) * 3600 + Number(zoneMinute) * 60;
  const clock = Number(hour) * 3600 + Number(minute) * 60 + Number(second);
  const date = secondsOf(BigInt(year), Number(month), BigInt(day));
  return {
    seconds: date + BigInt(sign === "-" ? clock + zone : clock - zone),
    nanos: Number(fraction.slice(0, 9).padEnd(9, "0")),
  };
}

/** The days of a month, from 1. */
function daysIn(month: number, year: number): number {
  const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return (MONTH_DAYS[month - 1] ?? 0) + (month === 2 && leap ? 1 : 0);
}

/** When a date begins, in seconds since year 1; the day may lie outside the month (Go: dateToAbsDays). */
function secondsOf(year: bigint, month: number, day: bigint): bigint {
  const early = month < 3 ? 1n : 0n;
  const shifted = BigInt.asUintN(64, year - early + YEARS_BEFORE_ZERO);
  const monthDays = (153n * (BigInt(month) + 12n * early) - 457n) / 5n;
  const cycleDays = (1461n * (shifted % 100n)) / 4n + monthDays;
  const centuryDays = BigInt.asUintN(64, 146_097n * (shifted / 100n)) / 4n;
  const days = centuryDays + cycleDays + day - 1n;
  return int64(days * SECONDS_PER_DAY - SECONDS_TO_YEAR_ONE);
}

export function calendarOf({ seconds }: Moment): Calendar {
  const absolute = BigInt.asUintN(64, seconds + SECONDS_TO_YEAR_ONE);
  const clock = Number(absolute % SECONDS_PER_DAY);
  const days = absolute / SECONDS_PER_DAY;
  const quarters = 4n * days + 3n;
  const century = quarters / 146_097n;
  const inCentury = Number(quarters % 146_097n) | 3;
  const cycleYear = Math.floor(inCentury / 1461);
  const marchDay = Math.floor((inCentury % 1461) / 4);
  const fifth = 5 * marchDay + 461;
  const early = marchDay >= DAYS_FROM_MARCH ? 1 : 0;
  const leap = cycleYear % 4 === 0 && (cycleYear !== 0 || century % 4n === 0n) ? 1 : 0;
  return {
    year: int64(century * 100n - YEARS_BEFORE_ZERO) + BigInt(cycleYear + early),
    month: Math.floor(fifth / 153) - early * 12,
    day: 1 + Math.floor((fifth % 153) / 5),
    yearDay: early === 1 ? marchDay - DAYS_FROM_MARCH + 1 : marchDay + 60 + leap,
    weekday: Number((days + 3n) % 7n),
    hour: Math.floor(clock / 3600),
    minute: Math.floor(clock / 60) % 60,
    second: clock % 60,
  };
}

export function isZeroMoment(moment: Moment): boolean {
  return compareMoments(moment, ZERO_TIME) === 0;
}

/** -1, 0 or 1. */
export function compareMoments(a: Moment, b: Moment): number {
  if (a.seconds !== b.seconds) return a.seconds < b.seconds ? -1 : 1;
  return Math.sign(a.nanos - b.nanos);
}

/** Parts of a second since 1970; what is too large for an int64 wraps. */
export function unixTime({ seconds, nanos }: Moment, perSecond: bigint): bigint {
  const part = BigInt(nanos) / (NANOS_PER_SECOND / perSecond);
  return int64((seconds - SECONDS_TO_1970) * perSecond + part);
}

/** Time.Add, of nanoseconds. */
export function addDuration({ seconds, nanos }: Moment, duration: bigint): Moment {
  const sum = BigInt(nanos) + (duration % NANOS_PER_SECOND);
  const carry = sum >= NANOS_PER_SECOND ? 1n : sum < 0n ? -1n : 0n;
  const moved = seconds + duration / NANOS_PER_SECOND + carry;
  const kept = moved > LONGEST ? LONGEST : moved < -LONGEST - 1n ? -LONGEST : moved;
  return { seconds: kept, nanos: Number(sum - carry * NANOS_PER_SECOND) };
}

/** Time.AddDate: what overflows a month goes into the next. */
export function addDate(
  moment: Moment,
  by: { readonly years: bigint; readonly months: bigint; readonly days: bigint },
): Moment {
  const { year, month, day } = calendarOf(moment);
  const index = int64(BigInt(month) + by.months) - 1n;
  const monthIndex = ((index % 12n) + 12n) % 12n;
  const years = int64(year + by.years + (index - monthIndex) / 12n);
  const start = secondsOf(years, Number(monthIndex) + 1, int64(BigInt(day) + by.days));
  const clock = BigInt.asUintN(64, moment.seconds + SECONDS_TO_YEAR_ONE) % SECONDS_PER_DAY;
  return { seconds: int64(start + clock), nanos: moment.nanos };
}

/** Time.Sub in nanoseconds, which stops at the ends of an int64. */
export function timeBetween(later: Moment, earlier: Moment): bigint {
  const nanos =
    (later.seconds - earlier.seconds) * NANOS_PER_SECOND + BigInt(later.nanos - earlier.nanos);
  if (int64(nanos) === nanos) return nanos;
  return nanos < 0n ? -LONGEST - 1n : LONGEST;
}

/** Time.Truncate: down to a multiple of a duration since year 1. */
export function truncateMoment(moment: Moment, unit: bigint): Moment {
  return unit <= 0n ? moment : addDuration(moment, -remainderOf(moment, unit));
}

/** Time.Round: to the nearest multiple, the half up. */
export function roundMoment(moment: Moment, unit: bigint): Moment {
  if (unit <= 0n) return moment;
  const rest = remainderOf(moment, unit);
  return addDuration(moment, rest + rest < unit ? -rest : unit - rest);
}

function remainderOf({ seconds, nanos }: Moment, unit: bigint): bigint {
  const total = seconds * NANOS_PER_SECOND + BigInt(nanos);
  const rest = total % unit;
  return rest < 0n ? rest + unit : rest;
}
