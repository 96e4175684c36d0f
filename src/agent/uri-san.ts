import { SignetError } from "../core/errors.ts";

/** One name of the list that node:crypto prints: `Type:value`; a value that could mislead is a JSON string. */
const NAME = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/y;

/**
 * The URI names of a certificate's subjectAltName (RFC 5280 §4.2.1.6), in order, from the text form
 * of node:crypto. Throws MALFORMED for a text that cannot be told apart for certain.
 */
export function uriSans(subjectAltName: string | undefined): string[] {
  const text = subjectAltName ?? "";
  const uris: string[] = [];
  NAME.lastIndex = 0;
  for (let end = 0; end < text.length; end = NAME.lastIndex) {
    NAME.lastIndex = end;
    const [, type, value = ""] = NAME.exec(text) ?? [];
    if (type === undefined) {
      throw new SignetError("MALFORMED", "subjectAltName of the certificate is ambiguous");
    }
    if (type === "URI") uris.push(value.startsWith('"') ? unquote(value) : value);
  }
  return uris;
}

function unquote(value: string): string {
  try {
    return String(JSON.parse(value));
  } catch (error) {
    throw new SignetError("MALFORMED", "subjectAltName holds a URI that cannot be read", {
      cause: error,
    });
  }
}
