import type { BundleDocument } from "../spiffe/bundle-document.ts";
import type { Bundle } from "../spiffe/bundle.ts";
import type { RegistrationEntry } from "../registration/entry.ts";
import type { PodObject } from "../registration/objects.ts";
import type { Explanation, PodEntries } from "../registration/types.ts";

/** Told when something that concerns a pod changed. */
export interface RegistryListener {
  /** The entries of a pod on `nodeName` differ from before, or its address does while it has any. */
  entriesChanged(podUid: string, nodeName: string): void;
  /** The pod is gone or on its way out. */
  podEnding(podUid: string): void;
  /** The bundle of a foreign trust domain came, changed or is gone. */
  foreignBundleChanged(trustDomain: string): void;
}

/** What the issuer needs to know of pods and their registration entries. */
export interface EntryRegistry {
  pod(uid: string): PodObject | undefined;
  entriesOfPod(uid: string): readonly RegistrationEntry[];
  /** Every pod of a node, also those without entries. */
  podsOfNode(nodeName: string): readonly PodEntries[];
  explainPod(uid: string): readonly Explanation[];
  /** The bundles of foreign trust domains that are known, by name; one that changed is another object. */
  foreignBundles(): ReadonlyMap<string, BundleDocument>;
  /** Asks the API server itself, past the cache; undefined when there is no such pod. */
  fetchPod(namespace: string, name: string): Promise<PodObject | undefined>;
  subscribe(listener: Partial<RegistryListener>): () => void;
}

export interface IssueRequest {
  readonly spiffeId: string;
  /** SubjectPublicKeyInfo in DER. */
  readonly publicKey: Buffer;
  readonly dnsNames: readonly string[];
  readonly ttlMs: number;
  readonly now: number;
}

export interface IssuedCertificate {
  readonly chain: readonly Buffer[];
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface IssueJwtRequest {
  readonly spiffeId: string;
  readonly audiences: readonly string[];
  readonly ttlMs: number;
  readonly now: number;
  /** Beside the registered ones. */
  readonly claims: Readonly<Record<string, string>>;
}

export interface IssuedToken {
  /** JWS in compact form: a secret. */
  readonly token: string;
  /** Milliseconds since the epoch. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** The certificate authority as the issuer sees it: what signs now, and what verifies. */
export interface CertificateAuthority {
  issue(request: IssueRequest): Promise<IssuedCertificate>;
  /** Throws UNAVAILABLE while there is no JWT authority yet. */
  issueJwt(request: IssueJwtRequest): Promise<IssuedToken>;
  readonly bundle: Bundle;
}
