import { beforeAll, describe, expect, it } from "vitest";
import { only, render } from "./helm.ts";
import type { Manifest } from "./helm.ts";

let objects: Manifest[];
let daemonSet: Manifest;
let pod: Manifest;
let container: Manifest;

beforeAll(async () => {
  objects = await render({ kubeletDir: "/data/kubelet", audience: "aud" });
  daemonSet = only(objects, "DaemonSet");
  pod = daemonSet.spec.template.spec;
  container = pod.containers[0];
});

const mountOf = (name: string): Manifest =>
  container.volumeMounts.find((mount: Manifest) => mount["name"] === name);
const volumeOf = (name: string): Manifest =>
  pod.volumes.find((volume: Manifest) => volume["name"] === name);

describe("the agent", () => {
  it("shares no namespace with its node and has no token for the API server", () => {
    expect(pod.hostPID ?? pod.hostNetwork ?? pod.hostIPC ?? false).toBe(false);
    expect(pod.automountServiceAccountToken).toBe(false);
    expect(only(objects, "ServiceAccount", "signet-agent").automountServiceAccountToken).toBe(
      false,
    );
  });

  it("has no right in Kubernetes", () => {
    expect(pod.serviceAccountName).toBe("signet-agent");
    const subjects = objects.flatMap((object) => (object["subjects"] ?? []) as Manifest[]);
    expect(subjects.map((subject) => subject["name"] as string)).not.toContain("signet-agent");
  });

  it("is privileged for mount propagation, as root, with a read-only root file system", () => {
    expect(container.securityContext).toEqual({
      privileged: true,
      runAsUser: 0,
      runAsGroup: 0,
      readOnlyRootFilesystem: true,
    });
    expect(mountOf("pods")).toEqual({
      name: "pods",
      mountPath: "/data/kubelet/pods",
      mountPropagation: "Bidirectional",
    });
  });

  it("sees three folders of the host, at the same paths, and nothing else of it", () => {
    const host = pod.volumes.filter((volume: Manifest) => volume["hostPath"]);
    expect(host.map((volume: Manifest) => volume["hostPath"])).toEqual([
      { path: "/data/kubelet/pods", type: "Directory" },
      { path: "/data/kubelet/plugins/csi.spiffe.io", type: "DirectoryOrCreate" },
      { path: "/data/kubelet/plugins_registry", type: "Directory" },
    ]);
    for (const volume of host as Manifest[]) {
      expect(mountOf(volume["name"] as string).mountPath).toBe(volume["hostPath"].path);
    }
  });

  it("shows the operator a short-lived token of the right audience", () => {
    expect(volumeOf("token").projected).toEqual({
      defaultMode: 0o400,
      sources: [
        { serviceAccountToken: { path: "token", audience: "aud", expirationSeconds: 3600 } },
      ],
    });
    expect(mountOf("token")).toMatchObject({
      mountPath: "/var/run/secrets/signet",
      readOnly: true,
    });
  });

  it("waits for the bundle that the operator publishes", () => {
    expect(volumeOf("bundle").configMap).toEqual({ name: "signet-bundle" });
    expect(mountOf("bundle")).toMatchObject({ mountPath: "/etc/signet/bundle", readOnly: true });
  });

  it("runs on every Linux node, whatever its taints, and is replaced by one that waits beside it", () => {
    expect(pod.tolerations).toEqual([{ operator: "Exists" }]);
    expect(pod.nodeSelector).toEqual({ "kubernetes.io/os": "linux" });
    expect(pod.priorityClassName).toBe("system-node-critical");
    expect(daemonSet.spec.updateStrategy).toEqual({
      type: "RollingUpdate",
      rollingUpdate: { maxSurge: "10%", maxUnavailable: 0 },
    });
  });

  it("is replaced as its values say", async () => {
    const strategy = async (agent: Manifest) =>
      only(await render({ agent }), "DaemonSet").spec.updateStrategy;
    const rollingUpdate = { maxSurge: 0, maxUnavailable: "10%" };
    expect(await strategy({ updateStrategy: { rollingUpdate } })).toEqual({
      type: "RollingUpdate",
      rollingUpdate,
    });
    expect(await strategy({ updateStrategy: { type: "OnDelete", rollingUpdate: null } })).toEqual({
      type: "OnDelete",
    });
    await expect(strategy({ updateStrategy: { type: "Recreate" } })).rejects.toThrow(/type/);
  });

  it("runs the image's program with less memory than the operator", () => {
    expect(container.command).toEqual([
      "node",
      "--optimize-for-size",
      "--max-semi-space-size=1",
      "/app/signet.js",
    ]);
  });

  it("is told its role, its configuration and its node", () => {
    expect(container.args).toEqual(["agent", "--config", "/etc/signet/config.json"]);
    expect(mountOf("config").mountPath).toBe("/etc/signet/config.json");
    const node = { name: "NODE_NAME", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } };
    expect(container.env).toEqual([{ name: "MALLOC_ARENA_MAX", value: "1" }, node]);
    expect(container.readinessProbe.httpGet).toEqual({ path: "/readyz", port: "health" });
    expect(container.livenessProbe.httpGet).toEqual({ path: "/healthz", port: "health" });
  });
});

describe("the CSI driver object", () => {
  it("is for inline volumes that get a pod-bound token and stay out of kubelet's way", () => {
    const driver = only(objects, "CSIDriver");
    expect(driver.spec).toEqual({
      attachRequired: false,
      podInfoOnMount: true,
      volumeLifecycleModes: ["Ephemeral"],
      fsGroupPolicy: "None",
      tokenRequests: [{ audience: "aud", expirationSeconds: 600 }],
      requiresRepublish: false,
      seLinuxMount: false,
      serviceAccountTokenInSecrets: true,
    });
    expect(driver.metadata.labels["security.openshift.io/csi-ephemeral-volume-profile"]).toBe(
      "restricted",
    );
  });

  it.each([
    ["1.34.9", undefined],
    ["v1.35.1-gke.100", true],
    ["1.36.3", true],
  ])("asks for tokens among the secrets only where Kubernetes %s knows that", async (v, value) => {
    const driver = only(await render({}, "--kube-version", v), "CSIDriver");
    expect(driver.spec.serviceAccountTokenInSecrets).toBe(value);
  });
});
