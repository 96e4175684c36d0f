import { z } from "zod";
import { SPIRE_GROUP } from "../api/resources.ts";
import { SignetError } from "../core/errors.ts";
import type { CustomResourceKind } from "../registration/types.ts";
import type { AdmissionRequest } from "./review.ts";

/** Annotation that asks for the result of the dry run also where there is nothing to warn of. */
export const SUMMARY_ANNOTATION = "signet.dev/dry-run-summary";

const KINDS: readonly CustomResourceKind[] = [
  "ClusterSPIFFEID",
  "ClusterStaticEntry",
  "ClusterFederatedTrustDomain",
];

/** Only what validation reads; the API server has checked the rest against the CRD. */
const objectShape = z.looseObject({
  metadata: z
    .looseObject({
      name: z.string().default(""),
      deletionTimestamp: z.string().optional(),
      annotations: z.record(z.string(), z.string()).optional(),
    })
    .prefault({}),
  spec: z.unknown().optional(),
});

/** A custom resource on its way in. */
export type IncomingResource = z.infer<typeof objectShape> & { readonly spec: unknown };

/** The kind that the request is about; throws INVALID_ARGUMENT for any that is not validated here. */
export function readKind({ kind }: AdmissionRequest): CustomResourceKind {
  const known = KINDS.find((name) => kind.group === SPIRE_GROUP && kind.kind === name);
  if (known !== undefined) return known;
  throw new SignetError("INVALID_ARGUMENT", `cannot validate a ${kind.kind}`);
}

/** The request's object; throws INVALID_ARGUMENT that names the field when it is none. */
export function readResource(request: AdmissionRequest): IncomingResource {
  const checked = objectShape.safeParse(request.object);
  if (!checked.success) {
    const issue = checked.error.issues[0];
    const field = issue?.path.join(".") || "(root)";
    const what = `not a ${request.kind.kind}: ${field}: ${issue?.message ?? "invalid"}`;
    throw new SignetError("INVALID_ARGUMENT", what);
  }
  const { metadata, spec } = checked.data;
  const name = metadata.name || request.name;
  return { ...checked.data, metadata: { ...metadata, name }, spec };
}

/** The class that the object names, "" when it names none. */
export function classNameOf({ spec }: IncomingResource): string {
  return textOf(spec, "className");
}

/** Whether the object is a ClusterStaticEntry that gives nodes, not pods, another SPIFFE ID. */
export function isNodeAlias({ spec }: IncomingResource): boolean {
  return textOf(spec, "parentID").endsWith("/spire/server");
}

function textOf(spec: unknown, field: string): string {
  const value = (spec as Readonly<Record<string, unknown>> | null | undefined)?.[field];
  return typeof value === "string" ? value : "";
}
