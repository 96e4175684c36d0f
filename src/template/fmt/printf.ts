import { runeAt, widthAt } from "../bytes.ts";
import type { Maybe } from "../value.ts";
import { isInteger } from "../value.ts";
import { noFlags } from "./flags.ts";
import type { Printer } from "./printer.ts";

const LARGEST = 1_000_000;

/** fmt.Sprintf, with Go's error texts for what does not fit. */
export function sprintf(format: string, values: readonly Maybe[], printer: Printer): string {
  return new Directives(format, values, printer).run();
}

/** One pass over a format string (Go: fmt.pp.doPrintf). */
class Directives {
  readonly #format: string;
  readonly #values: readonly Maybe[];
  readonly #printer: Printer;
  #at = 0;
  #argument = 0;
  #reordered = false;
  #goodIndex = true;
  #afterIndex = false;

  constructor(format: string, values: readonly Maybe[], printer: Printer) {
    this.#format = format;
    this.#values = values;
    this.#printer = printer;
  }

  run(): string {
    for (;;) {
      const percent = this.#format.indexOf("%", this.#at);
      const end = percent < 0 ? this.#format.length : percent;
      this.#printer.write(this.#format.slice(this.#at, end));
      if (percent < 0) break;
      this.#at = percent + 1;
      if (!this.#directive()) break;
    }
    if (!this.#reordered && this.#argument < this.#values.length) this.#extra();
    return this.#printer.text;
  }

  /** Handles what follows a percent sign; false when the format ends inside it. */
  #directive(): boolean {
    this.#goodIndex = true;
    if (!this.#readFlags()) {
      this.#index();
      this.#width();
      this.#precision();
      if (!this.#afterIndex) this.#index();
    }
    if (this.#at >= this.#format.length) {
      this.#printer.write("%!(NOVERB)");
      return false;
    }
    const width = widthAt(this.#format, this.#at);
    const verb = this.#format.slice(this.#at, this.#at + width);
    const broken = width === 1 && runeAt(this.#format, this.#at) === 0xfffd;
    this.#at += width;
    this.#verb(broken ? "\xef\xbf\xbd" : verb);
    return true;
  }

  /** True when a plain lower-case verb follows and there is an operand for it. */
  #readFlags(): boolean {
    const flags = noFlags();
    this.#printer.flags = flags;
    for (; this.#at < this.#format.length; this.#at++) {
      const char = this.#format.charAt(this.#at);
      if (char === "#") flags.sharp = true;
      else if (char === "0") flags.zero = true;
      else if (char === "+") flags.plus = true;
      else if (char === "-") flags.minus = true;
      else if (char === " ") flags.space = true;
      else return char >= "a" && char <= "z" && this.#argument < this.#values.length;
    }
    return false;
  }

  /** An explicit operand index such as `[2]`. */
  #index(): void {
    this.#afterIndex = false;
    if (this.#format[this.#at] !== "[") return;
    this.#reordered = true;
    const rest = this.#format.slice(this.#at);
    const close = rest.length < 3 ? -1 : rest.indexOf("]");
    if (close < 0) {
      this.#goodIndex = false;
      this.#at++;
      return;
    }
    const number = readNumber(rest, 1, close);
    this.#at += close + 1;
    const whole = number.value !== undefined && number.end === close;
    this.#afterIndex = whole;
    const index = (number.value ?? 0) - 1;
    if (whole && index >= 0 && index < this.#values.length) this.#argument = index;
    else this.#goodIndex = false;
  }

  #width(): void {
    const { flags } = this.#printer;
    if (this.#format[this.#at] === "*") {
      this.#at++;
      const width = this.#integerOperand();
      if (width === undefined) this.#printer.write("%!(BADWIDTH)");
      else {
        flags.width = Math.abs(width);
        if (width < 0) {
          flags.minus = true;
          flags.zero = false;
        }
      }
      this.#afterIndex = false;
      return;
    }
    const number = readNumber(this.#format, this.#at, this.#format.length);
    this.#at = number.end;
    if (number.value === undefined) return;
    flags.width = number.value;
    if (this.#afterIndex) this.#goodIndex = false;
  }

  #precision(): void {
    const { flags } = this.#printer;
    if (this.#format[this.#at] !== "." || this.#at + 1 >= this.#format.length) return;
    this.#at++;
    if (this.#afterIndex) this.#goodIndex = false;
    this.#index();
    if (this.#format[this.#at] === "*") {
      this.#at++;
      const precision = this.#integerOperand();
      if (precision === undefined || precision < 0) this.#printer.write("%!(BADPREC)");
      else flags.precision = precision;
      this.#afterIndex = false;
      return;
    }
    const number = readNumber(this.#format, this.#at, this.#format.length);
    this.#at = number.end;
    flags.precision = number.value ?? 0;
  }

  /** The next operand as a width or precision; undefined when it is none. */
  #integerOperand(): number | undefined {
    if (this.#argument >= this.#values.length) return undefined;
    const value = this.#values[this.#argument++];
    if (value === undefined || !isInteger(value.type)) return undefined;
    const number = Number(value.raw);
    return Math.abs(number) > LARGEST ? undefined : number;
  }

  #verb(verb: string): void {
    const printer = this.#printer;
    if (verb === "%") return printer.write("%");
    if (!this.#goodIndex) return printer.write(`%!${verb}(BADINDEX)`);
    if (this.#argument >= this.#values.length) return printer.write(`%!${verb}(MISSING)`);
    if (verb === "v" || verb === "w") {
      const { flags } = printer;
      flags.sharpV = flags.sharp;
      flags.plusV = flags.plus;
      flags.sharp = false;
      flags.plus = false;
    }
    printer.printArgument(this.#values[this.#argument++], verb);
  }

  #extra(): void {
    const printer = this.#printer;
    printer.flags = noFlags();
    printer.write("%!(EXTRA ");
    for (const [index, value] of this.#values.slice(this.#argument).entries()) {
      if (index > 0) printer.write(", ");
      if (value === undefined) printer.write("<nil>");
      else {
        printer.write(`${value.type.text}=`);
        printer.printArgument(value, "v");
      }
    }
    printer.write(")");
  }
}

/** Digits from `start` to `end`; a number that is too large ends everything, as in Go. */
function readNumber(text: string, start: number, end: number): { value?: number; end: number } {
  let at = start;
  let value = 0;
  for (; at < end && text.charAt(at) >= "0" && text.charAt(at) <= "9"; at++) {
    if (value > LARGEST) return { end };
    value = value * 10 + Number(text.charAt(at));
  }
  return at === start ? { end: at } : { value, end: at };
}
