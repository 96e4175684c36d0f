const NAME = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const DNS_LABEL = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/;
const NAME_LENGTH = 63;
const PREFIX_LENGTH = 253;

/** Says which rule of Kubernetes label keys (`[prefix/]name`) `key` breaks, or undefined. */
export function labelKeyProblem(key: string): string | undefined {
  const parts = key.split("/");
  if (parts.length > 2) return "a label key has at most one slash, between prefix and name";
  const name = parts.at(-1) ?? "";
  if (parts.length === 2 && !isSubdomain(parts[0] ?? "")) {
    return `the prefix of a label key must be a lower-case DNS name of at most ${PREFIX_LENGTH} characters`;
  }
  if (name === "") return "the name of a label key cannot be empty";
  return nameProblem(name, "the name of a label key");
}

/** Says which rule of Kubernetes label values `value` breaks, or undefined; the empty value is legal. */
export function labelValueProblem(value: string): string | undefined {
  return value === "" ? undefined : nameProblem(value, "a label value");
}

function nameProblem(name: string, what: string): string | undefined {
  if (name.length > NAME_LENGTH) return `${what} has at most ${NAME_LENGTH} characters`;
  if (NAME.test(name)) return undefined;
  return `${what} may hold letters, digits, "-", "_" and ".", and must begin and end with a letter or digit`;
}

function isSubdomain(prefix: string): boolean {
  return (
    prefix.length <= PREFIX_LENGTH && prefix.split(".").every((label) => DNS_LABEL.test(label))
  );
}
