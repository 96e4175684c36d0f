const LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?$/;
const IP_ADDRESS = /^\d+(?:\.\d+){3}$/;
const LONGEST_NAME = 253;
const LONGEST_LABEL = 63;

/** Says why `name` cannot be a DNS name of an X509-SVID (RFC 5280 §4.2.1.6, RFC 1123 §2.1), or undefined. */
export function dnsNameProblem(name: string): string | undefined {
  if (name.trim() === "") return "it is empty";
  if (name.length > LONGEST_NAME) return `it is longer than ${LONGEST_NAME} characters`;
  if (name.endsWith(".")) return "it ends with a dot";
  const labels = name.split(".");
  if (labels[0] === "*" && labels.length > 1) labels.shift();
  if (IP_ADDRESS.test(labels.join("."))) return "it is an IP address";
  if (labels.some((label) => label.includes("*"))) return 'only the whole first label can be "*"';
  for (const label of labels) {
    if (label === "") return "it has an empty label";
    if (label.length > LONGEST_LABEL) return `a label is longer than ${LONGEST_LABEL} characters`;
    if (!LABEL.test(label)) {
      return `label ${JSON.stringify(label)} may hold only letters, digits and inner dashes`;
    }
  }
  return undefined;
}
