import { SignetError } from "../core/errors.ts";

/** Key of kubelet's tokens, in the secrets (CSIDriver `serviceAccountTokenInSecrets`) or the volume context. */
export const TOKENS_KEY = "csi.storage.k8s.io/serviceAccount.tokens";

const MAX_TOKENS_CHARS = 65_536;

interface TokenSources {
  readonly secrets: Readonly<Record<string, string>>;
  readonly volumeContext: Readonly<Record<string, string>>;
}

/**
 * The pod-bound service-account token for `audience` that kubelet sent along, from the secrets first.
 * Throws FAILED_PRECONDITION when there is none; no message holds any part of a token.
 */
export function podTokenOf({ secrets, volumeContext }: TokenSources, audience: string): string {
  const text = secrets[TOKENS_KEY] ?? volumeContext[TOKENS_KEY];
  if (text === undefined || text === "") {
    throw missing(audience, "kubelet sent no token");
  }
  const tokens = parseTokens(text, audience);
  const entry: unknown = Object.hasOwn(tokens, audience) ? tokens[audience] : undefined;
  const token =
    typeof entry === "object" && entry !== null && "token" in entry ? entry.token : undefined;
  if (typeof token === "string" && token !== "") return token;
  const audiences = Object.keys(tokens).slice(0, 8).join(", ");
  throw missing(audience, `kubelet sent tokens for the audiences [${audiences}] only`);
}

function parseTokens(text: string, audience: string): Record<string, unknown> {
  if (text.length > MAX_TOKENS_CHARS) throw missing(audience, "kubelet's tokens are too long");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // No cause: V8's message quotes the text, and the text holds the token.
    throw missing(audience, "kubelet's tokens are not JSON");
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw missing(audience, "kubelet's tokens are not a JSON object");
}

function missing(audience: string, why: string): SignetError {
  return new SignetError(
    "FAILED_PRECONDITION",
    `${why}; spec.tokenRequests of the CSIDriver must name the audience ${JSON.stringify(audience)}`,
  );
}
