import { SignetError } from "../../core/errors.ts";

/** Where the words stand that are read: they are named in errors. */
export type AttributeSource = "volume attribute" | "annotation";

/** One value with its key, as somebody wrote it. */
export interface WrittenValue {
  readonly source: AttributeSource;
  readonly key: string;
  readonly text: string;
}

/** Annotations may hold 256 KiB: an error shows the beginning. */
const SHOWN_CHARS = 128;

/** The error for a value that breaks `rule`, a sentence without its subject. */
export function faulty({ source, key, text }: WrittenValue, rule: string): SignetError {
  return new SignetError("INVALID_ARGUMENT", `${source} ${key}=${quote(text)} ${rule}`, {
    details: { [detailOf(source)]: key },
  });
}

/** The field of an error's details that holds the key. */
export function detailOf(source: AttributeSource): "annotation" | "attribute" {
  return source === "annotation" ? "annotation" : "attribute";
}

/** A text for an error: in quotes, and cut. */
export function quote(text: string): string {
  return JSON.stringify(text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)}…` : text);
}
