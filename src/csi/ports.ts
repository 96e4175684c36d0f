import type { Bundle } from "../spiffe/bundle.ts";
import type { X509Svid } from "../spiffe/svid.ts";

/** The pod that a volume belongs to, in kubelet's words. */
export interface WorkloadPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** An X509-SVID with the fingerprint of the registration entry at the time of issue. */
export interface IssuedSvid extends X509Svid {
  readonly revision: string;
}

/** What a volume shows: SVIDs of one pod that share one key, and the trust bundle. */
export interface WorkloadIdentity {
  /** The default SVID first; never empty. */
  readonly svids: readonly IssuedSvid[];
  /** PKCS#8 in DER. Never leaves the node. */
  readonly privateKey: Buffer;
  readonly bundle: Bundle;
}

/** A volume that is or will be mounted. */
export interface Volume {
  readonly id: string;
  readonly pod: WorkloadPod;
}

export interface AttestOptions {
  /** Milliseconds since the epoch: the latest moment to answer. */
  readonly deadline: number;
  /** Fail at once instead of waiting when nothing selects the pod. */
  readonly noWait: boolean;
  readonly signal: AbortSignal;
}

/** What the CSI service needs from whoever gets identities. */
export interface IdentitySource {
  /**
   * The pod's first identity; waits for it until the deadline.
   * Throws NO_IDENTITY, POD_GONE, PERMISSION_DENIED, UNAUTHENTICATED or UNAVAILABLE.
   */
  attest(pod: WorkloadPod, podToken: string, options: AttestOptions): Promise<WorkloadIdentity>;
  /** Keeps the volume's identity fresh from now on; without `current` it is fetched as soon as there is one. */
  adopt(volume: Volume, current: WorkloadIdentity | undefined): void;
  /** Stops looking after the volume; unknown ones are ignored. */
  forget(volumeId: string): void;
}

/** What a renewal needs from whoever owns the volumes. */
export interface IdentitySink {
  /** Replaces what the volume shows, at once and as a whole. Throws NOT_FOUND when the volume is gone. */
  write(volumeId: string, identity: WorkloadIdentity): Promise<void>;
}
