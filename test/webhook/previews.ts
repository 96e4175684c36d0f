import { createEntry } from "../../src/registration/entry.ts";
import type {
  OutcomeKind,
  Preview,
  PreviewedPod,
  SpecProblem,
} from "../../src/registration/types.ts";
import type { Previewer } from "../../src/webhook/ports.ts";
import { reviewOf } from "./reviews.ts";

export const SHOP = "ClusterSPIFFEID shop";

/** A dry run in which all of `set` pods get an identity, unless `changes` say something else. */
export function previewOf(changes: Partial<Preview> = {}): Preview {
  const { outcomes = outcomesOf({ set: 3 }) } = changes;
  const tried = Object.values(outcomes).reduce((sum, number) => sum + number, 0);
  return {
    kind: "ClusterSPIFFEID",
    name: "shop",
    foreign: false,
    problems: [],
    doubts: [],
    namespacesSelected: 2,
    namespacesIgnored: 0,
    podsSelected: tried,
    podsTried: tried,
    duplicates: 0,
    pods: Array.from({ length: outcomes.set }, (_, at) => podOf(`shop/web-${at}`)),
    ...changes,
    outcomes,
  };
}

export function outcomesOf(some: Partial<Record<OutcomeKind, number>>): Preview["outcomes"] {
  const none = { set: 0, masked: 0, unmet: 0, failed: 0, skipped: 0, unscheduled: 0, finished: 0 };
  return { ...none, ...some };
}

/** A pod that gets an identity, unless `changes` say something else. */
export function podOf(
  pod: string,
  changes: Partial<PreviewedPod> & { readonly dnsNames?: readonly string[] } = {},
): PreviewedPod {
  const { dnsNames = [], ...rest } = changes;
  const { outcome = "set" } = rest;
  const given = outcome === "set" || outcome === "masked";
  const entry = createEntry({
    source: { kind: "ClusterSPIFFEID", name: "shop", uid: "u" },
    podUid: pod,
    nodeName: "node",
    spiffeId: `spiffe://example.org/${pod}`,
    parentId: "spiffe://example.org/node",
    selectors: [],
    x509SvidTtl: 0,
    jwtSvidTtl: 0,
    dnsNames,
    federatesWith: [],
    admin: false,
    downstream: false,
    hint: "",
  });
  return { pod, outcome, clause: "an entry is in effect", ...(given ? { entry } : {}), ...rest };
}

export function problem(field: string, what: string): SpecProblem {
  return { reason: "InvalidSpec", field, message: `${field}: ${what}` };
}

/** Owns the classes "" and "signet", finds nothing wrong, and gives `previewOf()`, unless `changes` say something else. */
export function previewerOf(changes: Partial<Previewer> = {}): Previewer {
  return {
    ownsClass: (name) => name === "" || name === "signet",
    check: () => [],
    checkFederatedTrustDomain: () => [],
    preview: async () => previewOf(),
    ...changes,
  };
}

/** An AdmissionReview for a custom resource called `shop`. */
export function resourceReview(
  object: Record<string, unknown>,
  changes: Record<string, unknown> & { readonly kind?: string } = {},
) {
  const { kind = "ClusterSPIFFEID", ...rest } = changes;
  return reviewOf(
    { metadata: { name: "shop" }, ...object },
    {
      kind: { group: "spire.spiffe.io", version: "v1alpha1", kind },
      name: "shop",
      namespace: "",
      ...rest,
    },
  );
}
