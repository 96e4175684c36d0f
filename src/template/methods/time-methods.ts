import { CallFailure } from "../exec-failure.ts";
import {
  absoluteDuration,
  durationIn,
  formatDuration,
  roundDuration,
  truncateDuration,
} from "../duration.ts";
import { momentOf } from "../special.ts";
import {
  MONTHS,
  RFC_3339_LAYOUT,
  WEEKDAYS,
  binaryOfMoment,
  formatStrict,
  formatTime,
  goStringOfMoment,
} from "../time-format.ts";
import type { Calendar, Moment } from "../time.ts";
import {
  ZERO_TIME,
  addDate,
  addDuration,
  calendarOf,
  compareMoments,
  isZeroMoment,
  roundMoment,
  timeBetween,
  truncateMoment,
  unixTime,
} from "../time.ts";
import { goType } from "../types.ts";
import type { Maybe } from "../value.ts";
import { Pointer, Value, boolValue, floatValue, intValue, stringValue } from "../value.ts";
import type { MethodBody, MethodTable } from "./body.ts";
import {
  argument,
  bytesOf,
  bytesValue,
  cborText,
  isNilPointer,
  stringsValue,
  target,
  textBytes,
} from "./body.ts";

const TIME = goType("time.Time");
const KUBERNETES_TIME = goType("meta.Time");
const DURATION = goType("time.Duration");
const MONTH = goType("time.Month");
const WEEKDAY = goType("time.Weekday");
const INT64 = goType("int64");
/** The one *time.Location there is: API times are read into UTC. */
const UTC = new Value(goType("*time.Location"), new Pointer({}, 0, { name: "UTC" }));

const timeValue = (moment: Moment): Value => new Value(TIME, moment);
const durationValue = (nanos: bigint): Value => new Value(DURATION, nanos);
const int64Value = (value: bigint): Value => new Value(INT64, value);

/** A method that needs only the moment. */
function read(body: (moment: Moment, args: readonly Maybe[]) => Maybe): MethodBody {
  return (receiver, args) => body(momentOf(target(receiver).raw), args);
}

function part(show: (at: Calendar) => number | bigint): MethodBody {
  return read((moment) => intValue(BigInt(show(calendarOf(moment)))));
}

const momentArgument = (args: readonly Maybe[]): Moment => momentOf(target(argument(args, 0)).raw);
const integerArgument = (args: readonly Maybe[], index = 0): bigint =>
  argument(args, index).raw as bigint;
const textArgument = (args: readonly Maybe[], index = 0): string =>
  argument(args, index).raw as string;

/** Methods of time.Time, which metav1.Time has too unless it has its own. */
const TIME_METHODS: MethodTable = {
  Add: read((moment, args) => timeValue(addDuration(moment, integerArgument(args)))),
  AddDate: read((moment, args) => {
    const [years, months, days] = [0, 1, 2].map((index) => integerArgument(args, index));
    return timeValue(
      addDate(moment, { years: years ?? 0n, months: months ?? 0n, days: days ?? 0n }),
    );
  }),
  After: read((moment, args) => boolValue(compareMoments(moment, momentArgument(args)) > 0)),
  Before: read((moment, args) => boolValue(compareMoments(moment, momentArgument(args)) < 0)),
  Equal: read((moment, args) => boolValue(compareMoments(moment, momentArgument(args)) === 0)),
  Compare: read((moment, args) => intValue(BigInt(compareMoments(moment, momentArgument(args))))),
  Sub: read((moment, args) => durationValue(timeBetween(moment, momentArgument(args)))),
  Round: read((moment, args) => timeValue(roundMoment(moment, integerArgument(args)))),
  Truncate: read((moment, args) => timeValue(truncateMoment(moment, integerArgument(args)))),
  UTC: read(timeValue),
  Local: read(timeValue),
  In: read((moment, args) => {
    if (!isNilPointer(args[0])) return timeValue(moment);
    throw new CallFailure("time: missing Location in call to Time.In");
  }),
  Location: read(() => UTC),
  IsDST: read(() => boolValue(false)),
  IsZero: read((moment) => boolValue(isZeroMoment(moment))),
  Unix: read((moment) => int64Value(unixTime(moment, 1n))),
  UnixMilli: read((moment) => int64Value(unixTime(moment, 1_000n))),
  UnixMicro: read((moment) => int64Value(unixTime(moment, 1_000_000n))),
  UnixNano: read((moment) => int64Value(unixTime(moment, 1_000_000_000n))),
  Year: part(({ year }) => year),
  YearDay: part(({ yearDay }) => yearDay),
  Day: part(({ day }) => day),
  Hour: part(({ hour }) => hour),
  Minute: part(({ minute }) => minute),
  Second: part(({ second }) => second),
  Month: read((moment) => new Value(MONTH, BigInt(calendarOf(moment).month))),
  Weekday: read((moment) => new Value(WEEKDAY, BigInt(calendarOf(moment).weekday))),
  Nanosecond: read(({ nanos }) => intValue(BigInt(nanos))),
  Format: read((moment, args) => stringValue(formatTime(moment, textArgument(args)))),
  GoString: read((moment) => stringValue(goStringOfMoment(moment))),
  AppendFormat: read((moment, args) => {
    return append(args, formatTime(moment, textArgument(args, 1)));
  }),
  MarshalJSON: read((moment) => textBytes(`"${strictly(moment, "MarshalJSON")}"`)),
  MarshalText: read((moment) => textBytes(strictly(moment, "MarshalText"))),
  AppendText: read((moment, args) => append(args, strictly(moment, "AppendText"))),
  MarshalBinary: read((moment) => bytesValue(binaryOfMoment(moment))),
  GobEncode: read((moment) => bytesValue(binaryOfMoment(moment))),
  AppendBinary: read((moment, args) => {
    return bytesValue([...bytesOf(argument(args, 0)), ...binaryOfMoment(moment)]);
  }),
};

