import { z } from "zod";
import {
  classNameSchema,
  commonStatus,
  federatesWithSchema,
  hintSchema,
  metadataSchema,
} from "./schemas.ts";

export const clusterStaticEntrySpecSchema = z
  .object({
    spiffeID: z.string().describe("The SPIFFE ID, as it is: nothing in this object is a template."),
    parentID: z
      .string()
      .describe(
        "SPIFFE ID of the node agent that the entry belongs to; with the ID of the server, the entry " +
          "gives an alias to nodes that its selectors match.",
      ),
    selectors: z
      .array(z.string())
      .describe("Selectors in the form type:value, all of which must be true of the workload."),
    federatesWith: federatesWithSchema.optional(),
    x509SVIDTTL: z
      .string()
      .describe("Longest lifetime of an X509-SVID, as a Go duration cut to whole seconds.")
      .optional(),
    jwtSVIDTTL: z
      .string()
      .describe("Longest lifetime of a JWT-SVID, as a Go duration cut to whole seconds.")
      .optional(),
    dnsNames: z
      .array(z.string())
      .describe("DNS names of the X509-SVID, in this order; the first becomes the common name.")
      .optional(),
    hint: hintSchema.optional(),
    admin: z
      .boolean()
      .describe("Marks the identity as one that may administer the identity system.")
      .optional(),
    downstream: z
      .boolean()
      .describe("Marks the identity as a nested authority that may ask for an intermediate CA.")
      .optional(),
    storeSVID: z
      .boolean()
      .describe(
        "Marks the SVID as one to be kept in an external store instead of being handed out.",
      )
      .optional(),
    className: classNameSchema.optional(),
  })
  .describe("One registration entry, written out.");

export const clusterStaticEntryStatusSchema = z
  .object({
    rendered: z.boolean().describe("Whether every field of the spec is valid.").optional(),
    masked: z
      .boolean()
      .describe("Whether an equal entry of another object stands in for this one.")
      .optional(),
    set: z
      .boolean()
      .describe("Whether the entry is valid and not masked, and so given to what it matches.")
      .optional(),
    podsSelected: z.int().describe("Pods to which the entry applies now.").optional(),
    ...commonStatus,
  })
  .describe("What the operator makes of the object.");

export const clusterStaticEntrySchema = z
  .object({
    apiVersion: z.string().optional(),
    kind: z.string().optional(),
    metadata: metadataSchema,
    spec: clusterStaticEntrySpecSchema,
    status: clusterStaticEntryStatusSchema.optional(),
  })
  .describe("Declares one registration entry for workloads that no ClusterSPIFFEID can describe.");

export type ClusterStaticEntrySpec = z.infer<typeof clusterStaticEntrySpecSchema>;
export type ClusterStaticEntry = z.infer<typeof clusterStaticEntrySchema>;
export type ClusterStaticEntryStatus = z.infer<typeof clusterStaticEntryStatusSchema>;
