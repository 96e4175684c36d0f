import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError, SignetError, toSignetError } from "../core/errors.ts";
import type { Live } from "../core/live.ts";
import type { Log } from "../core/log.ts";
import type { IssueCall } from "../inspect/ports.ts";
import type { RegistrationEntry } from "../registration/entry.ts";
import { podName } from "../registration/objects.ts";
import type { PodObject } from "../registration/objects.ts";
import type { Issuer } from "../rpc/gen/signet/agent/v1/agent_pb.js";
import type { CallContext, Handlers } from "../rpc/server.ts";
import {
  admitAgent,
  checkAgentPod,
  checkNotEnding,
  checkPod,
  checkPodToken,
  checkServiceAccount,
} from "./attestation.ts";
import type { Agent, AgentAccount } from "./attestation.ts";
import { encodeBundle, encodeSvid } from "./encode.ts";
import { explainAbsence } from "./explain.ts";
import type { IssueLog } from "./issue-log.ts";
import type { CertificateAuthority, EntryRegistry } from "./ports.ts";
import type { Sessions } from "./sessions.ts";
import type { TokenVerifier } from "./tokens.ts";
import type { WaitingRoom } from "./waiting-room.ts";

/** A pod that still has no identity after this long gets an event that says why. */
const EVENT_AFTER_MS = 1000;
/** The answer leaves this long before the caller gives up. */
const ANSWER_MARGIN_MS = 500;
/** Longest wait for a caller that set no deadline. */
const DEFAULT_WAIT_MS = 110_000;

export interface IssuerDeps {
  readonly registry: EntryRegistry;
  readonly authority: Live<CertificateAuthority>;
  readonly tokens: TokenVerifier;
  readonly agentAccount: AgentAccount;
  readonly waitingRoom: WaitingRoom;
  readonly sessions: Sessions;
  /** SVID lifetime in milliseconds for entries that name none. */
  readonly defaultTtlMs: number;
  /** Tells a pod, as a Warning event, why it has no identity. */
  readonly warnPod: (pod: PodObject, reason: string, message: string) => void;
  readonly onIssued: (kind: IssueCall, count: number, ms: number) => void;
  /** Remembers what became of each pod's calls. */
  readonly issues: Pick<IssueLog, "recordIssued" | "recordFailure">;
  readonly clock: Clock;
  readonly log: Log;
}

type Service = Required<Handlers<typeof Issuer>>;

/** The agent-facing service: who asks is checked first, always; then what may be had, then it is signed. */
export function createIssuerService(deps: IssuerDeps): Service {
  return {
    attest: (request, context) =>
      answer(deps, { by: "attest", podUid: request.podUid, context }, (agent) =>
        attest(deps, request, { agent, context }),
      ),
    renew: (request, context) =>
      answer(deps, { by: "renew", podUid: request.podUid, context }, (agent) =>
        renew(deps, request, agent),
      ),
    issueJwt: () =>
      Promise.reject(new SignetError("UNIMPLEMENTED", "this operator issues no JWT-SVIDs")),
    async watch(_request, send, context) {
      const agent = await authenticateAgent(deps, context);
      const expiry = new AbortController();
      const life = AbortSignal.any([context.signal, expiry.signal]);
      const timer = deps.clock.sleep(
        Math.max(0, agent.expiresAt - deps.clock.now()),
        context.signal,
      );
      timer.then(
        () => expiry.abort(),
        () => undefined,
      );
      await deps.sessions.serve(agent.nodeName, send, life);
      throw new SignetError(
        "UNAVAILABLE",
        "the session is over: the agent's token expired; connect again",
      );
    },
  };
}

type Attest = Parameters<Service["attest"]>[0];
type Renew = Parameters<Service["renew"]>[0];
type Response = Awaited<ReturnType<Service["attest"]>>;

interface Call {
  readonly by: IssueCall;
  readonly podUid: string;
  readonly context: CallContext;
}

