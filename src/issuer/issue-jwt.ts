import type { Clock } from "../core/clock.ts";
import { SignetError } from "../core/errors.ts";
import type { Live } from "../core/live.ts";
import type { Log } from "../core/log.ts";
import type { RegistrationEntry } from "../registration/entry.ts";
import { podName } from "../registration/objects.ts";
import type { PodObject } from "../registration/objects.ts";
import { MAX_AUDIENCE_BYTES, MAX_AUDIENCES, MAX_AUDIENCES_BYTES } from "../spiffe/jwt-svid.ts";
import { checkPod } from "./attestation.ts";
import type { Agent } from "./attestation.ts";
import { noIdentity } from "./calls.ts";
import type { Issue } from "./calls.ts";
import { encodeJwtSvid } from "./encode.ts";
import type { PodClaims } from "./jwt-claims.ts";
import type { CertificateAuthority, EntryRegistry } from "./ports.ts";

// oxlint-disable-next-line no-control-regex -- these are what is refused
const CONTROL = /[\u0000-\u001f\u007f]/;

export interface IssueJwtDeps {
  readonly registry: EntryRegistry;
  readonly authority: Live<CertificateAuthority>;
  /** JWT-SVID lifetime in milliseconds for entries that name none. */
  readonly defaultJwtTtlMs: number;
  readonly claims: PodClaims;
  readonly clock: Clock;
  readonly log: Log;
}

export interface JwtAsked {
  readonly podUid: string;
  readonly audiences: readonly string[];
  /** Empty for all of the pod's identities. */
  readonly spiffeId: string;
}

type JwtSvid = ReturnType<typeof encodeJwtSvid>;

/**
 * Issues JWT-SVIDs for the identities of a pod of the agent's node, the default one first. Throws POD_GONE,
 * PERMISSION_DENIED (another node's pod, or a SPIFFE ID that the pod has not), NO_IDENTITY, INVALID_ARGUMENT
 * (audiences), TEMPLATE_EXEC (a declared claim) or UNAVAILABLE (there is no JWT authority yet).
 */
export async function issueJwt(
  deps: IssueJwtDeps,
  { podUid, audiences, spiffeId }: JwtAsked,
  agent: Agent,
): Promise<Issue<{ svids: JwtSvid[] }>> {
  const pod = checkPod(deps.registry.pod(podUid), podUid, agent);
  checkAudiences(audiences);
  const entries = entriesAsked(deps.registry, pod, spiffeId);
  const authority = deps.authority.get();
  const claims = deps.claims(pod);
  const now = deps.clock.now();
  const issued = await Promise.all(
    entries.map(async (entry) => {
      const ttlMs = entry.jwtSvidTtl > 0 ? entry.jwtSvidTtl * 1000 : deps.defaultJwtTtlMs;
      const request = { spiffeId: entry.spiffeId, audiences, ttlMs, now, claims };
      return { entry, token: await authority.issueJwt(request) };
    }),
  );
  deps.log.debug({ pod: podName(pod), node: agent.nodeName, audiences }, "issued JWT-SVIDs");
  return {
    response: { svids: issued.map(({ entry, token }) => encodeJwtSvid(entry, token)) },
    notAfter: Math.min(...issued.map(({ token }) => token.expiresAt)),
    spiffeIds: entries.map((entry) => entry.spiffeId),
  };
}

function checkAudiences(audiences: readonly string[]): void {
  if (audiences.length === 0) throw invalid("at least one must be named");
  if (audiences.length > MAX_AUDIENCES) throw invalid(`at most ${MAX_AUDIENCES} can be named`);
  if (new Set(audiences).size < audiences.length) throw invalid("one is named twice");
  let sum = 0;
  for (const audience of audiences) {
    const bytes = Buffer.byteLength(audience);
    sum += bytes;
    if (bytes === 0) throw invalid("one is empty");
    if (bytes > MAX_AUDIENCE_BYTES) throw invalid(`one has more than ${MAX_AUDIENCE_BYTES} bytes`);
    if (CONTROL.test(audience))
      throw invalid(`${JSON.stringify(audience)} has a control character`);
  }
  if (sum > MAX_AUDIENCES_BYTES) {
    throw invalid(`together they have more than ${MAX_AUDIENCES_BYTES} bytes`);
  }
}

function entriesAsked(
  registry: EntryRegistry,
  pod: PodObject,
  spiffeId: string,
): readonly RegistrationEntry[] {
  const entries = registry.entriesOfPod(pod.metadata.uid);
  if (entries.length === 0) throw noIdentity(registry, pod);
  if (spiffeId === "") return entries;
  const asked = entries.filter((entry) => entry.spiffeId === spiffeId);
  if (asked.length > 0) return asked;
  const shown = JSON.stringify(spiffeId.slice(0, 256));
  throw new SignetError("PERMISSION_DENIED", `pod ${podName(pod)} has no identity ${shown}`);
}

function invalid(rule: string): SignetError {
  return new SignetError("INVALID_ARGUMENT", `audiences: ${rule}`);
}
