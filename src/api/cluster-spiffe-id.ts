import { z } from "zod";
import {
  classNameSchema,
  commonStatus,
  federatesWithSchema,
  hintSchema,
  labelSelectorSchema,
  metadataSchema,
} from "./schemas.ts";

const TEMPLATE_DATA =
  "The Go template sees .TrustDomain, .ClusterName, .ClusterDomain, .PodMeta, .PodSpec, .NodeMeta, .NodeSpec and, " +
  "beyond SPIRE's, .NamespaceMeta, .Owner and .ServiceAccount.";

export const clusterSpiffeIdSpecSchema = z
  .object({
    spiffeIDTemplate: z
      .string()
      .describe(
        "Template of the SPIFFE ID that each selected pod gets; the result must lie in the operator's " +
          `trust domain. ${TEMPLATE_DATA}`,
      ),
    namespaceSelector: labelSelectorSchema(
      "Selects namespaces by their labels. Left out or empty, it selects all.",
    ).optional(),
    podSelector: labelSelectorSchema(
      "Selects pods by their labels in the selected namespaces. Left out or empty, it selects all.",
    ).optional(),
    ttl: z
      .string()
      .describe(
        'Longest lifetime of an X509-SVID, as a Go duration such as "90m" or "1h30m", cut to whole ' +
          "seconds. Left out or 0, the operator's default holds.",
      )
      .optional(),
    jwtTtl: z
      .string()
      .describe(
        "Longest lifetime of a JWT-SVID, as a Go duration cut to whole seconds. Left out or 0, the " +
          "operator's default holds.",
      )
      .optional(),
    dnsNameTemplates: z
      .array(z.string())
      .describe(
        "Templates of DNS names for the X509-SVID, in this order; repeated results are dropped and the " +
          `first becomes the common name. ${TEMPLATE_DATA}`,
      )
      .optional(),
    autoPopulateDNSNames: z
      .boolean()
      .describe("Adds the DNS names of every Service that the pod backs, ready or not.")
      .optional(),
    workloadSelectorTemplates: z
      .array(z.string())
      .describe(
        "Templates of further selectors in the form type:value, all of which must be true of the pod. " +
          TEMPLATE_DATA,
      )
      .optional(),
    federatesWith: federatesWithSchema.optional(),
    admin: z
      .boolean()
      .describe("Marks the identity as one that may administer the identity system.")
      .optional(),
    downstream: z
      .boolean()
      .describe("Marks the identity as a nested authority that may ask for an intermediate CA.")
      .optional(),
    hint: hintSchema.optional(),
    className: classNameSchema.optional(),
    fallback: z
      .boolean()
      .describe(
        "Applies only to pods for which no ClusterSPIFFEID without this flag gives an entry.",
      )
      .optional(),
  })
  .describe("Which pods get an identity, and what it looks like.");

/** `counter` describes a number in the status. */
function counter(description: string) {
  return z.int().describe(description).optional();
}

const statsSchema = z
  .object({
    namespacesSelected: counter(
      "Namespaces that the namespaceSelector selects, ignored ones included.",
    ),
    namespacesIgnored: counter("Selected namespaces that the operator is configured to ignore."),
    podsSelected: counter(
      "Pods selected in the namespaces that are not ignored, whatever their phase.",
    ),
    podEntryRenderFailures: counter("Selected pods for which no valid entry could be rendered."),
    entriesMasked: counter("Entries that an equal entry of another object stands in for."),
    entriesToSet: counter(
      "Entries of this object that are not masked, also where a selector is not true of the pod.",
    ),
    entryFailures: counter("Entries that could not be put into effect."),
    podsUnscheduled: counter(
      "Selected pods without a node yet; they get an entry once they have one.",
    ),
    podsFinished: counter("Selected pods that succeeded or failed; they have no entry."),
  })
  .describe("Counts of what the object selects and gives.");

/** The most entries in `status.failures`. */
export const MAX_FAILURES = 10;

const failureSchema = z.object({
  pod: z.string().describe("The pod, as namespace/name."),
  message: z.string().describe("What is wrong, with the field that led to it."),
});

export const clusterSpiffeIdStatusSchema = z
  .object({
    stats: statsSchema.optional(),
    ...commonStatus,
    failures: z
      .array(failureSchema)
      .max(MAX_FAILURES)
      .describe("Pods that get no entry because of an error, the first ones by name.")
      .meta({ "x-kubernetes-list-type": "atomic" })
      .optional(),
  })
  .describe("What the operator makes of the object.");

export const clusterSpiffeIdSchema = z
  .object({
    apiVersion: z.string().optional(),
    kind: z.string().optional(),
    metadata: metadataSchema,
    spec: clusterSpiffeIdSpecSchema,
    status: clusterSpiffeIdStatusSchema.optional(),
  })
  .describe("Gives SPIFFE IDs to pods: one registration entry for each pod it selects.");

export type ClusterSpiffeId = z.infer<typeof clusterSpiffeIdSchema>;
export type ClusterSpiffeIdSpec = z.infer<typeof clusterSpiffeIdSpecSchema>;
export type ClusterSpiffeIdStatus = z.infer<typeof clusterSpiffeIdStatusSchema>;
export type ClusterSpiffeIdStats = { [K in keyof z.infer<typeof statsSchema>]-?: number };
