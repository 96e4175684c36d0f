import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import type { AttestOptions, FileToken, Volume, WorkloadIdentity } from "../csi/ports.ts";
import type { IssueResponse } from "../rpc/gen/signet/agent/v1/agent_pb.js";
import type { Bundle } from "../spiffe/bundle.ts";
import type { BundleReader } from "./bundle-message.ts";
import type { JwtQuestion } from "./jwt-cache.ts";
import { jwtSvidsFrom } from "./jwt-response.ts";
import type { IssuedJwt, VerifyJwt } from "./jwt-response.ts";
import { generateKeyPair } from "./keys.ts";
import type { KeyPair } from "./keys.ts";
import type { CallLimits, OperatorLink } from "./operator-link.ts";
import { identityFrom } from "./response.ts";

/** Gets identities: each with a key that was made for it alone, each answer checked. */
export interface Issuing {
  /** As `IdentitySource.attest`; also throws CANCELLED after an abort. */
  attest(volume: Volume, podToken: string, options: AttestOptions): Promise<WorkloadIdentity>;
  /**
   * A fresh identity for a volume of this node, without its tokens unless asked for. Throws what the operator
   * refused with, or MALFORMED.
   */
  renew(volume: Volume, options: RenewOptions): Promise<WorkloadIdentity>;
  /** Tokens of the default identity for each of the volume's audiences. Never throws. */
  fileTokens(volume: Volume, identity: WorkloadIdentity, limits: CallLimits): Promise<FileTokens>;
  /** JWT-SVIDs of a pod of this node that verify against the bundle. Throws what the operator refused with, or MALFORMED. */
  issueJwt(
    podUid: string,
    question: JwtQuestion,
    options: CallLimits & { readonly bundle: Bundle },
  ): Promise<readonly IssuedJwt[]>;
}

/** The tokens that came for the files of a volume, and why others did not. */
export interface FileTokens {
  readonly tokens: readonly FileToken[];
  /** The first failure. */
  readonly error: unknown;
}

export interface RenewOptions extends CallLimits {
  /** Get the tokens of the volume's files too, as far as they can be had. */
  readonly withTokens: boolean;
}

export interface IssuingOptions {
  readonly link: Pick<OperatorLink, "attest" | "renew" | "issueJwt">;
  readonly verifyJwt: VerifyJwt;
  readonly bundles: BundleReader;
  readonly clock: Clock;
  /** The bundle that was pushed last. */
  readonly pushed: () => Bundle | undefined;
  /** Told the address that an answer names for a pod. */
  readonly onAddress: (podUid: string, address: string) => void;
}

/** Binds issuing to a link. */
export function issuing(options: IssuingOptions): Issuing {
  const { link } = options;
  const tokensFor = fileTokensOf(options);
  return {
    async attest(volume, podToken, { deadline, noWait, signal }) {
      const key = await generateKeyPair(volume.keyType);
      const request = { podUid: volume.pod.uid, podToken, publicKey: key.publicKey, noWait };
      const limits = { deadline, signal };
      try {
        const identity = accepted(options, await link.attest(request, limits), { volume, key });
        const { tokens, error } = await tokensFor(volume, identity, limits);
        if (error !== undefined) throw withoutToken(error, signal);
        return { ...identity, tokens };
      } catch (error) {
        throw asSourceError(error);
      }
    },
    async renew(volume, { deadline, signal, withTokens }) {
      const key = await generateKeyPair(volume.keyType);
      const request = { podUid: volume.pod.uid, publicKey: key.publicKey };
      const response = await link.renew(request, { deadline, signal });
      const identity = accepted(options, response, { volume, key });
      if (!withTokens) return identity;
      const { tokens } = await tokensFor(volume, identity, { deadline, signal });
      return { ...identity, tokens };
    },
    fileTokens: tokensFor,
    issueJwt: (podUid, question, limits) => issueJwt(options, podUid, { question, limits }),
  };
}

function accepted(
  { bundles, clock, pushed, onAddress }: IssuingOptions,
  response: IssueResponse,
  { volume, key }: { readonly volume: Volume; readonly key: KeyPair },
): WorkloadIdentity {
  const context = { bundles, now: clock.now(), pushed: pushed() };
  const identity = identityFrom(response, key, context);
  onAddress(volume.pod.uid, response.podIp);
  return identity;
}

interface JwtCall {
  readonly question: JwtQuestion;
  readonly limits: CallLimits & { readonly bundle: Bundle };
}

async function issueJwt(
  { link, clock, verifyJwt: verify }: IssuingOptions,
  podUid: string,
  { question, limits: { bundle, deadline, signal } }: JwtCall,
): Promise<readonly IssuedJwt[]> {
  const { spiffeId, audiences } = question;
  const request = { podUid, audiences: [...audiences], spiffeId: spiffeId ?? "" };
  const response = await link.issueJwt(request, { deadline, signal });
  return jwtSvidsFrom(response, { audiences, spiffeId, bundle, now: clock.now(), verify });
}

function fileTokensOf(options: IssuingOptions): Issuing["fileTokens"] {
  return async ({ jwtAudiences, pod }, { svids, bundle }, limits) => {
    const spiffeId = svids[0]?.spiffeId;
    const answers = await Promise.allSettled(
      jwtAudiences.map(async (audience) => {
        const question = { audiences: [audience], spiffeId };
        const [issued] = await issueJwt(options, pod.uid, {
          question,
          limits: { ...limits, bundle },
        });
        return issued ? [fileToken(audience, issued)] : [];
      }),
    );
    const failed = answers.find((answer) => answer.status === "rejected");
    const tokens = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    return { tokens, error: failed?.reason as unknown };
  };
}

function fileToken(
  audience: string,
  { spiffeId, token, issuedAt, expiresAt }: IssuedJwt,
): FileToken {
  return { audience, spiffeId, token, issuedAt, expiresAt };
}

/** A pod must not be given up for a token: kubelet tries again. */
function withoutToken(error: unknown, { aborted }: AbortSignal): unknown {
  if (aborted) return error;
  const message = `no JWT-SVID for the volume's files: ${errorMessage(error)}`;
  return new SignetError("UNAVAILABLE", message, { cause: error });
}

/** What a caller cannot act on, such as an answer that does not verify, is UNAVAILABLE to it. */
function asSourceError(error: unknown): SignetError {
  const final = ["NO_IDENTITY", "POD_GONE", "PERMISSION_DENIED", "UNAUTHENTICATED"] as const;
  if (isSignetError(error, ...final, "UNAVAILABLE", "CANCELLED")) return error;
  return new SignetError("UNAVAILABLE", errorMessage(error), { cause: error });
}
