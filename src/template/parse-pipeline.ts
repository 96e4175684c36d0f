import type { ArgumentNode, CommandNode, ListNode, PipeNode, VariableNode } from "./ast.ts";
import { formatNode } from "./ast.ts";
import { parseFailure } from "./failure.ts";
import { BUILTIN_NAMES } from "./builtin-names.ts";
import { describeItem } from "./item.ts";
import type { Item, ItemType } from "./item.ts";
import type { Lexer } from "./lexer.ts";
import { readNumber } from "./number.ts";
import { quote, unquote } from "./quote.ts";

/** What the parsers of one template text share. */
export interface ParseContext {
  readonly text: string;
  readonly lexer: Lexer;
  readonly defined: Map<string, ListNode>;
  readonly nesting: number;
  depth: number;
}

const START: Item = { type: "eof", pos: 0, value: "", line: 0 };
const OPERANDS = new Set<ItemType>([
  "bool",
  "charConstant",
  "complex",
  "dot",
  "field",
  "identifier",
  "number",
  "nil",
  "rawString",
  "string",
  "variable",
  "leftParen",
]);

/** Tokens with look-ahead, and pipelines: the part of the parser below statements. */
export class PipelineParser {
  protected readonly context: ParseContext;
  protected vars = ["$"];
  protected actionLine = 0;
  #tokens: [Item, Item, Item] = [START, START, START];
  #peeked = 0;

  constructor(context: ParseContext) {
    this.context = context;
  }

  protected next(): Item {
    if (this.#peeked > 0) this.#peeked--;
    else this.#tokens[0] = this.context.lexer.next();
    return this.#tokens[this.#peeked] ?? START;
  }

  protected backup(): void {
    this.#peeked++;
  }

  /** Puts back the last token and `before`, which came before it. */
  protected backup2(before: Item): void {
    this.#tokens[1] = before;
    this.#peeked = 2;
  }

  protected peek(): Item {
    const item = this.next();
    this.backup();
    return item;
  }

  protected nextNonSpace(): Item {
    let item = this.next();
    while (item.type === "space") item = this.next();
    return item;
  }

  protected peekNonSpace(): Item {
    const item = this.nextNonSpace();
    this.backup();
    return item;
  }

  protected expect(type: ItemType, context: string): Item {
    const token = this.nextNonSpace();
    if (token.type !== type) this.unexpected(token, context);
    return token;
  }

  protected fail(reason: string): never {
    throw parseFailure(this.context.text, this.#tokens[0], reason);
  }

  protected unexpected(token: Item, context: string): never {
    if (token.type !== "error") this.fail(`unexpected ${describeItem(token)} in ${context}`);
    let extra = "";
    if (this.actionLine !== 0 && this.actionLine !== token.line) {
      extra = ` in action started at line ${this.actionLine}`;
      if (token.value.endsWith(" action")) extra = extra.slice(" in action".length);
    }
    this.fail(token.value + extra);
  }

  /** Counts nesting, so that no template can exhaust the stack. */
  protected enter(): void {
    this.context.depth++;
    if (this.context.depth > this.context.nesting) {
      this.fail(`nested deeper than ${this.context.nesting} levels`);
    }
  }

  protected leave(): void {
    this.context.depth--;
  }

  protected pipeline(context: string, end: ItemType): PipeNode {
    const pos = this.peekNonSpace().pos;
    const { declared, assign } = this.#declarations(context);
    const commands: CommandNode[] = [];
    for (;;) {
      const token = this.nextNonSpace();
      if (token.type === end) break;
      if (!OPERANDS.has(token.type)) this.unexpected(token, context);
      this.backup();
      commands.push(this.#command());
    }
    this.#checkCommands(commands, context);
    return { kind: "pipe", pos, assign, declared, commands };
  }

  #declarations(context: string): { declared: VariableNode[]; assign: boolean } {
    const declared: VariableNode[] = [];
    for (;;) {
      const variable = this.peekNonSpace();
      if (variable.type !== "variable") return { declared, assign: false };
      this.next();
      const after = this.peek();
      const next = this.peekNonSpace();
      if (next.type === "assign" || next.type === "declare") {
        this.nextNonSpace();
        this.#declare(declared, variable);
        return { declared, assign: next.type === "assign" };
      }
      if (next.type !== "char" || next.value !== ",") {
        this.#backupVariable(variable, after);
        return { declared, assign: false };
      }
      this.nextNonSpace();
      this.#declare(declared, variable);
      this.#checkSecond(context, declared.length);
    }
  }

  #declare(declared: VariableNode[], item: Item): void {
    declared.push(variableNode(item.pos, item.value));
    this.vars.push(item.value);
  }

  /** After "$x,": only a range may go on, and only with one more variable. */
  #checkSecond(context: string, count: number): void {
    if (context !== "range" || count >= 2) this.fail(`too many declarations in ${context}`);
    const type = this.peekNonSpace().type;
    if (type !== "variable" && type !== "rightDelim" && type !== "rightParen") {
      this.fail("range can only initialize variables");
    }
  }

