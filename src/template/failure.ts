import { SignetError } from "../core/errors.ts";
import { fromBytes } from "./bytes.ts";

/** Where in a template something is: line and column count from 1, columns in bytes. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Turns a byte offset into a position. */
export function positionAt(text: string, pos: number): Position {
  const before = text.slice(0, pos);
  const newline = before.lastIndexOf("\n");
  return { line: before.split("\n").length, column: pos - newline };
}

/** A template that does not parse; `reason` is worded as Go words it. */
export function parseFailure(text: string, at: { pos: number; line: number }, reason: string) {
  const { column } = positionAt(text, at.pos);
  const rest = text.slice(at.pos).split("\n", 1)[0] ?? "";
  const near = rest.length > 24 ? `${fromBytes(rest.slice(0, 24))}…` : fromBytes(rest);
  const words = fromBytes(reason);
  const where = near === "" ? "" : `, near ${JSON.stringify(near)}`;
  return new SignetError("TEMPLATE_PARSE", `${at.line}:${column}: ${words}${where}`, {
    details: { line: at.line, column, reason: words, near },
  });
}