/** Lets an agent ask, and remembers what became of it. */
async function answer(
  deps: IssuerDeps,
  { by, podUid, context }: Call,
  act: (agent: Agent) => Promise<Issue>,
): Promise<Response> {
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

async function attest(
  deps: IssuerDeps,
  request: Attest,
  { agent, context }: { readonly agent: Agent; readonly context: CallContext },
): Promise<Issue> {
  const claims = await deps.tokens.verify(request.podToken);
  checkPodToken(claims, request.podUid, agent);
  const at = { namespace: claims.namespace, name: claims.podName, uid: request.podUid };
  const pod = checkPod(await findPod(deps, at, agent), request.podUid, agent);
  checkServiceAccount(claims, pod);
  checkNotEnding(pod);
  const entries = await entriesFor(deps, pod, { noWait: request.noWait, context });
  // Waiting may have taken long: what was true of the pod then is checked again.
  checkNotEnding(checkPod(deps.registry.pod(request.podUid), request.podUid, agent));
  const issued = await issue(deps, entries, Buffer.from(request.publicKey));
  deps.log.info(
    { pod: podName(pod), node: agent.nodeName, spiffeIds: issued.spiffeIds },
    "issued the pod's first SVIDs",
  );
  return issued;
}

async function renew(deps: IssuerDeps, request: Renew, agent: Agent): Promise<Issue> {
  const pod = checkPod(deps.registry.pod(request.podUid), request.podUid, agent);
  const entries = deps.registry.entriesOfPod(request.podUid);
  if (entries.length === 0) throw noIdentity(deps, pod);
  const issued = await issue(deps, entries, Buffer.from(request.publicKey));
  deps.log.debug({ pod: podName(pod), node: agent.nodeName }, "renewed the pod's SVIDs");
  return issued;
}

async function authenticateAgent(deps: IssuerDeps, context: CallContext): Promise<Agent> {
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
  checkAgentPod(await findPod(deps, at, agent), agent);
  return agent;
}

interface PodAddress {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** The pod from the cache or, where the watch lags behind kubelet, from the API server. */
async function findPod(
  deps: IssuerDeps,
  at: PodAddress,
  agent: Agent,
): Promise<PodObject | undefined> {
  const cached = deps.registry.pod(at.uid);
  if (cached?.spec.nodeName === agent.nodeName) return cached;
  const fetched = await deps.registry.fetchPod(at.namespace, at.name).catch((error: unknown) => {
    if (isSignetError(error, "UNAVAILABLE")) throw error;
    throw new SignetError(
      "UNAVAILABLE",
      `pod ${at.namespace}/${at.name} cannot be read: ${errorMessage(error)}`,
    );
  });
  return fetched?.metadata.uid === at.uid ? fetched : undefined;
}

async function entriesFor(
  deps: IssuerDeps,
  pod: PodObject,
  how: { readonly noWait: boolean; readonly context: CallContext },
): Promise<readonly RegistrationEntry[]> {
  const podUid = pod.metadata.uid;
  const { deadline, signal } = how.context;
  const now = deps.clock.now();
  const patience = how.noWait
    ? 0
    : Math.max(0, (deadline ?? now + DEFAULT_WAIT_MS) - now - ANSWER_MARGIN_MS);
  const grace = Math.min(EVENT_AFTER_MS, patience);
  const early = await deps.waitingRoom.waitForEntries({ podUid, timeoutMs: grace, signal });
  if (early.length > 0) return early;
  deps.warnPod(
    pod,
    "NoIdentity",
    `waiting for an identity: ${explainAbsence(deps.registry.explainPod(podUid))}`,
  );
  const late = await deps.waitingRoom.waitForEntries({
    podUid,
    timeoutMs: patience - grace,
    signal,
  });
  if (late.length === 0) throw noIdentity(deps, pod);
  return late;
}

function noIdentity(deps: IssuerDeps, pod: PodObject): SignetError {
  const why = explainAbsence(deps.registry.explainPod(pod.metadata.uid));
  return new SignetError("NO_IDENTITY", `no identity for pod ${podName(pod)}: ${why}`);
}

interface Issue {
  readonly response: Response;
  /** Of the SVID that expires first, in milliseconds since the epoch. */
  readonly notAfter: number;
  readonly spiffeIds: readonly string[];
}

async function issue(
  deps: IssuerDeps,
  entries: readonly RegistrationEntry[],
  publicKey: Buffer,
): Promise<Issue> {
  const authority = deps.authority.get();
  const now = deps.clock.now();
  const certificates = await Promise.all(
    entries.map(async (entry) => {
      const ttlMs = entry.x509SvidTtl > 0 ? entry.x509SvidTtl * 1000 : deps.defaultTtlMs;
      const { spiffeId, dnsNames } = entry;
      return {
        entry,
        issued: await authority.issue({ spiffeId, publicKey, dnsNames, ttlMs, now }),
      };
    }),
  );
  const svids = certificates.map(({ entry, issued }) => encodeSvid(entry, issued));
  return {
    response: { svids, bundle: encodeBundle(authority.bundle) },
    notAfter: Math.min(...certificates.map(({ issued }) => issued.notAfter)),
    spiffeIds: entries.map((entry) => entry.spiffeId),
  };
}
