import { quote } from "./quote.ts";

/** Every node knows its byte offset in the template, as Go reports it. */
export interface ListNode {
  readonly kind: "list";
  readonly pos: number;
  readonly nodes: readonly StatementNode[];
}
export interface TextNode {
  readonly kind: "text";
  readonly pos: number;
  readonly text: string;
}
export interface ActionNode {
  readonly kind: "action";
  readonly pos: number;
  readonly pipe: PipeNode;
}
export interface BranchNode {
  readonly kind: "if" | "with" | "range";
  readonly pos: number;
  readonly pipe: PipeNode;
  readonly list: ListNode;
  readonly elseList: ListNode | undefined;
}
export interface TemplateNode {
  readonly kind: "template";
  readonly pos: number;
  readonly name: string;
  readonly pipe: PipeNode | undefined;
}
export interface JumpNode {
  readonly kind: "break" | "continue";
  readonly pos: number;
}
/** `{{end}}` and `{{else}}`: seen by the parser only. */
export interface ClauseNode {
  readonly kind: "end" | "else";
  readonly pos: number;
}
export interface PipeNode {
  readonly kind: "pipe";
  readonly pos: number;
  readonly assign: boolean;
  readonly declared: readonly VariableNode[];
  readonly commands: readonly CommandNode[];
}
export interface CommandNode {
  readonly kind: "command";
  readonly pos: number;
  readonly args: readonly ArgumentNode[];
}
export interface VariableNode {
  readonly kind: "variable";
  readonly pos: number;
  /** `$name` and the fields after it. */
  readonly path: readonly string[];
}
export interface FieldNode {
  readonly kind: "field";
  readonly pos: number;
  readonly path: readonly string[];
}
export interface ChainNode {
  readonly kind: "chain";
  readonly pos: number;
  readonly node: ArgumentNode;
  readonly path: readonly string[];
}
export interface IdentifierNode {
  readonly kind: "identifier";
  readonly pos: number;
  readonly name: string;
}
export interface DotNode {
  readonly kind: "dot" | "nil";
  readonly pos: number;
}
export interface BoolNode {
  readonly kind: "bool";
  readonly pos: number;
  readonly value: boolean;
}
export interface StringNode {
  readonly kind: "string";
  readonly pos: number;
  readonly quoted: string;
  readonly value: string;
}
/** A number under every type that can hold it, like Go's ideal constants. */
export interface NumberNode {
  readonly kind: "number";
  readonly pos: number;
  readonly text: string;
  readonly int?: bigint;
  readonly uint?: bigint;
  readonly float?: number;
  readonly complex?: Complex;
}
export interface Complex {
  readonly re: number;
  readonly im: number;
}

export type ArgumentNode =
  | VariableNode
  | FieldNode
  | ChainNode
  | IdentifierNode
  | DotNode
  | BoolNode
  | StringNode
  | NumberNode
  | PipeNode;
export type StatementNode = TextNode | ActionNode | BranchNode | TemplateNode | JumpNode;
export type AnyNode = StatementNode | ClauseNode | ListNode | CommandNode | ArgumentNode;

/** Writes a node back as Go's parse.Node.String does. */
export function formatNode(node: AnyNode): string {
  switch (node.kind) {
    case "list":
      return node.nodes.map(formatNode).join("");
    case "text":
      return node.text;
    case "action":
      return `{{${formatPipe(node.pipe)}}}`;
    case "if":
    case "with":
    case "range":
      return formatBranch(node);
    case "template":
      return `{{template ${quote(node.name)}${node.pipe ? ` ${formatPipe(node.pipe)}` : ""}}}`;
    case "break":
    case "continue":
    case "end":
    case "else":
      return `{{${node.kind}}}`;
    case "command":
      return node.args.map(formatOperand).join(" ");
    default:
      return formatArgument(node);
  }
}

function formatArgument(node: ArgumentNode): string {
  switch (node.kind) {
    case "pipe":
      return formatPipe(node);
    case "variable":
      return node.path.join(".");
    case "field":
      return node.path.map((name) => `.${name}`).join("");
    case "chain":
      return formatOperand(node.node) + node.path.map((name) => `.${name}`).join("");
    case "identifier":
      return node.name;
    case "dot":
      return ".";
    case "nil":
      return "nil";
    case "bool":
      return String(node.value);
    case "string":
      return node.quoted;
    default:
      return node.text;
  }
}

function formatOperand(node: ArgumentNode): string {
  return node.kind === "pipe" ? `(${formatPipe(node)})` : formatNode(node);
}

function formatPipe(pipe: PipeNode): string {
  const names = pipe.declared.map(formatNode).join(", ");
  const declaration = names === "" ? "" : `${names} ${pipe.assign ? "=" : ":="} `;
  return declaration + pipe.commands.map(formatNode).join(" | ");
}

function formatBranch(node: BranchNode): string {
  const otherwise = node.elseList === undefined ? "" : `{{else}}${formatNode(node.elseList)}`;
  return `{{${node.kind} ${formatPipe(node.pipe)}}}${formatNode(node.list)}${otherwise}{{end}}`;
}
