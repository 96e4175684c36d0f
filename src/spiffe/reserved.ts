import { spiffeId } from "./id.ts";
import type { SpiffeId } from "./id.ts";
import type { TrustDomain } from "./trust-domain.ts";

/** Identities of Signet's own parts lie below this path; no workload ever gets one. */
const RESERVED = "/signet";

/** The SPIFFE ID that every replica of the operator shows, and the only one that agents talk to. */
export function operatorId(trustDomain: TrustDomain): SpiffeId {
  return spiffeId(trustDomain, `${RESERVED}/operator`);
}

/** Tells whether a SPIFFE ID is one that only Signet itself may have. */
export function isReserved(id: SpiffeId): boolean {
  return id.path === RESERVED || id.path.startsWith(`${RESERVED}/`);
}
