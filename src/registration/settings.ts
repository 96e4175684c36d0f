import { SignetError, errorMessage } from "../core/errors.ts";
import { parseTrustDomain } from "../spiffe/trust-domain.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import { compileTemplate } from "../template/template.ts";
import type { Template } from "../template/template.ts";
import type { RegistrationOptions } from "./types.ts";

/** Options that were checked and compiled once. */
export interface Settings {
  readonly trustDomain: TrustDomain;
  readonly clusterName: string;
  readonly clusterDomain: string;
  readonly className: string;
  /** Where Signet's own agents run, and as whom. */
  readonly agentNamespace: string;
  readonly agentServiceAccount: string;
  readonly parentId: Template;
  /** Whether custom resources of this class are ours. */
  ownsClass(className: string): boolean;
  /** The pattern because of which the namespace is ignored, or undefined. */
  ignoredBy(namespace: string): string | undefined;
}

/** SPIRE's form, so that parent IDs stay what they were for those who move from it. */
export const DEFAULT_PARENT_ID_TEMPLATE =
  "spiffe://{{ .TrustDomain }}/spire/agent/k8s_psat/{{ .ClusterName }}/{{ .NodeMeta.UID }}";
export const DEFAULT_IGNORED_NAMESPACES: readonly string[] = ["kube-system", "kube-public"];

const MOST_PATTERNS = 100;
const LONGEST_PATTERN = 256;

/** Compiles the options. Throws INVALID_ARGUMENT, INVALID_SPIFFE_ID or TEMPLATE_PARSE. */
export function compileSettings(options: RegistrationOptions): Settings {
  const { className = "", watchClassless = false } = options;
  const patterns = (options.ignoreNamespaces ?? DEFAULT_IGNORED_NAMESPACES).map(compilePattern);
  if (patterns.length > MOST_PATTERNS) {
    throw new SignetError(
      "INVALID_ARGUMENT",
      `ignoreNamespaces: at most ${MOST_PATTERNS} patterns`,
    );
  }
  return {
    trustDomain: parseTrustDomain(options.trustDomain),
    clusterName: options.clusterName,
    clusterDomain: options.clusterDomain,
    className,
    agentNamespace: options.agentNamespace ?? "",
    agentServiceAccount: options.agentServiceAccount ?? "",
    parentId: compileTemplate(options.parentIdTemplate || DEFAULT_PARENT_ID_TEMPLATE),
    ownsClass: (other) => other === className || (other === "" && watchClassless),
    ignoredBy: (namespace) => patterns.find((pattern) => pattern.test(namespace))?.source,
  };
}

function compilePattern(pattern: string): RegExp {
  if (pattern.length > LONGEST_PATTERN) {
    throw new SignetError(
      "INVALID_ARGUMENT",
      `ignoreNamespaces: a pattern has at most ${LONGEST_PATTERN} characters`,
    );
  }
  try {
    return new RegExp(pattern, "u");
  } catch (error) {
    throw new SignetError(
      "INVALID_ARGUMENT",
      `ignoreNamespaces: ${JSON.stringify(pattern)} is no regular expression: ${errorMessage(error)}`,
    );
  }
}
