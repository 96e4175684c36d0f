import { describe, expect, it } from "vitest";
import {
  podProjection,
  projectEndpointSlice,
  projectNamespace,
  projectNode,
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
  const pod = {
    metadata,
    spec: {
      nodeName: "node-a",
      serviceAccountName: "web",
      hostNetwork: true,
      serviceAccount: "web",
      containers: [{ name: "c", image: "app:1", command: ["x"] }],
      initContainers: [{ name: "i", image: "init:1" }],
    },
    status: {
      phase: "Running",
      podIP: "10.0.0.1",
      containerStatuses: [{ name: "c", image: "app:1", imageID: "app@sha256:1", ready: true }],
    },
  } as unknown as Pod;
  const base = {
    name: "web",
    namespace: "shop",
    uid: "uid-web",
    resourceVersion: "",
    creationTimestamp: metadata.creationTimestamp,
    deletionTimestamp: metadata.deletionTimestamp,
    labels: { app: "web" },
    ownerReferences: [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "web", uid: "uid-rs" }],
  };
  const cut = (paths: string[], images = false) =>
    podProjection({ paths: new Set(paths), images })(pod);

  it("of a pod that no template names is what selection and attestation look at", () => {
    expect(cut([])).toEqual({
      metadata: base,
      spec: { nodeName: "node-a", serviceAccountName: "web" },
      status: { phase: "Running", podIP: "10.0.0.1" },
    });
  });

  it("of a pod are beside that the fields that templates name, by their Go names", () => {
    const paths = ["PodMeta.Annotations", "PodMeta.ResourceVersion", "PodSpec.HostNetwork"];
    const named = cut([...paths, "PodSpec.DeprecatedServiceAccount", "NodeMeta.Labels"]);
    expect(named).toEqual({
      metadata: { ...base, annotations: metadata.annotations, resourceVersion: "17" },
      spec: {
        ...{ nodeName: "node-a", serviceAccountName: "web" },
        ...{ hostNetwork: true, serviceAccount: "web" },
      },
      status: { phase: "Running", podIP: "10.0.0.1" },
    });
  });

  it("of a pod is all of a part that a template prints whole, or calls a method of", () => {
    expect(cut(["PodMeta"]).metadata).toEqual(metadata);
    expect(cut(["PodSpec"]).spec).toEqual(pod.spec);
    expect(cut(["PodMeta.GetSelfLinkish"]).metadata).toEqual(metadata);
    expect(cut(["PodMeta"]).spec).toEqual({ nodeName: "node-a", serviceAccountName: "web" });
  });

  it("of a pod's containers are the images, where selectors may ask for them", () => {
    const { spec, status } = cut([], true);
    expect(spec).toMatchObject({
      containers: [{ image: "app:1" }],
      initContainers: [{ image: "init:1" }],
    });
    expect(spec.containers?.[0]).not.toHaveProperty("command");
    expect(status).toEqual({
      phase: "Running",
      podIP: "10.0.0.1",
      containerStatuses: [{ name: "c", image: "app:1", imageID: "app@sha256:1" }],
    });
  });

  it("of a pod's containers is everything, where a template names them", () => {
    expect(cut(["PodSpec.Containers"], true).spec.containers).toEqual(pod.spec.containers);
  });

  it("of a pod without a status has none", () => {
    const project = podProjection({ paths: new Set(), images: true });
    expect(project({ metadata, spec: {} })).not.toHaveProperty("status");
  });

  it("of an EndpointSlice are its Service and its pods", () => {
    const targetRef = { kind: "Pod", name: "web", namespace: "shop", uid: "uid-web" };
    const labels = { "kubernetes.io/service-name": "web" };
    const slice = projectEndpointSlice({
      metadata: { ...metadata, labels },
      endpoints: [{ targetRef, conditions: { ready: true } } as never, {}],
    });
    expect(slice).toMatchObject({ metadata: { name: "web", labels }, endpoints: [{ targetRef }] });
    expect(slice.endpoints).toEqual([{ targetRef }]);
    expect(projectEndpointSlice({ metadata, endpoints: null }).endpoints).toEqual([]);
  });

  it("of a node are its addresses, and nothing else that its status says", () => {
    const addresses = [{ type: "InternalIP", address: "10.0.0.7" }];
    expect(projectNode(node("1", { addresses, ready: true })).status).toEqual({ addresses });
  });

  it("of a node is the same whatever else its status says", () => {
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
