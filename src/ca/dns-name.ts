import { SignetError } from "../core/errors.ts";
import { MAX_DNS_NAMES } from "../spiffe/svid.ts";

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;
const DOTTED_QUAD = /^\d+(\.\d+){3}$/;
const MAX_NAME = 253;

/**
 * Checks a name for a dNSName SAN: RFC 1123 §2.1 labels, at most 253 characters, no trailing dot, not in
 * the form of an IPv4 address; one leading `*.` is allowed. Throws INVALID_ARGUMENT with the name and the rule.
 */
export function checkDnsName(name: string): void {
  const bare = name.startsWith("*.") ? name.slice(2) : name;
  if (name.length > MAX_NAME) throw bad(name, `is longer than ${MAX_NAME} characters`);
  if (DOTTED_QUAD.test(bare)) throw bad(name, "is an IP address");
  for (const label of bare.split(".")) {
    if (label === "") throw bad(name, "has an empty label");
    if (!LABEL.test(label)) {
      throw bad(
        name,
        `has the label ${JSON.stringify(label.slice(0, 64))}, which is not of letters, digits and inner dashes`,
      );
    }
  }
}

/** Checks each name and drops repeated ones (case does not count), in order. Throws like `checkDnsName`. */
export function uniqueDnsNames(names: readonly string[]): string[] {
  if (names.length > MAX_DNS_NAMES) {
    throw new SignetError(
      "INVALID_ARGUMENT",
      `${names.length} DNS names are more than the ${MAX_DNS_NAMES} one certificate may hold`,
    );
  }
  const unique = new Map<string, string>();
  for (const name of names) {
    checkDnsName(name);
    const key = name.toLowerCase();
    if (!unique.has(key)) unique.set(key, name);
  }
  return [...unique.values()];
}

function bad(name: string, rule: string): SignetError {
  return new SignetError(
    "INVALID_ARGUMENT",
    `DNS name ${JSON.stringify(name.slice(0, 300))} ${rule}`,
  );
}
