import { z } from "zod";
import { classNameSchema, commonStatus, metadataSchema } from "./schemas.ts";

const bundleEndpointProfileSchema = z
  .object({
    type: z
      .enum(["https_spiffe", "https_web"])
      .describe(
        "https_web authenticates the endpoint by the web's certificate authorities, https_spiffe by its SPIFFE ID.",
      ),
    endpointSPIFFEID: z
      .string()
      .describe("SPIFFE ID of the endpoint; needed for https_spiffe and forbidden for https_web.")
      .optional(),
  })
  .describe("How the endpoint is authenticated.");

export const clusterFederatedTrustDomainSpecSchema = z
  .object({
    trustDomain: z
      .string()
      .describe("Name of the trust domain to federate with, such as example.org.")
      // Not anchored, as in the schema that existing manifests were checked against.
      .meta({ pattern: "[a-z0-9._-]{1,255}" }),
    bundleEndpointURL: z
      .string()
      .describe("https URL, without user information, of the endpoint that serves the bundle."),
    bundleEndpointProfile: bundleEndpointProfileSchema,
    trustDomainBundle: z
      .string()
      .describe(
        "A bundle of the trust domain, as SPIFFE bundle JSON, to start from; editing it takes effect.",
      )
      .optional(),
    className: classNameSchema.optional(),
  })
  .describe("A foreign trust domain, and where its bundle comes from.");

export const clusterFederatedTrustDomainStatusSchema = z
  .object({ ...commonStatus })
  .describe("What the operator makes of the object.");

export const clusterFederatedTrustDomainSchema = z
  .object({
    apiVersion: z.string().optional(),
    kind: z.string().optional(),
    metadata: metadataSchema,
    spec: clusterFederatedTrustDomainSpecSchema,
    status: clusterFederatedTrustDomainStatusSchema.optional(),
  })
  .describe(
    "Federates with another trust domain: its bundle reaches the workloads that ask for it.",
  );

export type ClusterFederatedTrustDomain = z.infer<typeof clusterFederatedTrustDomainSchema>;
export type ClusterFederatedTrustDomainSpec = z.infer<typeof clusterFederatedTrustDomainSpecSchema>;
