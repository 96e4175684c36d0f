import { z } from "zod";
import type { ResourceDescriptor } from "./resources.ts";

export interface PrinterColumn {
  readonly name: string;
  readonly type: "string" | "integer" | "date";
  readonly jsonPath: string;
  readonly description?: string;
  /** 1 shows the column only with `-o wide`. */
  readonly priority?: number;
}

export interface CrdInput {
  readonly resource: ResourceDescriptor;
  readonly singular: string;
  readonly schema: z.ZodType;
  readonly columns: readonly PrinterColumn[];
}

type Json = Readonly<Record<string, unknown>>;

const TYPE_META: Json = {
  apiVersion: { type: "string", description: "Group and version of the object's schema." },
  kind: { type: "string", description: "Kind of the object." },
  metadata: { type: "object" },
};

/** What Kubernetes allows in a structural schema and our schemas use. */
const KEYWORDS = new Set([
  "type",
  "description",
  "enum",
  "format",
  "pattern",
  "items",
  "required",
  "properties",
  "additionalProperties",
  "maxItems",
  "x-kubernetes-list-type",
  "x-kubernetes-list-map-keys",
  "x-kubernetes-map-type",
]);

/**
 * The CustomResourceDefinition of a cluster-scoped kind with a status subresource, as the JSON of
 * apiextensions.k8s.io/v1; it is kept when a Helm release is uninstalled. Throws Error when the schema uses
 * something that a structural schema cannot say.
 */
export function buildCrd({ resource, singular, schema, columns }: CrdInput): Json {
  const { group, kind, plural, version } = resource;
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: `${plural}.${group}`,
      annotations: { "helm.sh/resource-policy": "keep" },
    },
    spec: {
      group,
      names: { kind, listKind: `${kind}List`, plural, singular },
      scope: "Cluster",
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns,
          schema: { openAPIV3Schema: openApiSchema(schema) },
        },
      ],
    },
  };
}

function openApiSchema(schema: z.ZodType): Json {
  const raw = z.toJSONSchema(schema, { target: "openapi-3.0", io: "input" }) as Json;
  const { spec, status } = raw["properties"] as Record<string, Json>;
  return {
    type: "object",
    description: raw["description"],
    required: ["metadata", "spec"],
    properties: {
      ...TYPE_META,
      spec: structural(spec, "spec"),
      status: structural(status, "status"),
    },
  };
}

/** Keeps what structural schemas know, and refuses the rest instead of dropping a rule silently. */
function structural(schema: Json | undefined, path: string): Json {
  const cleaned: Record<string, unknown> = {};
  for (const [keyword, value] of Object.entries(schema ?? {})) {
    if (isSafeIntegerBound(keyword, value)) continue;
    if (!KEYWORDS.has(keyword)) throw new Error(`${path}: ${keyword} has no place in a CRD`);
    cleaned[keyword] = child(keyword, value, path);
  }
  return cleaned;
}

function child(keyword: string, value: unknown, path: string): unknown {
  if (keyword === "items" || keyword === "additionalProperties") {
    return structural(value as Json, `${path}.${keyword}`);
  }
  if (keyword !== "properties") return value;
  const entries = Object.entries(value as Record<string, Json>);
  return Object.fromEntries(entries.map(([name, s]) => [name, structural(s, `${path}.${name}`)]));
}

/** zod bounds integers by what a double holds exactly; Kubernetes has no need to be told. */
function isSafeIntegerBound(keyword: string, value: unknown): boolean {
  return (
    (keyword === "minimum" && value === Number.MIN_SAFE_INTEGER) ||
    (keyword === "maximum" && value === Number.MAX_SAFE_INTEGER)
  );
}
