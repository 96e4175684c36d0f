import { NAMESPACE, RELEASE } from "./install.ts";
import type { Json, World } from "./world.ts";

/** What Kubernetes itself puts into every namespace, and what tells of the past. */
const KUBERNETES_OWN = /^(configmap\/kube-root-ca\.crt|serviceaccount\/default|event\S*\/.*)$/;

/** Everything of the release that the API server still holds, as kind/name: in its namespace, and in none. */
export async function leftovers(world: World): Promise<string[]> {
  const namespaced = await objects(world, ["--namespaced=true"], ["-n", NAMESPACE]);
  const global = await objects(world, ["--namespaced=false"], []);
  return [
    ...namespaced.map(nameOf).filter((name) => !KUBERNETES_OWN.test(name)),
    ...global.filter(isOurs).map(nameOf),
  ].toSorted();
}

async function objects(
  { cluster }: World,
  scope: readonly string[],
  where: readonly string[],
): Promise<Json[]> {
  const listable = ["api-resources", "--verbs=list", "--output=name"];
  const resources = await cluster.kubectl([...listable, ...scope]);
  const kinds = resources.trim().split("\n").join(",");
  const json = await cluster.kubectl(["get", kinds, ...where, "-o", "json"]);
  return JSON.parse(json).items;
}

function nameOf({ kind, metadata }: Json): string {
  return `${String(kind).toLowerCase()}/${metadata.name}`;
}

/** Named after the cluster, or the user's. */
const NOT_OF_A_RELEASE = new Set(["Namespace", "Node", "CSINode"]);

/** Objects outside of namespaces are ours by a label, an annotation of helm, or their name. */
function isOurs({ kind, metadata }: Json): boolean {
  if (NOT_OF_A_RELEASE.has(kind)) return false;
  const { labels = {}, annotations = {}, name } = metadata;
  return (
    labels["app.kubernetes.io/instance"] === RELEASE ||
    annotations["meta.helm.sh/release-name"] === RELEASE ||
    /signet|spiffe/.test(name)
  );
}
