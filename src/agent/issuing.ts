import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import type { AttestOptions, WorkloadIdentity, WorkloadPod } from "../csi/ports.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import { generateKeyPair } from "./keys.ts";
import type { CallLimits, OperatorLink } from "./operator-link.ts";
import { identityFrom } from "./response.ts";

/** Gets identities: each with a key that was made for it alone, each answer checked. */
export interface Issuing {
  /** As `IdentitySource.attest`; also throws CANCELLED after an abort. */
  attest(pod: WorkloadPod, podToken: string, options: AttestOptions): Promise<WorkloadIdentity>;
  /** A fresh identity for a pod of this node. Throws what the operator refused with, or MALFORMED. */
  renew(podUid: string, limits: CallLimits): Promise<WorkloadIdentity>;
}

export interface IssuingOptions {
  readonly link: OperatorLink;
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  /** The bundle that was pushed last. */
  readonly pushed: () => Bundle | undefined;
}

/** Binds issuing to a link. */
export function issuing({ link, trustDomain, clock, pushed }: IssuingOptions): Issuing {
  const context = () => ({ trustDomain, now: clock.now(), pushed: pushed() });
  return {
    async attest(pod, podToken, { deadline, noWait, signal }) {
      const key = generateKeyPair();
      const request = { podUid: pod.uid, podToken, publicKey: key.publicKey, noWait };
      try {
        return identityFrom(await link.attest(request, { deadline, signal }), key, context());
      } catch (error) {
        throw asSourceError(error);
      }
    },
    async renew(podUid, limits) {
      const key = generateKeyPair();
      const response = await link.renew({ podUid, publicKey: key.publicKey }, limits);
      return identityFrom(response, key, context());
    },
  };
}

/** What a caller cannot act on, such as an answer that does not verify, is UNAVAILABLE to it. */
function asSourceError(error: unknown): SignetError {
  const final = ["NO_IDENTITY", "POD_GONE", "PERMISSION_DENIED", "UNAUTHENTICATED"] as const;
  if (isSignetError(error, ...final, "UNAVAILABLE", "CANCELLED")) return error;
  return new SignetError("UNAVAILABLE", errorMessage(error), { cause: error });
}
