import type { Json, World } from "./world.ts";

const WEBHOOK = "validatingwebhookconfiguration/signet";
const LABEL = "e2e-unchecked";

/** Makes the validating webhook pass over objects that are marked with {@link unchecked}. */
export async function allowUnchecked(world: World): Promise<void> {
  await setSelector(world, { matchExpressions: [{ key: LABEL, operator: "DoesNotExist" }] });
}

/** Makes the webhook look at all objects again. */
export async function checkAll(world: World): Promise<void> {
  await setSelector(world, {});
}

/** The object as it would have come in before there was a webhook, or while it was away. */
export function unchecked(object: Json): Json {
  const { metadata } = object;
  return { ...object, metadata: { ...metadata, labels: { ...metadata.labels, [LABEL]: "true" } } };
}

/** Waits until the API server goes by the new selector. */
async function setSelector(world: World, objectSelector: Json): Promise<void> {
  const patch = [{ op: "replace", path: "/webhooks/0/objectSelector", value: objectSelector }];
  const { cluster } = world;
  await cluster.kubectl(["patch", WEBHOOK, "--type=json", "-p", JSON.stringify(patch)]);
  const passedOver = "matchExpressions" in objectSelector;
  await world.until("the webhook to go by its selector", async () => {
    const marked = await refused(world, unchecked(INVALID));
    return marked === !passedOver && (await refused(world, INVALID)) ? true : undefined;
  });
}

const INVALID = {
  apiVersion: "spire.spiffe.io/v1alpha1",
  kind: "ClusterSPIFFEID",
  metadata: { name: "e2e-webhook-probe" },
  spec: { spiffeIDTemplate: "{{" },
};

async function refused({ cluster }: World, object: Json): Promise<boolean> {
  const create = ["create", "--dry-run=server", "-f", "-"];
  const { code } = await cluster.tryKubectl(create, { input: JSON.stringify(object) });
  return code !== 0;
}
