import type { Complex, NumberNode } from "./ast.ts";
import { quote, unquoteChar } from "./quote.ts";

const INT_MAX = (1n << 63n) - 1n;
const INT_MIN = -(1n << 63n);
const UINT_MAX = (1n << 64n) - 1n;
const TWO_63 = 2 ** 63;
const TWO_64 = 2 ** 64;

export type NumberForm = "number" | "complex" | "charConstant";

/**
 * Reads a number literal under every type that can hold it (Go: parse.NumberNode).
 * Gives the words of Go's error instead of a node when it is malformed.
 */
export function readNumber(text: string, pos: number, form: NumberForm): NumberNode | string {
  const base = { kind: "number", pos, text } as const;
  if (form === "charConstant") return readChar(text, base);
  if (form === "complex") return readComplex(text, base);
  if (text.endsWith("i")) {
    const imaginary = parseFloatText(text.slice(0, -1));
    if (imaginary !== undefined) return { ...base, ...simplify({ re: 0, im: imaginary }) };
  }
  const integer = parseIntegerText(text);
  if (integer !== undefined) {
    const signed = text.startsWith("+") || text.startsWith("-");
    const int = integer >= INT_MIN && integer <= INT_MAX ? { int: integer } : {};
    const uint = integer === 0n || (!signed && integer <= UINT_MAX) ? { uint: integer } : {};
    if ("int" in int || "uint" in uint) {
      return { ...base, ...int, ...uint, float: Number(integer) };
    }
  }
  return readFloat(text, base);
}

type Base = Pick<NumberNode, "kind" | "pos" | "text">;

function readFloat(text: string, base: Base): NumberNode | string {
  const float = parseFloatText(text);
  if (float === undefined) return `illegal number syntax: ${quote(text)}`;
  if (!/[.eEpP]/.test(text)) return `integer overflow: ${quote(text)}`;
  return { ...base, float, ...integersOf(float) };
}

function readChar(text: string, base: Base): NumberNode | string {
  const char = unquoteChar(text, 1, "'");
  if (char === undefined) return "invalid syntax";
  if (text.slice(char.end) !== "'") return `malformed character constant: ${text}`;
  const rune = BigInt(char.rune);
  return { ...base, int: rune, uint: rune, float: char.rune };
}

/** Decimal parts only: what Go's fmt.Sscan reads beyond that nobody writes in a template. */
function readComplex(text: string, base: Base): NumberNode | string {
  const parts = /^([+-]?[\d.]+(?:e[+-]?\d+)?)([+-][\d.]+(?:e[+-]?\d+)?)i$/i.exec(text);
  const re = parseFloatText(parts?.[1] ?? "");
  const im = parseFloatText(parts?.[2] ?? "");
  if (re === undefined || im === undefined) return `complex constant ${text} is not supported`;
  return { ...base, ...simplify({ re, im }) };
}

function simplify(complex: Complex): Partial<NumberNode> {
  if (complex.im !== 0) return { complex };
  return { complex, float: complex.re, ...integersOf(complex.re) };
}

function integersOf(float: number): Partial<NumberNode> {
  if (!Number.isInteger(float)) return {};
  const value = BigInt(float);
  return {
    ...(float >= -TWO_63 && float < TWO_63 ? { int: value } : {}),
    ...(float >= 0 && float < TWO_64 ? { uint: value } : {}),
  };
}

/** strconv.ParseInt(text, 0, unlimited): undefined when it is no integer. */
function parseIntegerText(text: string): bigint | undefined {
  const sign = /^[+-]/.test(text) ? 1 : 0;
  const digits = text.slice(sign);
  if (digits === "" || !underscoresFit(text)) return undefined;
  const plain = digits.replaceAll("_", "").toLowerCase();
  let literal: string | undefined;
  if (/^0x[\da-f]+$|^0b[01]+$|^0o[0-7]+$/.test(plain)) literal = plain;
  else if (/^0[0-7]*$/.test(plain)) literal = plain === "0" ? "0" : `0o${plain.slice(1)}`;
  else if (/^[1-9]\d*$/.test(plain)) literal = plain;
  if (literal === undefined) return undefined;
  const value = BigInt(literal);
  return text.startsWith("-") ? -value : value;
}

/** strconv.ParseFloat of what the lexer lets through; undefined on bad syntax or overflow. */
export function parseFloatText(text: string): number | undefined {
  if (!underscoresFit(text)) return undefined;
  const plain = text.replaceAll("_", "").toLowerCase();
  if (/^[+-]?0x/.test(plain)) return parseHexFloat(plain);
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(plain)) return undefined;
  const value = Number(plain);
  return Number.isFinite(value) ? value : undefined;
}

function parseHexFloat(text: string): number | undefined {
  const parts = /^([+-]?)0x([\da-f]*)\.?([\da-f]*)p([+-]?\d+)$/.exec(text);
  if (parts === null) return undefined;
  const [, sign = "", whole = "", fraction = "", exponent = ""] = parts;
  if (whole + fraction === "") return undefined;
  const mantissa = BigInt(`0x${whole}${fraction}`);
  const value = scaleExactly(mantissa, Number(exponent) - 4 * fraction.length);
  if (!Number.isFinite(value)) return undefined;
  return sign === "-" ? -value : value;
}

/** mantissa × 2^exponent, rounded once to the nearest double, ties to even. */
function scaleExactly(mantissa: bigint, exponent: number): number {
  if (mantissa === 0n) return 0;
  const bits = mantissa.toString(2).length;
  if (bits + exponent > 1024) return Number.POSITIVE_INFINITY;
  if (bits + exponent < -1080) return 0;
  // BigInt → Number rounds to nearest even at 53 bits; subnormals have fewer.
  const kept = Math.min(53, bits + exponent + 1074);
  const drop = bits - kept;
  if (drop <= 0) return Number(mantissa) * 2 ** exponent;
  const half = 1n << BigInt(drop - 1);
  const low = mantissa & ((1n << BigInt(drop)) - 1n);
  let high = mantissa >> BigInt(drop);
  if (low > half || (low === half && (high & 1n) === 1n)) high += 1n;
  const scale = exponent + drop;
  return scale < -1022
    ? Number(high) * 2 ** -1022 * 2 ** (scale + 1022)
    : Number(high) * 2 ** scale;
}

/** strconv's rule: an underscore stands between digits or after a base prefix. */
function underscoresFit(text: string): boolean {
  if (!text.includes("_")) return true;
  const digits = text.replace(/^[+-]/, "");
  const prefixed = /^0[box]/i.test(digits);
  // Without a base prefix, ParseInt takes underscores too, since its base is 0.
  const body = prefixed ? `0${digits.slice(2)}` : digits;
  const digit = /^0x/i.test(digits) ? "[\\da-f]" : "\\d";
  return !new RegExp(`(?<!${digit})_|_(?!${digit})`, "i").test(body);
}
