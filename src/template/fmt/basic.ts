import type { Budget } from "../budget.ts";
import { encodeRune, widthAt } from "../bytes.ts";
import { canBackquote, quote } from "../quote.ts";
import { isPrint } from "../unicode.ts";
import type { Flags } from "./flags.ts";
import { pad, padWithSpaces } from "./flags.ts";
import { formatFloat } from "./float.ts";

/** Formatting of basic values (Go: fmt/format.go); undefined stands for a verb the value does not have. */

const MAX_RUNE = 0x10ffffn;

export function formatBool(value: boolean, verb: string, flags: Flags, budget: Budget) {
  return verb === "t" || verb === "v" ? pad(String(value), flags, budget) : undefined;
}

export function formatString(text: string, verb: string, flags: Flags, budget: Budget) {
  switch (verb) {
    case "v":
      return flags.sharpV ? quoted(text, flags, budget) : pad(truncate(text, flags), flags, budget);
    case "s":
      return pad(truncate(text, flags), flags, budget);
    case "q":
      return quoted(text, flags, budget);
    case "x":
    case "X":
      return hexBytes(text, verb, flags, budget);
    default:
      return undefined;
  }
}

/** `signed` is false for Go's unsigned kinds. */
export function formatInteger(
  value: bigint,
  verb: string,
  flags: Flags,
  options: { budget: Budget; signed: boolean },
): string | undefined {
  const { budget, signed } = options;
  switch (verb) {
    case "v":
      if (flags.sharpV && !signed) {
        return integer(value, 16, "v", { flags: { ...flags, sharp: true }, budget });
      }
      return integer(value, 10, verb, { flags, budget });
    case "d":
      return integer(value, 10, verb, { flags, budget });
    case "b":
      return integer(value, 2, verb, { flags, budget });
    case "o":
    case "O":
      return integer(value, 8, verb, { flags, budget });
    case "x":
    case "X":
      return integer(value, 16, verb, { flags, budget });
    case "c":
      return pad(encodeRune(runeOf(value)), flags, budget);
    case "q":
      return pad(
        quote(encodeRune(runeOf(value)), { quote: "'", ascii: flags.plus }),
        flags,
        budget,
      );
    case "U":
      return unicode(value, flags, budget);
    default:
      return undefined;
  }
}

export function formatFloatVerb(value: number, verb: string, flags: Flags, budget: Budget) {
  switch (verb) {
    case "v":
      return float(value, "g", -1, { flags, budget });
    case "b":
    case "g":
    case "G":
    case "x":
    case "X":
      return float(value, verb, -1, { flags, budget });
    case "f":
    case "e":
    case "E":
      return float(value, verb, 6, { flags, budget });
    case "F":
      return float(value, "f", 6, { flags, budget });
    default:
      return undefined;
  }
}

interface Output {
  readonly flags: Flags;
  readonly budget: Budget;
}

/** Cuts to as many runes as the precision says. */
function truncate(text: string, flags: Flags): string {
  if (flags.precision === undefined) return text;
  let end = 0;
  for (let n = 0; n < flags.precision && end < text.length; n++) end += widthAt(text, end);
  return text.slice(0, end);
}

function quoted(text: string, flags: Flags, budget: Budget): string {
  const cut = truncate(text, flags);
  budget.spend(cut.length);
  if (flags.sharp && canBackquote(cut)) return pad("`" + cut + "`", flags, budget);
  return pad(quote(cut, { ascii: flags.plus }), flags, budget);
}

function hexBytes(text: string, verb: "x" | "X", flags: Flags, budget: Budget): string {
  const count = Math.min(flags.precision ?? text.length, text.length);
  budget.spend(count * 5);
  const prefix = flags.sharp ? `0${verb}` : "";
  const bytes: string[] = [];
  for (let at = 0; at < count; at++) {
    const digits = text.charCodeAt(at).toString(16).padStart(2, "0");
    bytes.push(verb === "X" ? digits.toUpperCase() : digits);
  }
  const body = flags.space ? bytes.map((byte) => prefix + byte).join(" ") : prefix + bytes.join("");
  return pad(count === 0 ? "" : body, flags, budget);
}

