import { runeAt, widthAt } from "./bytes.ts";
import { isPrint } from "./unicode.ts";

/** The builtins html, js and urlquery, on byte strings. */

const HTML: Readonly<Record<string, string>> = {
  "\0": "\xef\xbf\xbd",
  '"': "&#34;",
  "'": "&#39;",
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
};

export function escapeHtml(bytes: string): string {
  // oxlint-disable-next-line no-control-regex
  return bytes.replace(/[\0"'&<>]/g, (char) => HTML[char] ?? char);
}

const JS: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  "'": "\\'",
  '"': '\\"',
  "<": "\\u003C",
  ">": "\\u003E",
  "&": "\\u0026",
  "=": "\\u003D",
};

export function escapeJs(bytes: string): string {
  let out = "";
  for (let at = 0; at < bytes.length;) {
    const width = widthAt(bytes, at);
    out += escapeJsRune(runeAt(bytes, at), bytes.slice(at, at + width));
    at += width;
  }
  return out;
}

function escapeJsRune(rune: number, bytes: string): string {
  if (rune >= 0x80) return isPrint(rune) ? bytes : `\\u${hex(rune, 4)}`;
  const special = JS[bytes];
  if (special !== undefined) return special;
  return rune < 0x20 ? `\\u00${hex(rune, 2)}` : bytes;
}

/** url.QueryEscape. */
export function escapeQuery(bytes: string): string {
  return bytes.replace(/[^\w.~-]/g, (char) =>
    char === " " ? "+" : `%${hex(char.charCodeAt(0), 2)}`,
  );
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, "0");
}
