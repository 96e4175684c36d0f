import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { generateCrds } from "../../scripts/generate-crds.ts";
import { clusterFederatedTrustDomainSchema } from "../../src/api/cluster-federated-trust-domain.ts";
import { clusterSpiffeIdSchema } from "../../src/api/cluster-spiffe-id.ts";
import { clusterStaticEntrySchema } from "../../src/api/cluster-static-entry.ts";
import { buildCrd } from "../../src/api/crd.ts";
import { CLUSTER_SPIFFE_IDS } from "../../src/api/resources.ts";

interface Schema {
  type: string;
  description?: string;
  required?: string[];
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: Schema;
}

const files = generateCrds();
const crd = (plural: string) => parse(files.get(`crds/spire.spiffe.io_${plural}.yaml`) ?? "");
const onDisk = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const schemaOf = (plural: string): Schema => crd(plural).spec.versions[0].schema.openAPIV3Schema;

/** Every schema below, with its path. */
function* walk(schema: Schema, path: string): Generator<[string, Schema]> {
  yield [path, schema];
  for (const [name, child] of Object.entries(schema.properties ?? {}))
    yield* walk(child, `${path}.${name}`);
  if (schema.items) yield* walk(schema.items, `${path}[]`);
  if (schema.additionalProperties) yield* walk(schema.additionalProperties, `${path}{}`);
}

/** The fields of SPIRE's kinds, with the type each must keep. */
const UPSTREAM: Record<string, Record<string, string>> = {
  clusterspiffeids: {
    "spec.spiffeIDTemplate": "string",
    "spec.namespaceSelector.matchLabels": "object",
    "spec.namespaceSelector.matchExpressions": "array",
    "spec.podSelector.matchLabels": "object",
    "spec.podSelector.matchExpressions": "array",
    "spec.ttl": "string",
    "spec.jwtTtl": "string",
    "spec.dnsNameTemplates": "array",
    "spec.autoPopulateDNSNames": "boolean",
    "spec.workloadSelectorTemplates": "array",
    "spec.federatesWith": "array",
    "spec.admin": "boolean",
    "spec.downstream": "boolean",
    "spec.hint": "string",
    "spec.className": "string",
    "spec.fallback": "boolean",
    "status.stats.namespacesSelected": "integer",
    "status.stats.namespacesIgnored": "integer",
    "status.stats.podsSelected": "integer",
    "status.stats.podEntryRenderFailures": "integer",
    "status.stats.entriesMasked": "integer",
    "status.stats.entriesToSet": "integer",
    "status.stats.entryFailures": "integer",
  },
  clusterstaticentries: {
    "spec.spiffeID": "string",
    "spec.parentID": "string",
    "spec.selectors": "array",
    "spec.federatesWith": "array",
    "spec.x509SVIDTTL": "string",
    "spec.jwtSVIDTTL": "string",
    "spec.dnsNames": "array",
    "spec.hint": "string",
    "spec.admin": "boolean",
    "spec.downstream": "boolean",
    "spec.storeSVID": "boolean",
    "spec.className": "string",
    "status.rendered": "boolean",
    "status.masked": "boolean",
    "status.set": "boolean",
  },
  clusterfederatedtrustdomains: {
    "spec.trustDomain": "string",
    "spec.bundleEndpointURL": "string",
    "spec.bundleEndpointProfile.type": "string",
    "spec.bundleEndpointProfile.endpointSPIFFEID": "string",
    "spec.trustDomainBundle": "string",
    "spec.className": "string",
  },
};

const REQUIRED: Record<string, string[]> = {
  clusterspiffeids: ["spiffeIDTemplate"],
  clusterstaticentries: ["spiffeID", "parentID", "selectors"],
  clusterfederatedtrustdomains: ["trustDomain", "bundleEndpointURL", "bundleEndpointProfile"],
};

