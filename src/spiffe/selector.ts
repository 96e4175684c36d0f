import { SignetError } from "../core/errors.ts";

/** A fact about a workload, as `type:value`; the value may hold further colons. */
export interface Selector {
  readonly type: string;
  readonly value: string;
}

/** Parses `type:value`, split at the first colon. Throws INVALID_SPEC when a part is missing. */
export function parseSelector(text: string): Selector {
  const colon = text.indexOf(":");
  if (colon === -1) throw bad(text, "expected at least one colon to separate type from value");
  const type = text.slice(0, colon);
  const value = text.slice(colon + 1);
  if (type === "") throw bad(text, "type cannot be empty");
  if (value === "") throw bad(text, "value cannot be empty");
  return { type, value };
}

/** The text form of a selector. */
export function formatSelector(selector: Selector): string {
  return `${selector.type}:${selector.value}`;
}

function bad(text: string, rule: string): SignetError {
  return new SignetError("INVALID_SPEC", `selector ${JSON.stringify(text)}: ${rule}`);
}
