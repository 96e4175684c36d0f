import type {
  ArgumentNode,
  ClauseNode,
  ListNode,
  PipeNode,
  StatementNode,
  TemplateNode,
} from "./ast.ts";
import { formatNode } from "./ast.ts";
import { fromBytes } from "./bytes.ts";
import type { Item } from "./item.ts";
import { Lexer } from "./lexer.ts";
import { PipelineParser } from "./parse-pipeline.ts";
import type { ParseContext } from "./parse-pipeline.ts";
import { quote, unquote } from "./quote.ts";
import { isBlank } from "./unicode.ts";

/** The parsed template and those it defines, by name. */
export interface ParsedTemplate {
  readonly root: ListNode;
  readonly defined: ReadonlyMap<string, ListNode>;
}

/**
 * Parses a template (a byte string) as Go's text/template does.
 * Throws SignetError TEMPLATE_PARSE with line, column and Go's words.
 */
export function parseTemplate(
  text: string,
  options: { nesting: number; name?: string | undefined },
): ParsedTemplate {
  const context: ParseContext = {
    text,
    lexer: new Lexer(text),
    defined: new Map(),
    nesting: options.nesting,
    depth: 0,
  };
  const root = new Parser(context).parse(options.name);
  return { root, defined: context.defined };
}

/** Whether a list holds nothing but white space: such a definition replaces none. */
function isEmptyList(list: ListNode): boolean {
  return list.nodes.every((node) => node.kind === "text" && isBlank(fromBytes(node.text)));
}

type Control = "if" | "with" | "range";

/** Parses one template body; definitions inside it get a parser of their own on the same lexer. */
class Parser extends PipelineParser {
  #rangeDepth = 0;

  parse(name: string | undefined): ListNode {
    const pos = this.peek().pos;
    const nodes: StatementNode[] = [];
    while (this.peek().type !== "eof") {
      if (this.#definition()) continue;
      const node = this.#textOrAction();
      if (isClause(node)) this.fail(`unexpected ${formatNode(node)}`);
      nodes.push(node);
    }
    const root: ListNode = { kind: "list", pos, nodes };
    if (name === undefined) return root;
    this.#add(name, root);
    // A definition of its own name stands in for a blank template.
    return this.context.defined.get(name) ?? root;
  }

  /** Handles `{{define}}`, which is allowed at the top level only. */
  #definition(): boolean {
    if (this.peek().type !== "leftDelim") return false;
    const delim = this.next();
    if (!isKeyword(this.nextNonSpace(), "define")) {
      this.backup2(delim);
      return false;
    }
    new Parser(this.context).#define();
    return true;
  }