  #backupVariable(variable: Item, after: Item): void {
    if (after.type !== "space") return this.backup2(variable);
    this.#tokens[1] = after;
    this.#tokens[2] = variable;
    this.#peeked = 3;
  }

  #checkCommands(commands: readonly CommandNode[], context: string): void {
    if (commands.length === 0) this.fail(`missing value for ${context}`);
    for (const [index, command] of commands.entries()) {
      const kind = command.args[0]?.kind;
      if (index > 0 && (kind === "dot" || kind === "nil" || isLiteral(kind))) {
        this.fail(`non executable command in pipeline stage ${index + 1}`);
      }
    }
  }

  #command(): CommandNode {
    const pos = this.peekNonSpace().pos;
    const args: ArgumentNode[] = [];
    for (;;) {
      this.peekNonSpace();
      const operand = this.#operand();
      if (operand !== undefined) args.push(operand);
      const token = this.next();
      if (token.type === "space") continue;
      if (token.type === "rightDelim" || token.type === "rightParen") this.backup();
      else if (token.type !== "pipe") this.unexpected(token, "operand");
      break;
    }
    if (args.length === 0) this.fail("empty command");
    return { kind: "command", pos, args };
  }

  #operand(): ArgumentNode | undefined {
    const node = this.#term();
    if (node === undefined || this.peek().type !== "field") return node;
    const pos = this.peek().pos;
    const path: string[] = [];
    while (this.peek().type === "field") path.push(this.next().value.slice(1));
    if (node.kind === "field" || node.kind === "variable") {
      return { kind: node.kind, pos, path: [...node.path, ...path] };
    }
    if (node.kind === "dot" || node.kind === "nil" || isLiteral(node.kind)) {
      this.fail(`unexpected . after term ${quote(formatNode(node))}`);
    }
    return { kind: "chain", pos, node, path };
  }

  #term(): ArgumentNode | undefined {
    const token = this.nextNonSpace();
    const { pos, value } = token;
    switch (token.type) {
      case "identifier":
        if (!BUILTIN_NAMES.has(value)) this.fail(`function ${quote(value)} not defined`);
        return { kind: "identifier", pos, name: value };
      case "dot":
      case "nil":
        return { kind: token.type, pos };
      case "variable":
        return this.#useVariable(token);
      case "field":
        return { kind: "field", pos, path: [value.slice(1)] };
      case "leftParen":
        return this.#parenthesized();
      default:
        return this.#literal(token);
    }
  }

  #literal(token: Item): ArgumentNode | undefined {
    const { pos, value } = token;
    switch (token.type) {
      case "bool":
        return { kind: "bool", pos, value: value === "true" };
      case "charConstant":
      case "complex":
      case "number": {
        const number = readNumber(value, pos, token.type);
        return typeof number === "string" ? this.fail(number) : number;
      }
      case "string":
      case "rawString": {
        const text = unquote(value) ?? this.fail("invalid syntax");
        return { kind: "string", pos, quoted: value, value: text };
      }
      default:
        this.backup();
        return undefined;
    }
  }

  #parenthesized(): PipeNode {
    this.enter();
    const pipe = this.pipeline("parenthesized pipeline", "rightParen");
    this.leave();
    return pipe;
  }

  #useVariable(token: Item): VariableNode {
    if (!this.vars.includes(token.value)) {
      this.fail(`undefined variable ${quote(token.value)}`);
    }
    return variableNode(token.pos, token.value);
  }
}

function variableNode(pos: number, name: string): VariableNode {
  return { kind: "variable", pos, path: [name] };
}

function isLiteral(kind: ArgumentNode["kind"] | undefined): boolean {
  return kind === "bool" || kind === "number" || kind === "string";
}
