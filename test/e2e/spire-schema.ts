import type { Json, World } from "./world.ts";

const COUNTERS = [
  "namespacesSelected",
  "namespacesIgnored",
  "podsSelected",
  "podEntryRenderFailures",
  "entriesMasked",
  "entriesToSet",
  "entryFailures",
];

/**
 * Makes the CRD of ClusterSPIFFEIDs like SPIRE's own, whose status has seven counters and no other field. It stays
 * in helm's care, so that the next install with `crds.install` takes it over.
 */
export async function spireSchema(world: World, name: string): Promise<void> {
  const { metadata, spec } = await world.get("crd", name);
  const stats = {
    type: "object",
    required: COUNTERS,
    properties: Object.fromEntries(COUNTERS.map((counter) => [counter, { type: "integer" }])),
  };
  const status = { type: "object", properties: { stats } };
  for (const { schema } of spec.versions as Json[])
    schema.openAPIV3Schema.properties.status = status;
  const { labels, annotations } = metadata;
  await world.cluster.kubectl(
    ["apply", "--server-side", "--force-conflicts", "--field-manager=helm", "-f", "-"],
    {
      input: JSON.stringify({
        apiVersion: "apiextensions.k8s.io/v1",
        kind: "CustomResourceDefinition",
        metadata: { name, labels, annotations },
        spec,
      }),
    },
  );
}
