import type { RegistrationEntry } from "../registration/entry.ts";
import type { PodObject } from "../registration/objects.ts";
import type {
  Explanation,
  OutcomeKind,
  Preview,
  RuleExplanation,
  RuleStatus,
  SourceKind,
  SpecProblem,
} from "../registration/types.ts";

/** The registry as far as it is looked into; nothing here changes it. */
export interface InspectedRegistry {
  podNamed(namespace: string, name: string): PodObject | undefined;
  pod(uid: string): PodObject | undefined;
  /** The entries in effect for a pod. */
  entriesOfPod(uid: string): readonly RegistrationEntry[];
  /** Every entry in effect; may be left before its end, and goes on while the registry changes. */
  entries(): Iterable<RegistrationEntry>;
  explainPod(uid: string): readonly Explanation[];
  /** What a custom resource gives now, with at most `maxPods` of its pods; undefined when there is none of the name. */
  explainRule(kind: SourceKind, name: string, maxPods: number): RuleExplanation | undefined;
  /** What a custom resource would give; nothing is written. Ends soon after `signal` aborts. */
  preview(
    kind: SourceKind,
    object: { readonly metadata: { readonly name: string }; readonly spec: unknown },
    signal: AbortSignal,
  ): Promise<Preview>;
}

/** What one replica of the operator did last for each pod. */
export interface IssueRecords {
  /** Empty when it did nothing for the pod, or no longer knows. */
  of(podUid: string): PodIssues;
}

export interface PodIssues {
  /** X509-SVIDs. */
  readonly issued?: Issued;
  /** JWT-SVIDs: apart, as they are issued far more often. */
  readonly issuedJwt?: Issued;
  readonly failed?: IssueFailure;
}

export type IssueCall = "attest" | "renew" | "issueJwt";

/** SVIDs that went to a pod; times in milliseconds since the epoch. */
export interface Issued {
  readonly by: IssueCall;
  readonly at: number;
  /** Of the SVID that expires first. */
  readonly notAfter: number;
  readonly spiffeIds: readonly string[];
}

/** A call for a pod that was refused or failed. */
export interface IssueFailure {
  readonly by: IssueCall;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** One of ERROR_CODES. */
  readonly code: string;
  readonly message: string;
}

/** Below: what goes over the wire as JSON; times are RFC 3339. */
export interface AboutView {
  readonly version: string;
  readonly trustDomain: string;
}

export interface EntryView {
  readonly id: string;
  readonly source: { readonly kind: string; readonly name: string };
  readonly namespace: string;
  readonly pod: string;
  readonly podUid: string;
  readonly node: string;
  readonly spiffeId: string;
  readonly parentId: string;
  /** As `type:value`. */
  readonly selectors: readonly string[];
  /** Seconds; the operator's default where the entry names none. */
  readonly x509SvidTtl: number;
  /** Seconds; 0 is the operator's default. */
  readonly jwtSvidTtl: number;
  readonly dnsNames: readonly string[];
  readonly federatesWith: readonly string[];
  readonly admin: boolean;
  readonly downstream: boolean;
  readonly hint: string;
}

export interface IssuedView {
  readonly by: IssueCall;
  readonly at: string;
  readonly until: string;
  readonly spiffeIds: readonly string[];
  /** Pod of the replica that issued; the client adds it. */
  readonly replica?: string;
}

export interface FailureView {
  readonly by: IssueCall;
  readonly at: string;
  readonly code: string;
  readonly message: string;
  /** Pod of the replica that refused; the client adds it. */
  readonly replica?: string;
}

export interface IssuesView {
  /** X509-SVIDs. */
  readonly lastIssued?: IssuedView;
  /** JWT-SVIDs. */
  readonly lastIssuedJwt?: IssuedView;
  readonly lastError?: FailureView;
}

export interface PodView extends IssuesView {
  readonly kind: "Pod";
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Absent while the pod is not scheduled. */
  readonly node?: string;
  readonly serviceAccount: string;
  readonly phase: string;
  readonly entries: readonly EntryView[];
  /** Every custom resource that could have given the pod an entry. */
  readonly considered: readonly Explanation[];
}

/** One pod in the view of a custom resource. */
export interface SelectedPodView extends IssuesView {
  /** `namespace/name` */
  readonly pod: string;
  readonly outcome: OutcomeKind;
  readonly clause: string;
  readonly entry?: EntryView;
  readonly duplicateOf?: string;
}

export interface RuleView {
  readonly kind: SourceKind;
  readonly name: string;
  readonly uid: string;
  readonly clause: string;
  readonly status?: RuleStatus;
  readonly pods: readonly SelectedPodView[];
}

/** What a ClusterSPIFFEID or ClusterStaticEntry would give. */
export interface PreviewView extends Omit<Preview, "pods"> {
  readonly pods: readonly SelectedPodView[];
}

/** What is wrong with a ClusterFederatedTrustDomain, which selects nothing. */
export interface TrustDomainView {
  readonly kind: "ClusterFederatedTrustDomain";
  readonly name: string;
  readonly problems: readonly SpecProblem[];
}

export type RenderView = PreviewView | TrustDomainView;

/** A line of the list of entries; the last one has the count, so that a list that broke off is seen. */
export type EntryLine =
  | { readonly entry: EntryView }
  | { readonly end: { readonly entries: number } };

export interface ErrorView {
  readonly code: string;
  readonly message: string;
}

/** Every answer carries the operator's version under this name: something else on the port does not. */
export const VERSION_HEADER = "signet-version";

/** Kinds that can be rendered before they are applied. */
export const RENDERED_KINDS = [
  "ClusterSPIFFEID",
  "ClusterStaticEntry",
  "ClusterFederatedTrustDomain",
] as const;
export type RenderedKind = (typeof RENDERED_KINDS)[number];
