import { SignetError } from "../core/errors.ts";
import { podName } from "../registration/objects.ts";
import type { PodObject } from "../registration/objects.ts";
import type { TokenClaims } from "./tokens.ts";

/** Who the agents are: one service account in the release namespace. */
export interface AgentAccount {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** An agent whose token was checked. */
export interface Agent {
  readonly nodeName: string;
  readonly podUid: string;
  /** When its token expires, in milliseconds since the epoch. */
  readonly expiresAt: number;
}

/**
 * Admits a caller as the agent of a node. The node is the one the API server bound the token to; clusters
 * that bind none answer through `nodeOfPod`, which looks the agent's own pod up.
 * Throws PERMISSION_DENIED.
 */
export function admitAgent(
  claims: TokenClaims,
  account: AgentAccount,
  nodeOfPod: (uid: string) => string | undefined,
): Agent {
  if (claims.namespace !== account.namespace || claims.serviceAccount !== account.serviceAccount) {
    throw denied(`service account ${claims.namespace}/${claims.serviceAccount} is not the agents'`);
  }
  const nodeName = claims.nodeName ?? nodeOfPod(claims.podUid);
  if (nodeName === undefined) {
    throw denied(`token of agent pod ${claims.podName} is bound to no node`);
  }
  return { nodeName, podUid: claims.podUid, expiresAt: claims.expiresAt };
}

/** Checks that the agent's own pod still is where its token says. Throws UNAUTHENTICATED. */
export function checkAgentPod(pod: PodObject | undefined, agent: Agent): void {
  if (pod?.metadata.uid === agent.podUid && pod.spec.nodeName === agent.nodeName) return;
  throw new SignetError(
    "UNAUTHENTICATED",
    `the agent's token was made for a pod that no longer runs on node ${agent.nodeName}`,
  );
}

/** Checks that a pod's own token speaks for the pod that the agent asks for. Throws PERMISSION_DENIED. */
export function checkPodToken(claims: TokenClaims, podUid: string, agent: Agent): void {
  if (claims.podUid !== podUid) {
    throw denied(
      `token belongs to pod ${claims.namespace}/${claims.podName}, not to the pod with UID ${podUid}`,
    );
  }
  if (claims.nodeName !== undefined && claims.nodeName !== agent.nodeName) {
    throw denied(
      `pod ${claims.namespace}/${claims.podName} runs on node ${claims.nodeName}, not on ${agent.nodeName}`,
    );
  }
}

/** Checks that a token was made for the service account the pod really runs as. Throws PERMISSION_DENIED. */
export function checkServiceAccount(claims: TokenClaims, pod: PodObject): void {
  const actual = pod.spec.serviceAccountName ?? "default";
  if (pod.metadata.namespace !== claims.namespace || actual !== claims.serviceAccount) {
    throw denied(
      `token of ${claims.namespace}/${claims.serviceAccount} was shown for pod ${podName(pod)}, which runs as ${actual}`,
    );
  }
}

/**
 * Checks that an agent may ask for a pod: it exists, it lives, and it runs on the agent's node.
 * Throws POD_GONE or PERMISSION_DENIED.
 */
export function checkPod(pod: PodObject | undefined, podUid: string, agent: Agent): PodObject {
  if (pod === undefined) throw new SignetError("POD_GONE", `there is no pod with UID ${podUid}`);
  if (pod.spec.nodeName !== agent.nodeName) {
    throw denied(
      `pod ${podName(pod)} runs on node ${pod.spec.nodeName ?? "(none yet)"}, not on ${agent.nodeName}`,
    );
  }
  if (isFinished(pod)) throw new SignetError("POD_GONE", `pod ${podName(pod)} has finished`);
  return pod;
}

/** A pod that is being deleted gets no first identity: kubelet only waits for us to let it go. */
export function checkNotEnding(pod: PodObject): void {
  if (pod.metadata.deletionTimestamp !== undefined) {
    throw new SignetError("POD_GONE", `pod ${podName(pod)} is being deleted`);
  }
}

function isFinished(pod: PodObject): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

function denied(message: string): SignetError {
  return new SignetError("PERMISSION_DENIED", message);
}
