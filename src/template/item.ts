import { encodeRune, widthAt } from "./bytes.ts";
import { quote } from "./quote.ts";
import { isPrint } from "./unicode.ts";

export type ItemType =
  | "error"
  | "bool"
  | "char"
  | "charConstant"
  | "complex"
  | "assign"
  | "declare"
  | "eof"
  | "field"
  | "identifier"
  | "leftDelim"
  | "leftParen"
  | "number"
  | "pipe"
  | "rawString"
  | "rightDelim"
  | "rightParen"
  | "space"
  | "string"
  | "text"
  | "variable"
  | "keyword"
  | "dot"
  | "nil";

/** One token; `pos` is a byte offset, `line` counts from 1. */
export interface Item {
  readonly type: ItemType;
  readonly pos: number;
  readonly value: string;
  readonly line: number;
}

/** How an item is named in Go's "unexpected ..." messages. */
export function describeItem(item: Item): string {
  if (item.type === "eof") return "EOF";
  if (item.type === "error") return item.value;
  if (item.type === "keyword" || item.type === "nil" || item.type === "dot") {
    return `<${item.value}>`;
  }
  if (item.value.length <= 10) return quote(item.value);
  return `${quote(firstRunes(item.value, 10))}...`;
}

/** `%#U`: the code point and, when printable, the character. */
export function describeRune(rune: number): string {
  if (rune < 0) return "U+FFFFFFFFFFFFFFFF";
  const code = `U+${rune.toString(16).toUpperCase().padStart(4, "0")}`;
  return isPrint(rune) ? `${code} '${encodeRune(rune)}'` : code;
}

function firstRunes(text: string, count: number): string {
  let end = 0;
  for (let n = 0; n < count && end < text.length; n++) end += widthAt(text, end);
  return text.slice(0, end);
}