function integer(value: bigint, base: number, verb: string, output: Output): string {
  const { flags, budget } = output;
  const negative = value < 0n;
  const size = negative ? -value : value;
  if (flags.precision === 0 && size === 0n) return padWithSpaces("", flags, budget);
  const sign = negative ? "-" : signOf(flags);
  let least = flags.precision ?? 0;
  if (flags.precision === undefined && flags.zero && !flags.minus && flags.width !== undefined) {
    least = flags.width - sign.length;
  }
  budget.spend(least);
  let digits = size.toString(base).padStart(least, "0");
  if (verb === "X") digits = digits.toUpperCase();
  digits = prefixed(digits, base, verb, flags);
  return padWithSpaces(sign + digits, flags, budget);
}

/** What stands before a number that is not negative. */
function signOf(flags: Flags): string {
  if (flags.plus) return "+";
  return flags.space ? " " : "";
}

function prefixed(digits: string, base: number, verb: string, flags: Flags): string {
  let out = digits;
  if (flags.sharp && base === 2) out = `0b${out}`;
  if (flags.sharp && base === 8 && !out.startsWith("0")) out = `0${out}`;
  if (flags.sharp && base === 16) out = `${verb === "X" ? "0X" : "0x"}${out}`;
  return verb === "O" ? `0o${out}` : out;
}

/** A rune as %c and %q see it; negative numbers are huge unsigned ones. */
function runeOf(value: bigint): number {
  return value < 0n || value > MAX_RUNE ? 0xfffd : Number(value);
}

function unicode(value: bigint, flags: Flags, budget: Budget): string {
  const code = BigInt.asUintN(64, value);
  const digits = Math.max(flags.precision ?? 4, 4);
  budget.spend(digits);
  let text = `U+${code.toString(16).toUpperCase().padStart(digits, "0")}`;
  if (flags.sharp && code <= MAX_RUNE && isPrint(Number(code))) {
    text += ` '${encodeRune(Number(code))}'`;
  }
  return padWithSpaces(text, flags, budget);
}

function float(value: number, verb: string, standard: number, output: Output): string {
  const { flags, budget } = output;
  const precision = flags.precision ?? standard;
  budget.spend(Math.max(precision, 0) + 330);
  let text = formatFloat(value, verb, precision);
  const signed = text.startsWith("-") || text.startsWith("+");
  const negative = text.startsWith("-");
  if (signed) text = text.slice(1);
  if (flags.sharp && verb !== "b") text = sharpFloat(text, verb, precision);
  const sign = negative ? "-" : signOf(flags);
  if (flags.zero && !flags.minus && (flags.width ?? 0) > text.length + sign.length) {
    return sign + pad(text, { ...flags, width: (flags.width ?? 0) - sign.length }, budget);
  }
  return pad(sign + text, flags, budget);
}

/** `%#g` and the like: always a decimal point, and the zeros that %g drops. */
function sharpFloat(text: string, verb: string, precision: number): string {
  const hex = verb === "x" || verb === "X";
  const split = text.search(hex ? /[pP]/ : /[eE]/);
  const body = split < 0 ? text : text.slice(0, split);
  const tail = split < 0 ? "" : text.slice(split);
  let missing = 0;
  if (verb === "g" || verb === "G" || verb === "x") missing = precision === -1 ? 6 : precision;
  const digits = body.replace(".", "");
  missing -= digits.replace(/^0+/, "").length;
  if (!body.includes(".") && body === "0") missing--;
  const point = body.includes(".") ? "" : ".";
  return body + point + "0".repeat(Math.max(missing, 0)) + tail;
}
