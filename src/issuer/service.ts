import type { Clock } from "../core/clock.ts";
import { SignetError } from "../core/errors.ts";
import type { Live } from "../core/live.ts";
import type { Log } from "../core/log.ts";
import type { RegistrationEntry } from "../registration/entry.ts";
import { podIp, podName } from "../registration/objects.ts";
import type { PodObject } from "../registration/objects.ts";
import type { PodEntries } from "../registration/types.ts";
import type { Issuer } from "../rpc/gen/signet/agent/v1/agent_pb.js";
import type { CallContext, Handlers } from "../rpc/server.ts";
import { authenticateAgent, findPod } from "./admission.ts";
import { checkNotEnding, checkPod, checkPodToken, checkServiceAccount } from "./attestation.ts";
import type { Agent } from "./attestation.ts";
import { answer, noIdentity } from "./calls.ts";
import type { CallDeps, Issue } from "./calls.ts";
import { encodeSvid } from "./encode.ts";
import type { BundleMessage, EncodeBundle } from "./encode.ts";
import { explainAbsence } from "./explain.ts";
import { issueJwt } from "./issue-jwt.ts";
import type { PodClaims } from "./jwt-claims.ts";
import type { CertificateAuthority } from "./ports.ts";
import type { Sessions } from "./sessions.ts";
import type { WaitingRoom } from "./waiting-room.ts";

/** A pod that still has no identity after this long gets an event that says why. */
const EVENT_AFTER_MS = 1000;
/** The answer leaves this long before the caller gives up. */
const ANSWER_MARGIN_MS = 500;
/** Longest wait for a caller that set no deadline. */
const DEFAULT_WAIT_MS = 110_000;

export interface IssuerDeps extends CallDeps {
  readonly authority: Live<CertificateAuthority>;
  readonly waitingRoom: WaitingRoom;
  readonly sessions: Sessions;
  readonly encodeBundle: EncodeBundle;
  /** SVID lifetimes in milliseconds for entries that name none. */
  readonly defaultTtlMs: number;
  readonly defaultJwtTtlMs: number;
  /** What a pod's JWT-SVIDs say beside the registered claims. */
  readonly claims: PodClaims;
  /** Tells a pod, as a Warning event, why it has no identity. */
  readonly warnPod: (pod: PodObject, reason: string, message: string) => void;
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
    issueJwt: (request, context) =>
      answer(deps, { by: "issueJwt", podUid: request.podUid, context }, (agent) =>
        issueJwt(deps, request, agent),
      ),
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

async function attest(
  deps: IssuerDeps,
  request: Attest,
  { agent, context }: { readonly agent: Agent; readonly context: CallContext },
): Promise<Issue<Response>> {
  const claims = await deps.tokens.verify(request.podToken);
  checkPodToken(claims, request.podUid, agent);
  const at = { namespace: claims.namespace, name: claims.podName, uid: request.podUid };
  const pod = checkPod(await findPod(deps.registry, at, agent), request.podUid, agent);
  checkServiceAccount(claims, pod);
  checkNotEnding(pod);
  const entries = await entriesFor(deps, pod, { noWait: request.noWait, context });
  // Waiting may have taken long: what was true of the pod then is checked again.
  const now = checkPod(deps.registry.pod(request.podUid), request.podUid, agent);
  checkNotEnding(now);
  const issued = await issue(deps, { pod: now, entries }, Buffer.from(request.publicKey));
  deps.log.info(
    { pod: podName(pod), node: agent.nodeName, spiffeIds: issued.spiffeIds },
    "issued the pod's first SVIDs",
  );
  return issued;
}

async function renew(deps: IssuerDeps, request: Renew, agent: Agent): Promise<Issue<Response>> {
  const pod = checkPod(deps.registry.pod(request.podUid), request.podUid, agent);
  const entries = deps.registry.entriesOfPod(request.podUid);
  if (entries.length === 0) throw noIdentity(deps.registry, pod);
  const issued = await issue(deps, { pod, entries }, Buffer.from(request.publicKey));
  deps.log.debug({ pod: podName(pod), node: agent.nodeName }, "renewed the pod's SVIDs");
  return issued;
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
  if (late.length === 0) throw noIdentity(deps.registry, pod);
  return late;
}

async function issue(
  deps: IssuerDeps,
  { pod, entries }: PodEntries,
  publicKey: Buffer,
): Promise<Issue<Response>> {
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
  return {
    response: {
      svids: certificates.map(({ entry, issued }) => encodeSvid(entry, issued)),
      bundle: deps.encodeBundle(authority.bundle),
      federatedBundles: federatedBundles(deps, entries),
      podIp: podIp(pod),
    },
    notAfter: Math.min(...certificates.map(({ issued }) => issued.notAfter)),
    spiffeIds: entries.map((entry) => entry.spiffeId),
  };
}

/** The bundles that entries federate with, as far as they are known. */
function federatedBundles(
  { registry, encodeBundle }: IssuerDeps,
  entries: readonly RegistrationEntry[],
): BundleMessage[] {
  const names = new Set(entries.flatMap(({ federatesWith }) => federatesWith));
  if (names.size === 0) return [];
  const known = registry.foreignBundles();
  return [...names].flatMap((name) => {
    const bundle = known.get(name);
    return bundle ? [encodeBundle(bundle)] : [];
  });
}
