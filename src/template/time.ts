/** A moment as Go's time.Time has it, in UTC; years before 1970 included. */
export interface Moment {
  /** Seconds since 1970. */
  readonly seconds: number;
  readonly nanos: number;
}

/** Go's zero time: 1 January of year 1. */
export const ZERO_TIME: Moment = { seconds: -62_135_596_800, nanos: 0 };

const RFC_3339 = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/;

/** Reads a timestamp of the API server; undefined when it is none. */
export function parseMoment(text: string): Moment | undefined {
  const parts = RFC_3339.exec(text);
  if (parts === null) return undefined;
  const [, date = "", time = "", fraction = "", zone = ""] = parts;
  const millis = Date.parse(`${date}T${time}${zone}`);
  if (Number.isNaN(millis)) return undefined;
  return { seconds: millis / 1000, nanos: Number(fraction.slice(0, 9).padEnd(9, "0")) };
}

/** time.Time.String in UTC. */
export function formatMoment(moment: Moment): string {
  const [date, time] = new Date(moment.seconds * 1000).toISOString().split("T");
  const fraction = String(moment.nanos).padStart(9, "0").replace(/0+$/, "");
  const clock = (time ?? "").slice(0, 8) + (fraction === "" ? "" : `.${fraction}`);
  return `${date} ${clock} +0000 UTC`;
}

export function isZeroMoment(moment: Moment): boolean {
  return moment.seconds === ZERO_TIME.seconds && moment.nanos === 0;
}
