import type { Complex, NumberNode } from "./ast.ts";
import { parseFloatText, underscoresFit } from "./float-text.ts";
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
    if (imaginary !== undefined && Number.isFinite(imaginary))
      return { ...base, ...simplify({ re: 0, im: imaginary }) };
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
  if (float === undefined || !Number.isFinite(float))
    return `illegal number syntax: ${quote(text)}`;
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

/** `1+2i` as fmt.Sscan takes it apart, which is stricter than the lexer. */
function readComplex(text: string, base: Base): NumberNode | string {
  const middle = floatEnd(text, 0);
  const end = floatEnd(text, middle + 1);
  if (!/[+-]/.test(text.charAt(middle)) || text[end] !== "i") {
    return "syntax error scanning complex number";
  }
  const re = readPart(text.slice(0, middle));
  if (typeof re === "string") return re;
  const im = readPart(text.slice(middle, end));
  return typeof im === "string" ? im : { ...base, ...simplify({ re, im }) };
}

/** An "i" right after a sign belongs to the number, as if it were "Inf". */
function floatEnd(text: string, at: number): number {
  const forms = [
    "0x[\\da-f_]*\\.?[\\da-f_]*(?:p[+-]?[\\d_]*)?",
    "[\\d_]*\\.?[\\d_]*(?:e[+-]?[\\d_]*)?",
  ];
  const float = new RegExp(`[+-]?i?(?:${forms.join("|")})`, "iy");
  float.lastIndex = at;
  float.exec(text);
  return float.lastIndex;
}

function readPart(text: string): number | string {
  const value = parseFloatText(text);
  if (value !== undefined && Number.isFinite(value)) return value;
  const reason = value === undefined ? "invalid syntax" : "value out of range";
  return `strconv.ParseFloat: parsing ${quote(text)}: ${reason}`;
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
