import { runeCount } from "../bytes.ts";
import type { Budget } from "../budget.ts";

/** The state of one printf directive (Go: fmt.fmt). */
export interface Flags {
  width: number | undefined;
  precision: number | undefined;
  minus: boolean;
  plus: boolean;
  sharp: boolean;
  space: boolean;
  zero: boolean;
  /** `%+v`: field names. */
  plusV: boolean;
  /** `%#v`: Go syntax. */
  sharpV: boolean;
}

export function noFlags(): Flags {
  return {
    width: undefined,
    precision: undefined,
    minus: false,
    plus: false,
    sharp: false,
    space: false,
    zero: false,
    plusV: false,
    sharpV: false,
  };
}

/** Pads a byte string to the width, which counts runes; zeros go to the left only. */
export function pad(text: string, flags: Flags, budget: Budget): string {
  const missing = (flags.width ?? 0) - runeCount(text);
  if (missing <= 0) return text;
  budget.spend(missing);
  if (flags.minus) return text + " ".repeat(missing);
  return (flags.zero ? "0" : " ").repeat(missing) + text;
}

/** Padding where a zero flag does not count. */
export function padWithSpaces(text: string, flags: Flags, budget: Budget): string {
  return pad(text, { ...flags, zero: false }, budget);
}