/** What metav1.Time has of its own; on a nil pointer some of them work. */
const KUBERNETES_TIME_METHODS: MethodTable = {
  IsZero: (receiver) => boolValue(isUnset(receiver)),
  Before: (receiver, args) => {
    const both = !isNilPointer(receiver) && !isNilPointer(args[0]);
    return boolValue(both && compareWith(receiver, args) < 0);
  },
  Equal: (receiver, args) => {
    const nils = [receiver, args[0]].filter(isNilPointer).length;
    return boolValue(nils === 0 ? compareWith(receiver, args) === 0 : nils === 2);
  },
  Rfc3339Copy: read((moment) => {
    const { year } = calendarOf(moment);
    const copied = year < 0n || year > 9999n ? ZERO_TIME : { ...moment, nanos: 0 };
    return new Value(KUBERNETES_TIME, copied);
  }),
  ProtoTime: (receiver) => {
    const moment = isNilPointer(receiver) ? undefined : momentOf(target(receiver).raw);
    const seconds = moment === undefined ? 0 : Number(unixTime(moment, 1n));
    return new Value(goType("*meta.Timestamp"), new Pointer({}, 0, { seconds, nanos: 0 }));
  },
  MarshalJSON: (receiver) => {
    return textBytes(isUnset(receiver) ? "null" : `"${rfc3339(receiver)}"`);
  },
  MarshalCBOR: (receiver) => (isUnset(receiver) ? bytesValue([0xf6]) : cborText(rfc3339(receiver))),
  MarshalQueryParameter: (receiver) => stringValue(isUnset(receiver) ? "" : rfc3339(receiver)),
  ToUnstructured: (receiver) => (isUnset(receiver) ? undefined : stringValue(rfc3339(receiver))),
  OpenAPISchemaType: () => stringsValue("string"),
  OpenAPISchemaFormat: () => stringValue("date-time"),
};

/** The methods of metav1.Time that a nil pointer passes on to the time.Time inside. */
export function isPromotedTimeMethod(name: string): boolean {
  return KUBERNETES_TIME_METHODS[name] === undefined && TIME.methods.has(name);
}

const duration = (body: (nanos: bigint, args: readonly Maybe[]) => Maybe): MethodBody => {
  return (receiver, args) => body(target(receiver).raw as bigint, args);
};

const DURATION_METHODS: MethodTable = {
  Abs: duration((nanos) => durationValue(absoluteDuration(nanos))),
  Hours: duration((nanos) => floatValue(durationIn(nanos, 3600))),
  Minutes: duration((nanos) => floatValue(durationIn(nanos, 60))),
  Seconds: duration((nanos) => floatValue(durationIn(nanos, 1))),
  Milliseconds: duration((nanos) => int64Value(nanos / 1_000_000n)),
  Microseconds: duration((nanos) => int64Value(nanos / 1_000n)),
  Nanoseconds: duration((nanos) => int64Value(nanos)),
  Round: duration((nanos, args) => durationValue(roundDuration(nanos, integerArgument(args)))),
  Truncate: duration((nanos, args) =>
    durationValue(truncateDuration(nanos, integerArgument(args))),
  ),
};

export const TIME_TABLES: Readonly<Record<string, MethodTable>> = {
  "time.Time": TIME_METHODS,
  "meta.Time": { ...TIME_METHODS, ...KUBERNETES_TIME_METHODS },
  "time.Duration": DURATION_METHODS,
};

/** String of the named integers of package time; undefined for any other type. */
export function timeUnitText(key: string, raw: bigint): string | undefined {
  switch (key) {
    case "time.Duration":
      return formatDuration(raw);
    case "time.Month":
      return named(MONTHS, raw - 1n) ?? `%!Month(${BigInt.asUintN(64, raw)})`;
    case "time.Weekday":
      return named(WEEKDAYS, raw) ?? `%!Weekday(${BigInt.asUintN(64, raw)})`;
    default:
      return undefined;
  }
}

function named(names: readonly string[], index: bigint): string | undefined {
  return index >= 0n && index < BigInt(names.length) ? names[Number(index)] : undefined;
}

function isUnset(receiver: Value): boolean {
  return isNilPointer(receiver) || isZeroMoment(momentOf(target(receiver).raw));
}

function compareWith(receiver: Value, args: readonly Maybe[]): number {
  return compareMoments(momentOf(target(receiver).raw), momentArgument(args));
}

function rfc3339(receiver: Value): string {
  return formatTime(momentOf(target(receiver).raw), RFC_3339_LAYOUT);
}

function strictly(moment: Moment, method: string): string {
  const text = formatStrict(moment);
  if (text !== undefined) return text;
  throw new CallFailure(`Time.${method}: year outside of range [0,9999]`);
}

function append(args: readonly Maybe[], text: string): Value {
  const added = Array.from(text, (char) => char.charCodeAt(0));
  return bytesValue([...bytesOf(argument(args, 0)), ...added]);
}
