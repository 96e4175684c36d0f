import { formatSelector } from "../spiffe/selector.ts";
import type { Selector } from "../spiffe/selector.ts";
import type { NamespaceObject, PodObject } from "./objects.ts";

/** What the API server's objects say about a pod, in the spelling of SPIRE's k8s workload attestor. */
const KNOWN = [
  "ns",
  "sa",
  "node-name",
  "pod-uid",
  "pod-name",
  "pod-label",
  "pod-owner",
  "pod-owner-uid",
  "ns-label",
] as const;

/** Says why no pod could ever be known to have this selector, or undefined when it can be decided. */
export function undecidable({ type, value }: Selector): string | undefined {
  if (type !== "k8s") return `selectors of type ${JSON.stringify(type)} are not known; use "k8s"`;
  const name = value.split(":", 1)[0] ?? "";
  if (KNOWN.some((known) => known === name)) return undefined;
  if (name.startsWith("container-")) {
    return `"k8s:${name}" cannot be decided: an identity belongs to the whole pod, not to one container`;
  }
  return `"k8s:${name}" is not supported yet; use one of ${KNOWN.join(", ")}`;
}

/** All selectors that are true of the pod, as `type:value`. */
export function selectorsOfPod(pod: PodObject, namespace: NamespaceObject): ReadonlySet<string> {
  const { metadata, spec } = pod;
  return new Set(
    [
      `ns:${metadata.namespace ?? ""}`,
      `sa:${spec.serviceAccountName ?? ""}`,
      `node-name:${spec.nodeName ?? ""}`,
      `pod-uid:${metadata.uid}`,
      `pod-name:${metadata.name}`,
      ...labelSelectors("pod-label", metadata.labels),
      ...(metadata.ownerReferences ?? []).flatMap((owner) => [
        `pod-owner:${owner.kind}:${owner.name}`,
        `pod-owner-uid:${owner.kind}:${owner.uid}`,
      ]),
      ...labelSelectors("ns-label", namespace.metadata.labels),
    ].map((value) => formatSelector({ type: "k8s", value })),
  );
}

function labelSelectors(name: string, labels: Readonly<Record<string, string>> = {}): string[] {
  return Object.entries(labels).map(([key, value]) => `${name}:${key}:${value}`);
}
