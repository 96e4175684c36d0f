import { describe, expect, it } from "vitest";
import { topOwner } from "../../src/registration/owner.ts";

const owner = (kind: string, name: string, controller?: boolean) => ({
  kind,
  name,
  uid: `uid-${name}`,
  ...(controller === undefined ? {} : { controller }),
});
const meta = (owners: ReturnType<typeof owner>[], labels: Record<string, string> = {}) => ({
  name: "web-6c9-x",
  uid: "u",
  labels,
  ownerReferences: owners,
});

describe("the owner of a pod at the top", () => {
  it.each([
    ["the pod itself without any", meta([]), "Pod web-6c9-x"],
    ["the one that controls it", meta([owner("A", "a"), owner("Job", "j", true)]), "Job j"],
    ["the first where none controls it", meta([owner("A", "a"), owner("B", "b")]), "A a"],
    [
      "the Deployment of its ReplicaSet",
      meta([owner("ReplicaSet", "web-6c9", true)], { "pod-template-hash": "6c9" }),
      "Deployment web",
    ],
    [
      "the Rollout of its ReplicaSet",
      meta([owner("ReplicaSet", "web-6c9", true)], { "rollouts-pod-template-hash": "6c9" }),
      "Rollout web",
    ],
    ["a ReplicaSet made by hand", meta([owner("ReplicaSet", "web", true)]), "ReplicaSet web"],
    [
      "a ReplicaSet whose name does not end in the hash",
      meta([owner("ReplicaSet", "web-abc", true)], { "pod-template-hash": "6c9" }),
      "ReplicaSet web-abc",
    ],
    [
      "a ReplicaSet that is named by nothing but the hash",
      meta([owner("ReplicaSet", "-6c9", true)], { "pod-template-hash": "6c9" }),
      "ReplicaSet -6c9",
    ],
    [
      "a ReplicaSet, where the hash is empty",
      meta([owner("ReplicaSet", "web-", true)], { "pod-template-hash": "" }),
      "ReplicaSet web-",
    ],
    [
      "another kind, whose name ends in the hash by chance",
      meta([owner("StatefulSet", "web-6c9", true)], { "pod-template-hash": "6c9" }),
      "StatefulSet web-6c9",
    ],
  ])("is %s", (_what, metadata, expected) => {
    const { Kind, Name } = topOwner(metadata);
    expect(`${Kind} ${Name}`).toBe(expected);
  });

  it("is the pod itself where the API server left everything out", () => {
    expect(topOwner({ name: "bare", uid: "u" })).toEqual({ Kind: "Pod", Name: "bare" });
  });
});
