import { SignetError } from "../core/errors.ts";
import type { AnyNode } from "./ast.ts";
import { formatNode } from "./ast.ts";
import { fromBytes } from "./bytes.ts";
import { positionAt } from "./failure.ts";
import { quote } from "./quote.ts";

/** What a function or method refuses; the executor adds the place. */
export class CallFailure extends Error {}

/** A node in a message is cut to this many characters; details hold all of it. */
const LONGEST = 100;

export interface Place {
  readonly text: string;
  readonly node: AnyNode;
  /** The defined template that runs; empty for the main one. */
  readonly template: string;
}

/** An execution error at a node, with Go's words for the reason and for the node. */
export function execFailure(place: Place, reason: string): SignetError {
  const { line, column } = positionAt(place.text, place.node.pos);
  const node = fromBytes(formatNode(place.node));
  const shown = node.length > LONGEST ? `${node.slice(0, LONGEST)}…` : node;
  const words = fromBytes(reason);
  const where = place.template === "" ? "" : ` in template ${fromBytes(quote(place.template))}`;
  return new SignetError("TEMPLATE_EXEC", `${line}:${column}: at <${shown}>${where}: ${words}`, {
    details: { line, column, node, template: fromBytes(place.template), reason: words },
  });
}

/** Gives an error without a place (a limit, something unsupported) the place where it happened. */
export function locate(error: unknown, place: Place): unknown {
  if (!(error instanceof SignetError) || error.code !== "TEMPLATE_EXEC") return error;
  if ("line" in error.details) return error;
  const { message, details } = execFailure(place, error.message);
  return new SignetError("TEMPLATE_EXEC", message, { details: { ...error.details, ...details } });
}
