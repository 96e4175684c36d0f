import type { Bundle } from "../spiffe/bundle.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";

/** An X509-SVID with its key. */
export interface WorkloadSvid {
  readonly spiffeId: string;
  /** DER certificates: leaf, then intermediates up to but without the root. */
  readonly chain: readonly Buffer[];
  /** PKCS#8 in DER. */
  readonly privateKey: Buffer;
  /** Empty when none. */
  readonly hint: string;
}

/** All that a workload may know at one moment; a change makes a new object. */
export interface EntitledState {
  readonly status: "entitled";
  readonly trustDomain: TrustDomain;
  /** The default SVID first, the others in an order that does not change with rotations; never empty. */
  readonly svids: readonly WorkloadSvid[];
  readonly bundle: Bundle;
  /** Foreign trust domains that the workload federates with. */
  readonly federatedBundles: ReadonlyMap<TrustDomain, Bundle>;
}

/**
 * `none`: nothing selects the workload, and it is told so: some clients then drop what they hold.
 * `unknown`: not known yet, as after a restart; callers are told to come again.
 */
export type WorkloadState =
  | EntitledState
  | { readonly status: "none" }
  | { readonly status: "unknown" };

export interface JwtSvidRequest {
  /** At least one, without repetitions, in the caller's order. */
  readonly audiences: readonly string[];
  /** One of the workload's identities; undefined for all of them. */
  readonly spiffeId: string | undefined;
  /** Aborts when the caller goes away. */
  readonly signal: AbortSignal;
}

/** A JWT-SVID in its compact form. */
export interface JwtSvid {
  readonly spiffeId: string;
  readonly token: string;
  /** Empty when none. */
  readonly hint: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** One workload as its Workload API sees it. */
export interface WorkloadSource {
  current(): WorkloadState;
  /** Calls `listener` after each change of `current` from now on; the result ends it. */
  subscribe(listener: () => void): () => void;
  /**
   * Tokens for the workload's identities, the default one first. Throws NO_IDENTITY or PERMISSION_DENIED when
   * there is none to give, INVALID_ARGUMENT when the audience can never be had, else UNAVAILABLE.
   */
  fetchJwtSvids(request: JwtSvidRequest): Promise<readonly JwtSvid[]>;
}
