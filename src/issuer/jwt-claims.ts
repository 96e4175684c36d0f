import { errorMessage, SignetError } from "../core/errors.ts";
import type { PodObject } from "../registration/objects.ts";
import { topOwner } from "../registration/owner.ts";
import { REGISTERED_CLAIMS } from "../spiffe/jwt-svid.ts";
import { compileTemplate } from "../template/template.ts";
import type { Template } from "../template/template.ts";

const MAX_CLAIMS = 16;
const CLAIM_NAME = /^[\x21-\x7e]{1,128}$/;
/** What Go's templates print for a key that a map does not have. */
const NO_VALUE = "<no value>";
const LIMITS = { templateBytes: 1024, outputBytes: 1024, workBytes: 65_536, steps: 1000 };

/** What is kept of every pod, whatever the custom resources read. */
const KNOWN_DATA = [
  ...["TrustDomain", "ClusterName", "ClusterDomain", "ServiceAccount"],
  ...["PodMeta.Name", "PodMeta.Namespace", "PodMeta.UID", "PodMeta.Labels"],
  ...["PodSpec.NodeName", "PodSpec.ServiceAccountName", "Owner.Kind", "Owner.Name"],
];

export interface ClaimSettings {
  /** Claim → Go template of its value. */
  readonly jwtClaims: Readonly<Record<string, string>>;
  readonly trustDomain: string;
  readonly clusterName: string;
  readonly clusterDomain: string;
}

/** The claims that a pod's tokens have beside the registered ones. */
export type PodClaims = (pod: PodObject) => Record<string, string>;

/**
 * Compiles the claims that are declared in the configuration; one that comes out empty for a pod is left out of
 * its tokens, and a label that the pod lacks is empty. Throws INVALID_ARGUMENT that names the field: a registered
 * claim, a bad name, a template that does not parse or looks at what is not known of every pod. What is returned throws
 * TEMPLATE_EXEC with the claim's name.
 */
export function compileClaims(settings: ClaimSettings): PodClaims {
  const declared = Object.entries(settings.jwtClaims);
  if (declared.length > MAX_CLAIMS) {
    throw invalid("operator.jwtClaims", `at most ${MAX_CLAIMS} claims`);
  }
  const templates = declared.map(([claim, text]) => [claim, compileClaim(claim, text)] as const);
  const { trustDomain: TrustDomain, clusterName: ClusterName } = settings;
  const cluster = { TrustDomain, ClusterName, ClusterDomain: settings.clusterDomain };
  return (pod) => {
    if (templates.length === 0) return {};
    const data = {
      ...cluster,
      PodMeta: pod.metadata,
      PodSpec: pod.spec,
      Owner: topOwner(pod.metadata),
      ServiceAccount: pod.spec.serviceAccountName ?? "default",
    };
    const rendered = templates.map(([claim, template]) => {
      try {
        return [claim, template.render(data).replaceAll(NO_VALUE, "")] as const;
      } catch (error) {
        throw new SignetError("TEMPLATE_EXEC", `${fieldOf(claim)}: ${errorMessage(error)}`);
      }
    });
    return Object.fromEntries(rendered.filter(([, value]) => value !== ""));
  };
}

function compileClaim(claim: string, text: string): Template {
  const field = fieldOf(claim);
  if (REGISTERED_CLAIMS.has(claim)) {
    throw invalid(field, "is a registered claim, which the CA sets; declare another name");
  }
  // An object's prototype is no claim.
  if (!CLAIM_NAME.test(claim) || claim === "__proto__") {
    throw invalid(field, "a claim's name has 1 to 128 printable ASCII characters without spaces");
  }
  let template: Template;
  try {
    template = compileTemplate(text, { limits: LIMITS });
  } catch (error) {
    throw invalid(field, errorMessage(error));
  }
  const [problem] = template.problems;
  if (problem !== undefined) throw invalid(field, problem.reason);
  const unknown = template.paths.find((path) => !KNOWN_DATA.includes(path));
  if (unknown !== undefined) {
    const known = KNOWN_DATA.map((path) => `.${path}`).join(", ");
    throw invalid(field, `.${unknown} is not known of every pod; there are ${known}`);
  }
  return template;
}

function fieldOf(claim: string): string {
  return `operator.jwtClaims[${JSON.stringify(claim.slice(0, 128))}]`;
}

function invalid(field: string, rule: string): SignetError {
  return new SignetError("INVALID_ARGUMENT", `configuration is invalid: ${field}: ${rule}`);
}