describe("custom resource definitions", () => {
  it("on disk are the generated ones, for kubectl and for the chart", () => {
    expect(files.size).toBe(6);
    expect(new Map([...files.keys()].map((path) => [path, onDisk(path)]))).toEqual(files);
  });

  it.each(Object.keys(UPSTREAM))("keep every field of SPIRE's %s", (plural) => {
    const types = new Map(
      [...walk(schemaOf(plural), "")].map(([path, s]) => [path.slice(1), s.type]),
    );
    expect(Object.fromEntries(types)).toMatchObject(UPSTREAM[plural] ?? {});
  });

  it.each(Object.keys(REQUIRED))("require of %s only what SPIRE requires", (plural) => {
    const schema = schemaOf(plural);
    expect(schema.required).toEqual(["metadata", "spec"]);
    expect(schema.properties?.["spec"]?.required).toEqual(REQUIRED[plural]);
  });

  it.each(Object.keys(UPSTREAM))("describe every field of %s in a structural schema", (plural) => {
    const schemas = [...walk(schemaOf(plural), "")];
    const typed = /^(?:object|array|string|integer|boolean)$/;
    expect(schemas.filter(([, schema]) => !typed.test(schema.type))).toEqual([]);
    const fields = schemas.filter(([path]) => path !== ".metadata" && !/[\]}]$/.test(path));
    expect(fields.filter(([, schema]) => !schema.description?.endsWith("."))).toEqual([]);
    expect(fields.length).toBeGreaterThan(10);
  });

  it.each(Object.keys(UPSTREAM))("serve %s cluster-wide with a status subresource", (plural) => {
    const { metadata, spec } = crd(plural);
    expect(metadata.name).toBe(`${plural}.spire.spiffe.io`);
    expect(spec.scope).toBe("Cluster");
    expect(spec.names.plural).toBe(plural);
    expect(spec.names.listKind).toBe(`${spec.names.kind}List`);
    expect(spec.versions).toHaveLength(1);
    expect(spec.versions[0]).toMatchObject({
      name: "v1alpha1",
      served: true,
      storage: true,
      subresources: { status: {} },
    });
  });

  it("list conditions as a map by type", () => {
    const conditions =
      schemaOf("clusterspiffeids").properties?.["status"]?.properties?.["conditions"];
    expect(conditions).toMatchObject({
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["type"],
    });
    expect(conditions?.items?.required).toEqual([
      "type",
      "status",
      "lastTransitionTime",
      "reason",
      "message",
    ]);
  });

  it("show what matters in kubectl get", () => {
    const columns = crd("clusterspiffeids").spec.versions[0].additionalPrinterColumns;
    expect(columns.map((column: { name: string }) => column.name)).toEqual([
      "Class",
      "Ready",
      "Reason",
      "Pods",
      "Entries",
      "Failures",
      "Age",
    ]);
  });

  it("are not built from a schema that Kubernetes cannot express", () => {
    const schema = z.object({
      spec: z.object({ a: z.union([z.string(), z.number()]) }),
      status: z.object({}),
    });
    const input = { resource: CLUSTER_SPIFFE_IDS, singular: "x", schema, columns: [] };
    expect(() => buildCrd(input)).toThrow(/spec\.a: anyOf has no place/);
  });
});

describe("schemas", () => {
  const metadata = { name: "x", uid: "u" };

  it("accept manifests written for SPIRE", () => {
    const spec = {
      spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/x",
      podSelector: { matchExpressions: [{ key: "k", operator: "Whatever" }] },
      ttl: "1h",
      unknownToAll: true,
    };
    expect(clusterSpiffeIdSchema.safeParse({ metadata, spec }).success).toBe(true);
    const entry = { spiffeID: "spiffe://a/b", parentID: "spiffe://a/c", selectors: ["k8s:ns:x"] };
    expect(clusterStaticEntrySchema.safeParse({ metadata, spec: entry }).success).toBe(true);
    const federated = {
      trustDomain: "b.example",
      bundleEndpointURL: "https://b.example/bundle",
      bundleEndpointProfile: { type: "https_web" },
    };
    expect(clusterFederatedTrustDomainSchema.safeParse({ metadata, spec: federated }).success).toBe(
      true,
    );
  });

  it("refuse objects without their required fields", () => {
    expect(clusterSpiffeIdSchema.safeParse({ metadata, spec: {} }).success).toBe(false);
    expect(clusterStaticEntrySchema.safeParse({ metadata, spec: { spiffeID: "x" } }).success).toBe(
      false,
    );
    expect(clusterFederatedTrustDomainSchema.safeParse({ metadata, spec: {} }).success).toBe(false);
  });
});
