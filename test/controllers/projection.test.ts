import { describe, expect, it } from "vitest";
import {
  projectNamespace,
  projectNode,
  projectPod,
  projectResource,
} from "../../src/controllers/projection.ts";
import type { Namespace, Node, ObjectMeta, Pod } from "../../src/kube/types.ts";

const metadata: ObjectMeta = {
  name: "web",
  namespace: "shop",
  uid: "uid-web",
  resourceVersion: "17",
  generation: 3,
  creationTimestamp: "2026-01-02T03:04:05Z",
  deletionTimestamp: "2026-01-02T04:04:05Z",
  labels: { app: "web" },
  annotations: {
    team: "payments",
    "kubectl.kubernetes.io/last-applied-configuration": "{}",
  },
  ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: "uid-rs" }],
  managedFields: [{ manager: "kubectl" }],
};
const { managedFields: _, ...withoutManagers } = metadata;
const kept = { ...withoutManagers, annotations: { team: "payments" } };

/** A node as kubelet reports it again and again. */
const node = (resourceVersion: string, status: object): Node & { status: object } => ({
  metadata: { ...metadata, resourceVersion },
  spec: { podCIDR: "10.0.0.0/24" },
  status,
});

describe("what is kept", () => {
  it("of a pod is what templates may name, its labels and its phase", () => {
    const pod = {
      metadata,
      spec: { nodeName: "node-a", serviceAccountName: "web", containers: [] },
      status: { phase: "Running", podIP: "10.0.0.1" },
    } as unknown as Pod;
    expect(projectPod(pod)).toEqual({
      metadata: { ...kept, resourceVersion: "" },
      spec: pod.spec,
      status: { phase: "Running" },
    });
  });

  it("of a pod without a phase has no status", () => {
    const pod = { metadata, spec: {}, status: {} } as Pod;
    expect(projectPod(pod)).not.toHaveProperty("status");
  });

  it("of a node is the same whatever its status says", () => {
    expect(projectNode(node("1", { ready: true }))).toEqual(
      projectNode(node("2", { ready: false })),
    );
    expect(projectNode(node("1", {})).spec).toEqual({ podCIDR: "10.0.0.0/24" });
  });

  it("of a namespace is its metadata", () => {
    const namespace = { metadata, spec: {}, status: { phase: "Active" } } as unknown as Namespace;
    expect(projectNamespace(namespace)).toEqual({ metadata: { ...kept, resourceVersion: "" } });
  });

  it("of a custom resource is all but bookkeeping, its version included", () => {
    const object = { metadata, spec: { a: 1 }, status: { b: 2 } };
    expect(projectResource(object)).toEqual({ ...object, metadata: kept });
  });

  it("of metadata without annotations has none", () => {
    const { annotations: _, ...bare } = metadata;
    expect(projectNamespace({ metadata: bare }).metadata).not.toHaveProperty("annotations");
  });
});
