import type { KeyType } from "../ca/key-pair.ts";
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
  /** Names of the foreign trust domains whose bundles go with it. */
  readonly federatesWith: readonly string[];
}

/** A JWT-SVID of the default identity for one audience. */
export interface FileToken {
  readonly audience: string;
  readonly spiffeId: string;
  /** JWS compact serialization. */
  readonly token: string;
  /** Milliseconds since the epoch. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** What a volume shows: SVIDs of one pod that share one key, what they are verified with, and tokens. */
export interface WorkloadIdentity {
  /** The default SVID first; never empty. */
  readonly svids: readonly IssuedSvid[];
  /** PKCS#8 in DER. Never leaves the node. */
  readonly privateKey: Buffer;
  readonly bundle: Bundle;
  /** Those that some SVID federates with, as far as they are known, by trust domain. */
  readonly federatedBundles: readonly Bundle[];
  /** One for each of the volume's audiences, in their order. */
  readonly tokens: readonly FileToken[];
}

/** A volume that is or will be mounted. */
export interface Volume {
  readonly id: string;
  readonly pod: WorkloadPod;
  /** Audiences of the JWT-SVIDs that lie in the volume as files. */
  readonly jwtAudiences: readonly string[];
  /** Of the SVIDs' key. */
  readonly keyType: KeyType;
  /** What becomes of the files when the pod has no identity any more: they stay until they expire, or go at once. */
  readonly removal: "keep" | "remove";
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
   * The volume's first identity with its tokens; waits for it until the deadline.
   * Throws NO_IDENTITY, POD_GONE, PERMISSION_DENIED, UNAUTHENTICATED or UNAVAILABLE.
   */
  attest(volume: Volume, podToken: string, options: AttestOptions): Promise<WorkloadIdentity>;
  /** Keeps the volume's identity fresh from now on; without `current` it is fetched as soon as there is one. */
  adopt(volume: Volume, current: WorkloadIdentity | undefined): void;
  /** Stops looking after the volume; unknown ones are ignored. */
  forget(volumeId: string): void;
  /** The pod's IP address as the operator knows it; undefined before there is one. */
  addressOf(podUid: string): string | undefined;
}

/** What a renewal needs from whoever owns the volumes. */
export interface IdentitySink {
  /** Replaces what the volume shows, at once and as a whole. Throws NOT_FOUND when the volume is gone. */
  write(volumeId: string, identity: WorkloadIdentity): Promise<void>;
  /** Leaves the trust bundles and takes keys, SVIDs and tokens away. Throws NOT_FOUND when the volume is gone. */
  clear(volumeId: string): Promise<void>;
}

/** The Workload API sockets of volumes; the volume's lock orders the calls for one volume. */
export interface WorkloadSockets {
  /** Shows the volume's socket in its folder; it may be shown already. Throws SYSTEM. */
  open(volumeId: string, directory: string): Promise<void>;
  /** Ends the socket and its clients before the volume goes; unknown volumes are ignored. */
  close(volumeId: string): Promise<void>;
  /**
   * Ends all sockets and leaves their files, so that clients find the next process: takes no client from the call
   * on, and resolves when those that are there have been told.
   */
  stop(): Promise<void>;
}