  #define(): void {
    const token = this.nextNonSpace();
    const clause = "define clause";
    if (token.type !== "string" && token.type !== "rawString") this.unexpected(token, clause);
    const name = this.#name(token, clause);
    this.expect("rightDelim", clause);
    const [list, end] = this.#itemList();
    if (end.kind !== "end") this.fail(`unexpected ${formatNode(end)} in ${clause}`);
    this.#add(name, list);
  }

  #add(name: string, list: ListNode): void {
    const known = this.context.defined.get(name);
    if (known === undefined || isEmptyList(known)) this.context.defined.set(name, list);
    else if (!isEmptyList(list)) {
      this.fail(`template: multiple definition of template ${quote(name)}`);
    }
  }

  /** Statements up to `{{end}}` or `{{else}}`. */
  #itemList(): [ListNode, ClauseNode] {
    const pos = this.peekNonSpace().pos;
    const nodes: StatementNode[] = [];
    this.enter();
    while (this.peekNonSpace().type !== "eof") {
      const node = this.#textOrAction();
      if (isClause(node)) {
        this.leave();
        return [{ kind: "list", pos, nodes }, node];
      }
      nodes.push(node);
    }
    return this.fail("unexpected EOF");
  }

  #textOrAction(): StatementNode | ClauseNode {
    const token = this.nextNonSpace();
    if (token.type === "text") return { kind: "text", pos: token.pos, text: token.value };
    if (token.type !== "leftDelim") this.unexpected(token, "input");
    this.actionLine = token.line;
    const node = this.#action();
    this.actionLine = 0;
    return node;
  }

  #action(): StatementNode | ClauseNode {
    const token = this.nextNonSpace();
    if (token.type === "keyword") {
      switch (token.value) {
        case "block":
          return this.#block();
        case "break":
        case "continue":
          return this.#jump(token, token.value);
        case "else":
          return this.#else();
        case "end":
          return { kind: "end", pos: this.expect("rightDelim", "end").pos };
        case "if":
        case "range":
        case "with":
          return this.#control(token.value);
        case "template":
          return this.#template();
        default:
      }
    }
    this.backup();
    const pos = this.peek().pos;
    return { kind: "action", pos, pipe: this.pipeline("command", "rightDelim") };
  }

  #jump(token: Item, kind: "break" | "continue"): StatementNode {
    const after = this.nextNonSpace();
    if (after.type !== "rightDelim") this.unexpected(after, `{{${kind}}}`);
    if (this.#rangeDepth === 0) this.fail(`{{${kind}}} outside {{range}}`);
    return { kind, pos: token.pos };
  }

  #else(): ClauseNode {
    const next = this.peekNonSpace();
    // "else if" and "else with" leave their keyword for the control that is being parsed.
    if (isKeyword(next, "if") || isKeyword(next, "with")) return { kind: "else", pos: next.pos };
    return { kind: "else", pos: this.expect("rightDelim", "else").pos };
  }

  #control(kind: Control): StatementNode {
    const scope = this.vars.length;
    const pipe = this.pipeline(kind, "rightDelim");
    if (kind === "range") this.#rangeDepth++;
    const [list, next] = this.#itemList();
    if (kind === "range") this.#rangeDepth--;
    const elseList = next.kind === "else" ? this.#elseList(kind, next) : undefined;
    this.vars.length = scope;
    return { kind, pos: pipe.pos, pipe, list, elseList };
  }

  #elseList(kind: Control, clause: ClauseNode): ListNode {
    if (kind !== "range" && isKeyword(this.peek(), kind)) {
      this.next();
      this.enter();
      const chained = this.#control(kind);
      this.leave();
      return { kind: "list", pos: clause.pos, nodes: [chained] };
    }
    const [list, end] = this.#itemList();
    if (end.kind !== "end") this.fail(`expected end; found ${formatNode(end)}`);
    return list;
  }

  #block(): TemplateNode {
    const clause = "block clause";
    const token = this.nextNonSpace();
    const name = this.#name(token, clause);
    const pipe = this.pipeline(clause, "rightDelim");
    const body = new Parser(this.context);
    const [list, end] = body.#itemList();
    if (end.kind !== "end") this.fail(`unexpected ${formatNode(end)} in ${clause}`);
    body.#add(name, list);
    return { kind: "template", pos: token.pos, name, pipe };
  }

  #template(): TemplateNode {
    const clause = "template clause";
    const token = this.nextNonSpace();
    const name = this.#name(token, clause);
    let pipe: PipeNode | undefined;
    if (this.nextNonSpace().type !== "rightDelim") {
      this.backup();
      pipe = this.pipeline(clause, "rightDelim");
    }
    return { kind: "template", pos: token.pos, name, pipe };
  }

  #name(token: Item, clause: string): string {
    if (token.type !== "string" && token.type !== "rawString") this.unexpected(token, clause);
    return unquote(token.value) ?? this.fail("invalid syntax");
  }
}

function isClause(node: StatementNode | ClauseNode | ArgumentNode): node is ClauseNode {
  return node.kind === "end" || node.kind === "else";
}

function isKeyword(item: Item, word: string): boolean {
  return item.type === "keyword" && item.value === word;
}
