import type { ObjectMeta } from "./objects.ts";

/** The object that a pod belongs to in the end, as far as its own metadata tells. */
export interface TopOwner {
  readonly Kind: string;
  readonly Name: string;
}

/**
 * Labels with the hash that a controller appends to the names of the ReplicaSets it makes, and the controller's
 * kind.
 */
const HASH_LABELS: readonly (readonly [label: string, kind: string])[] = [
  ["pod-template-hash", "Deployment"],
  ["rollouts-pod-template-hash", "Rollout"],
];

/**
 * The owner at the top: the Deployment (or Argo Rollout) of a pod whose ReplicaSet it made, told by the template
 * hash that ends the ReplicaSet's name; else the owner that controls the pod; else the pod itself.
 */
export function topOwner({ name, labels = {}, ownerReferences = [] }: ObjectMeta): TopOwner {
  const owner = ownerReferences.find(({ controller }) => controller === true) ?? ownerReferences[0];
  if (owner === undefined) return { Kind: "Pod", Name: name };
  if (owner.kind === "ReplicaSet") {
    for (const [label, kind] of HASH_LABELS) {
      const ending = `-${Object.hasOwn(labels, label) ? labels[label] : ""}`;
      if (ending.length > 1 && owner.name.endsWith(ending) && owner.name.length > ending.length) {
        return { Kind: kind, Name: owner.name.slice(0, -ending.length) };
      }
    }
  }
  return { Kind: owner.kind, Name: owner.name };
}
