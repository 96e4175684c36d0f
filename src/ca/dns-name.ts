import { SignetError } from "../core/errors.ts";
import { dnsNameProblem } from "../spiffe/dns-name.ts";
import { MAX_DNS_NAMES } from "../spiffe/svid.ts";

/** Checks a name for a dNSName SAN. Throws INVALID_ARGUMENT with the name and the rule. */
export function checkDnsName(name: string): void {
  const problem = dnsNameProblem(name);
  if (problem === undefined) return;
  const shown = JSON.stringify(name.slice(0, 300));
  throw new SignetError("INVALID_ARGUMENT", `DNS name ${shown}: ${problem}`);
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
