import type { Preview, SourceKind, SpecProblem } from "../registration/types.ts";

/** A custom resource on its way in, as the API server sent it: its spec is anything that fits the CRD. */
export interface PreviewedObject {
  readonly metadata: { readonly name: string };
  readonly spec: unknown;
}

/** Whoever knows what custom resources mean and which pods there are; nothing here ever writes. */
export interface Previewer {
  /** Whether custom resources of this class are ours; "" is that of an object that names none. */
  ownsClass(className: string): boolean;

  /** Everything that keeps the object from taking effect, without a look at the cluster: at once, and never throws. */
  check(kind: SourceKind, object: PreviewedObject): readonly SpecProblem[];

  /** The same of the spec of a ClusterFederatedTrustDomain. */
  checkFederatedTrustDomain(spec: unknown): readonly SpecProblem[];

  /**
   * What the object would give if it were applied now; one of the same kind and name that exists already does not
   * count as another. Lets the event loop go on while it works, and ends soon after `signal` aborts.
   */
  preview(kind: SourceKind, object: PreviewedObject, signal: AbortSignal): Promise<Preview>;
}
