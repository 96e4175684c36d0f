import type { Clock } from "../core/clock.ts";
import { SignetError, toSignetError } from "../core/errors.ts";
import type { IssueCall } from "../inspect/ports.ts";
import { podName } from "../registration/objects.ts";
import type { PodObject } from "../registration/objects.ts";
import type { CallContext } from "../rpc/server.ts";
import { authenticateAgent } from "./admission.ts";
import type { AdmissionDeps } from "./admission.ts";
import type { Agent } from "./attestation.ts";
import { explainAbsence } from "./explain.ts";
import type { IssueLog } from "./issue-log.ts";
import type { EntryRegistry } from "./ports.ts";

export interface CallDeps extends AdmissionDeps {
  readonly onIssued: (kind: IssueCall, count: number, ms: number) => void;
  /** Remembers what became of each pod's calls. */
  readonly issues: Pick<IssueLog, "recordIssued" | "recordFailure">;
  readonly clock: Clock;
}

export interface Call {
  readonly by: IssueCall;
  readonly podUid: string;
  readonly context: CallContext;
}

/** What came of a call. */
export interface Issue<R> {
  readonly response: R;
  /** Of the SVID that expires first, in milliseconds since the epoch. */
  readonly notAfter: number;
  readonly spiffeIds: readonly string[];
}

/** Lets an agent ask, and remembers what became of it. */
export async function answer<R>(
  deps: CallDeps,
  { by, podUid, context }: Call,
  act: (agent: Agent) => Promise<Issue<R>>,
): Promise<R> {
  const startedAt = deps.clock.now();
  const agent = await authenticateAgent(deps, context);
  try {
    const { response, notAfter, spiffeIds } = await act(agent);
    const at = deps.clock.now();
    deps.onIssued(by, spiffeIds.length, at - startedAt);
    deps.issues.recordIssued(podUid, { by, at, notAfter, spiffeIds });
    return response;
  } catch (error) {
    const { code, message } = toSignetError(error);
    // Whoever gave up learns nothing from that; and no agent may speak of another node's pods.
    if (code !== "CANCELLED" && deps.registry.pod(podUid)?.spec.nodeName === agent.nodeName) {
      deps.issues.recordFailure(podUid, { by, at: deps.clock.now(), code, message });
    }
    throw error;
  }
}

/** That nothing selects the pod, and why. */
export function noIdentity(registry: EntryRegistry, pod: PodObject): SignetError {
  const why = explainAbsence(registry.explainPod(pod.metadata.uid));
  return new SignetError("NO_IDENTITY", `no identity for pod ${podName(pod)}: ${why}`);
}
