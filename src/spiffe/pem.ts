import { SignetError } from "../core/errors.ts";

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----\s*([A-Za-z0-9+/=\s]*?)-----END \1-----/g;

/** Writes one PEM block (RFC 7468 §2): 64 columns, a newline at the end. */
export function pemBlock(label: string, der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** Reads every block with `label` from a PEM text, in order. Throws MALFORMED when there is none. */
export function parsePem(label: string, text: string): Buffer[] {
  const blocks = [...text.matchAll(BLOCK)]
    .filter((match) => match[1] === label)
    .map((match) => Buffer.from(match[2] ?? "", "base64"));
  if (blocks.length === 0) throw new SignetError("MALFORMED", `no PEM block labelled ${label}`);
  return blocks;
}
