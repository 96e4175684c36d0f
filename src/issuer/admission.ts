import { errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import type { PodObject } from "../registration/objects.ts";
import type { CallContext } from "../rpc/server.ts";
import { admitAgent, checkAgentPod } from "./attestation.ts";
import type { Agent, AgentAccount } from "./attestation.ts";
import type { EntryRegistry } from "./ports.ts";
import type { TokenVerifier } from "./tokens.ts";

export interface AdmissionDeps {
  readonly registry: EntryRegistry;
  readonly tokens: TokenVerifier;
  readonly agentAccount: AgentAccount;
}

/** Admits the caller as an agent by the token in its metadata. Throws UNAUTHENTICATED or PERMISSION_DENIED. */
export async function authenticateAgent(deps: AdmissionDeps, context: CallContext): Promise<Agent> {
  const header = context.header("authorization") ?? "";
  if (!header.startsWith("Bearer ")) {
    throw new SignetError(
      "UNAUTHENTICATED",
      "the agent's token must come as metadata authorization: Bearer <token>",
    );
  }
  const claims = await deps.tokens.verify(header.slice("Bearer ".length));
  const agent = admitAgent(
    claims,
    deps.agentAccount,
    (uid) => deps.registry.pod(uid)?.spec.nodeName,
  );
  // A token outlives its pod; the signature alone does not tell.
  const at = { namespace: claims.namespace, name: claims.podName, uid: claims.podUid };
  checkAgentPod(await findPod(deps.registry, at, agent), agent);
  return agent;
}

export interface PodAddress {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** The pod from the cache or, where the watch lags behind kubelet, from the API server. */
export async function findPod(
  registry: EntryRegistry,
  at: PodAddress,
  agent: Agent,
): Promise<PodObject | undefined> {
  const cached = registry.pod(at.uid);
  if (cached?.spec.nodeName === agent.nodeName) return cached;
  const fetched = await registry.fetchPod(at.namespace, at.name).catch((error: unknown) => {
    if (isSignetError(error, "UNAVAILABLE")) throw error;
    throw new SignetError(
      "UNAVAILABLE",
      `pod ${at.namespace}/${at.name} cannot be read: ${errorMessage(error)}`,
    );
  });
  return fetched?.metadata.uid === at.uid ? fetched : undefined;
}
