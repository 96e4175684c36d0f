import { runeAt, widthAt } from "./bytes.ts";
import { describeRune } from "./item.ts";
import type { Item, ItemType } from "./item.ts";
import { quote } from "./quote.ts";
import { isDigit, isSpace, isSpaceAt, isTrim, numberEnd } from "./scan.ts";
import { isAlphaNumeric, isPrint } from "./unicode.ts";

const KEYWORDS = new Set(
  "block break continue define else end if range nil template with".split(" "),
);
const EOF = -1;

/** Splits a template (a byte string) into items, one call at a time, as Go's text/template does. */
export class Lexer {
  #input: string;
  #pos = 0;
  #start = 0;
  #line = 1;
  #startLine = 1;
  #parens = 0;
  #inAction = false;

  constructor(input: string) {
    this.#input = input;
  }

  next(): Item {
    return this.#inAction ? this.#action() : this.#text();
  }

  #text(): Item {
    for (;;) {
      const found = this.#input.indexOf("{{", this.#pos);
      if (found < 0) {
        this.#pos = this.#input.length;
        if (this.#pos > this.#start) return this.#item("text", true);
        return this.#item("eof");
      }
      const item = this.#textBefore(found);
      if (item !== undefined) return item;
      const left = this.#leftDelim();
      if (left !== undefined) return left;
    }
  }

  /** The text before the delimiter at `found`, trimmed when that says so; undefined when empty. */
  #textBefore(found: number): Item | undefined {
    let end = found;
    if (isTrim(this.#input, found + 2, "left")) {
      while (end > this.#start && isSpaceAt(this.#input, end - 1)) end--;
    }
    this.#pos = end;
    const item = end > this.#start ? this.#item("text", true) : undefined;
    this.#pos = found;
    this.#ignore();
    return item;
  }

  /** `{{`, with its trim marker skipped; undefined after a comment. */
  #leftDelim(): Item | undefined {
    const after = this.#pos + 2;
    const marker = isTrim(this.#input, after, "left") ? 2 : 0;
    if (this.#input.startsWith("/*", after + marker)) {
      this.#pos = after + marker;
      this.#ignore();
      return this.#comment();
    }
    this.#pos = after;
    const item = this.#item("leftDelim");
    this.#pos += marker;
    this.#ignore();
    this.#inAction = true;
    this.#parens = 0;
    return item;
  }

  #comment(): Item | undefined {
    const end = this.#input.indexOf("*/", this.#pos + 2);
    if (end < 0) return this.#error("unclosed comment");
    this.#pos = end + 2;
    const delim = this.#rightDelimAt(this.#pos);
    if (delim === 0) return this.#error("comment ends before closing delimiter");
    this.#pos += delim;
    if (delim > 2) this.#skipSpaces();
    this.#ignore();
    return undefined;
  }

  /** Bytes of the right delimiter at `pos`: 0 none, 2 plain, 4 with a trim marker. */
  #rightDelimAt(pos: number): 0 | 2 | 4 {
    if (isTrim(this.#input, pos, "right") && this.#input.startsWith("}}", pos + 2)) return 4;
    return this.#input.startsWith("}}", pos) ? 2 : 0;
  }

  #action(): Item {
    const delim = this.#rightDelimAt(this.#pos);
    if (delim > 0) return this.#rightDelim(delim);
    const rune = this.#peek();
    if (rune === EOF) return this.#error("unclosed action");
    if (isSpace(rune)) return this.#space();
    this.#advance();
    const quoted = this.#quotedOrNamed(rune);
    if (quoted !== undefined) return quoted;
    return this.#punctuation(rune);
  }

  #rightDelim(bytes: 0 | 2 | 4): Item {
    if (this.#parens !== 0) return this.#error("unclosed left paren");
    this.#pos += bytes - 2;
    this.#ignore();
    this.#pos += 2;
    const item = this.#item("rightDelim");
    if (bytes === 4) {
      this.#skipSpaces();
      this.#ignore();
    }
    this.#inAction = false;
    return item;
  }

