import { encodeRune, runeAt, widthAt } from "./bytes.ts";
import { isPrint } from "./unicode.ts";

/** Go's strconv quoting on byte strings. */

const ESCAPES: Readonly<Record<number, string>> = {
  7: "\\a",
  8: "\\b",
  9: "\\t",
  10: "\\n",
  11: "\\v",
  12: "\\f",
  13: "\\r",
};
const UNESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
};

export interface QuoteOptions {
  readonly quote?: '"' | "'";
  readonly ascii?: boolean;
}

/** strconv.Quote and QuoteToASCII. */
export function quote(bytes: string, options: QuoteOptions = {}): string {
  const mark = options.quote ?? '"';
  let out = mark as string;
  for (let at = 0; at < bytes.length;) {
    const width = widthAt(bytes, at);
    const rune = runeAt(bytes, at);
    if (width === 1 && rune === 0xfffd) out += "\\x" + hex(bytes.charCodeAt(at), 2);
    else out += quoteRune(rune, mark, options.ascii ?? false);
    at += width;
  }
  return out + mark;
}

/** strconv.CanBackquote. */
export function canBackquote(bytes: string): boolean {
  for (let at = 0; at < bytes.length;) {
    const width = widthAt(bytes, at);
    const rune = runeAt(bytes, at);
    if (width > 1 ? rune === 0xfeff : !plainByte(rune)) return false;
    at += width;
  }
  return true;
}

/** strconv.Unquote of a double-quoted or raw string; undefined when it is not well formed. */
export function unquote(text: string): string | undefined {
  const mark = text[0];
  const body = text.slice(1, -1);
  if (text.length < 2 || mark !== text[text.length - 1]) return undefined;
  if (mark === "`") return body.includes("`") ? undefined : body.replaceAll("\r", "");
  let out = "";
  for (let at = 0; at < body.length;) {
    const char = unquoteChar(body, at, '"');
    if (char === undefined || char.end > body.length) return undefined;
    out += char.value;
    at = char.end;
  }
  return out;
}

export interface UnquotedChar {
  /** The bytes it stands for. */
  readonly value: string;
  readonly rune: number;
  readonly end: number;
}

/** strconv.UnquoteChar at byte `at`; undefined when it is a syntax error. */
export function unquoteChar(body: string, at: number, mark: string): UnquotedChar | undefined {
  const first = body[at];
  if (first === undefined || first === mark || first === "\n") return undefined;
  if (first !== "\\") {
    const end = at + widthAt(body, at);
    return { value: encodeRune(runeAt(body, at)), rune: runeAt(body, at), end };
  }
  const kind = body[at + 1];
  if (kind === undefined) return undefined;
  const simple = kind === mark ? kind : UNESCAPES[kind];
  if (simple !== undefined) return { value: simple, rune: simple.charCodeAt(0), end: at + 2 };
  return numericEscape(body, at, kind);
}

function numericEscape(body: string, at: number, kind: string): UnquotedChar | undefined {
  const digits = { x: 2, u: 4, U: 8 }[kind];
  if (digits !== undefined) {
    const text = body.slice(at + 2, at + 2 + digits);
    if (text.length !== digits || !/^[0-9a-fA-F]+$/.test(text)) return undefined;
    const rune = Number.parseInt(text, 16);
    const end = at + 2 + digits;
    if (kind === "x") return { value: String.fromCharCode(rune), rune, end };
    if (rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff)) return undefined;
    return { value: encodeRune(rune), rune, end };
  }
  const octal = body.slice(at + 1, at + 4);
  if (!/^[0-7]{3}$/.test(octal)) return undefined;
  const byte = Number.parseInt(octal, 8);
  if (byte > 255) return undefined;
  return { value: String.fromCharCode(byte), rune: byte, end: at + 4 };
}

function quoteRune(rune: number, mark: string, ascii: boolean): string {
  if (rune === mark.charCodeAt(0) || rune === 0x5c) return "\\" + String.fromCharCode(rune);
  if (ascii ? rune < 0x80 && isPrint(rune) : isPrint(rune)) return encodeRune(rune);
  const simple = ESCAPES[rune];
  if (simple !== undefined) return simple;
  if (rune < 0x20 || rune === 0x7f) return "\\x" + hex(rune, 2);
  return rune < 0x10000 ? "\\u" + hex(rune, 4) : "\\U" + hex(rune, 8);
}

function plainByte(rune: number): boolean {
  return rune !== 0xfffd && (rune >= 0x20 || rune === 9) && rune !== 0x60 && rune !== 0x7f;
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
