import { clusterFederatedTrustDomainSchema } from "./cluster-federated-trust-domain.ts";
import { clusterSpiffeIdSchema } from "./cluster-spiffe-id.ts";
import { clusterStaticEntrySchema } from "./cluster-static-entry.ts";
import type { CrdInput, PrinterColumn } from "./crd.ts";
import {
  CLUSTER_FEDERATED_TRUST_DOMAINS,
  CLUSTER_SPIFFE_IDS,
  CLUSTER_STATIC_ENTRIES,
} from "./resources.ts";

const CLASS: PrinterColumn = { name: "Class", type: "string", jsonPath: ".spec.className" };
const READY: PrinterColumn = {
  name: "Ready",
  type: "string",
  jsonPath: '.status.conditions[?(@.type=="Ready")].status',
};
const REASON: PrinterColumn = {
  name: "Reason",
  type: "string",
  jsonPath: '.status.conditions[?(@.type=="Ready")].reason',
};
const AGE: PrinterColumn = { name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" };

function count(name: string, counter: string): PrinterColumn {
  return { name, type: "integer", jsonPath: `.status.stats.${counter}` };
}

function specField(name: string, field: string): PrinterColumn {
  return { name, type: "string", jsonPath: `.spec.${field}` };
}

/** Every custom resource definition that Signet installs. */
export const CRDS: readonly CrdInput[] = [
  {
    resource: CLUSTER_SPIFFE_IDS,
    singular: "clusterspiffeid",
    schema: clusterSpiffeIdSchema,
    columns: [
      CLASS,
      READY,
      REASON,
      count("Pods", "podsSelected"),
      count("Entries", "entriesToSet"),
      count("Failures", "podEntryRenderFailures"),
      AGE,
    ],
  },
  {
    resource: CLUSTER_STATIC_ENTRIES,
    singular: "clusterstaticentry",
    schema: clusterStaticEntrySchema,
    columns: [CLASS, specField("SPIFFE ID", "spiffeID"), READY, REASON, AGE],
  },
  {
    resource: CLUSTER_FEDERATED_TRUST_DOMAINS,
    singular: "clusterfederatedtrustdomain",
    schema: clusterFederatedTrustDomainSchema,
    columns: [
      specField("Trust Domain", "trustDomain"),
      specField("Endpoint URL", "bundleEndpointURL"),
      READY,
      REASON,
      AGE,
    ],
  },
];