  #space(): Item {
    while (isSpace(this.#peek())) this.#advance();
    // The last space may belong to a trim-marked right delimiter.
    if (this.#rightDelimAt(this.#pos - 1) === 4) {
      this.#pos--;
      if (this.#input[this.#pos] === "\n") this.#line--;
      if (this.#pos === this.#start) return this.#rightDelim(4);
    }
    return this.#item("space");
  }

  #quotedOrNamed(rune: number): Item | undefined {
    switch (String.fromCodePoint(rune)) {
      case '"':
        return this.#quoted('"', "string", "unterminated quoted string");
      case "'":
        return this.#quoted("'", "charConstant", "unterminated character constant");
      case "`":
        return this.#raw();
      case "$":
        return this.#atTerminator() ? this.#item("variable") : this.#name("variable");
      case ".":
        return this.#dot();
      default:
    }
    if (rune === 0x2b || rune === 0x2d || isDigit(rune)) return this.#number();
    if (isAlphaNumeric(rune)) return this.#identifier();
    return undefined;
  }

  #punctuation(rune: number): Item {
    switch (String.fromCodePoint(rune)) {
      case "=":
        return this.#item("assign");
      case ":":
        if (this.#peek() !== 0x3d) return this.#error("expected :=");
        this.#advance();
        return this.#item("declare");
      case "|":
        return this.#item("pipe");
      case "(":
        this.#parens++;
        return this.#item("leftParen");
      case ")":
        this.#parens--;
        return this.#parens < 0 ? this.#error("unexpected right paren") : this.#item("rightParen");
      default:
    }
    if (rune < 0x80 && isPrint(rune)) return this.#item("char");
    return this.#error(`unrecognized character in action: ${describeRune(rune)}`);
  }

  #dot(): Item {
    if (isDigit(this.#peek())) return this.#number();
    if (this.#peek() === EOF) return this.#number();
    return this.#atTerminator() ? this.#item("dot") : this.#name("field");
  }

  #name(type: "field" | "variable"): Item {
    while (isAlphaNumeric(this.#peek())) this.#advance();
    if (!this.#atTerminator()) return this.#badCharacter();
    return this.#item(type);
  }

  #identifier(): Item {
    while (isAlphaNumeric(this.#peek())) this.#advance();
    if (!this.#atTerminator()) return this.#badCharacter();
    const word = this.#input.slice(this.#start, this.#pos);
    if (word === "nil") return this.#item("nil");
    if (KEYWORDS.has(word)) return this.#item("keyword");
    return this.#item(word === "true" || word === "false" ? "bool" : "identifier");
  }

  #badCharacter(): Item {
    return this.#error(`bad character ${describeRune(this.#peek())}`);
  }

  #quoted(mark: string, type: ItemType, unterminated: string): Item {
    for (;;) {
      let char = this.#input[this.#pos];
      if (char === mark) break;
      if (char === "\\") char = this.#input[++this.#pos];
      if (char === undefined || char === "\n") return this.#error(unterminated);
      this.#pos++;
    }
    this.#pos++;
    return this.#item(type);
  }

  #raw(): Item {
    const end = this.#input.indexOf("`", this.#pos);
    if (end < 0) return this.#error("unterminated raw quoted string");
    this.#pos = end + 1;
    return this.#item("rawString", true);
  }

  /** A loose scan, as in Go: strconv judges the text later. */
  #number(): Item {
    this.#pos = this.#start;
    if (!this.#scanNumber()) return this.#badNumber();
    const sign = this.#peek();
    if (sign === 0x2b || sign === 0x2d) {
      if (!this.#scanNumber() || this.#input[this.#pos - 1] !== "i") return this.#badNumber();
      return this.#item("complex");
    }
    return this.#item("number");
  }

  #badNumber(): Item {
    return this.#error(`bad number syntax: ${quote(this.#input.slice(this.#start, this.#pos))}`);
  }

  #scanNumber(): boolean {
    this.#pos = numberEnd(this.#input, this.#pos);
    if (!isAlphaNumeric(this.#peek())) return true;
    this.#advance();
    return false;
  }

  #atTerminator(): boolean {
    const rune = this.#peek();
    if (rune === EOF || isSpace(rune)) return true;
    if (rune < 0x80 && ".,|:)(".includes(String.fromCharCode(rune))) return true;
    return this.#input.startsWith("}}", this.#pos);
  }

  #peek(): number {
    return this.#pos < this.#input.length ? runeAt(this.#input, this.#pos) : EOF;
  }

  #advance(): void {
    if (this.#input[this.#pos] === "\n") this.#line++;
    this.#pos += widthAt(this.#input, this.#pos);
  }

  #skipSpaces(): void {
    while (isSpaceAt(this.#input, this.#pos)) this.#pos++;
  }

  #item(type: ItemType, countLines = false): Item {
    if (countLines) this.#countLines(this.#start, this.#pos);
    const value = type === "eof" ? "EOF" : this.#input.slice(this.#start, this.#pos);
    const item: Item = { type, pos: this.#start, value, line: this.#startLine };
    this.#start = this.#pos;
    this.#startLine = this.#line;
    return item;
  }

  #ignore(): void {
    this.#countLines(this.#start, this.#pos);
    this.#start = this.#pos;
    this.#startLine = this.#line;
  }

  #countLines(from: number, to: number): void {
    for (let at = from; at < to; at++) if (this.#input.charCodeAt(at) === 0x0a) this.#line++;
  }

  /** An error ends the input: whatever is asked for next is EOF. */
  #error(message: string): Item {
    const item: Item = { type: "error", pos: this.#start, value: message, line: this.#startLine };
    this.#input = "";
    this.#pos = 0;
    this.#start = 0;
    return item;
  }
}
