import { SignetError } from "../core/errors.ts";

/** A map of a kubeconfig whose fields are not checked yet. */
export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The text of a field; undefined when it is absent, empty or no text. */
export function textOf(from: Fields, field: string): string | undefined {
  const value = from[field];
  return typeof value === "string" && value !== "" ? value : undefined;
}

export function malformed(problem: string, cause?: unknown): SignetError {
  return new SignetError("MALFORMED", `the kubeconfig cannot be used: ${problem}`, { cause });
}
