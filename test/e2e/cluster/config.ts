/** What a cluster's kind configuration depends on. */
export interface ClusterShape {
  readonly name: string;
  readonly workers: number;
  /** Folder of this machine that every node sees read-only at {@link sharedFolder}. */
  readonly shared: string;
  /** Whether the nodes run an image made here: no kindnetd, cgroupfs, no tuning of the machine. */
  readonly made: boolean;
}

/** Where the nodes see {@link ClusterShape.shared}. */
export const sharedFolder = "/var/lib/signet-images";

/** Range of all pods' addresses. */
export const podSubnet = "10.244.0.0/16";

const gates = ["PodCertificateRequest", "ClusterTrustBundle", "ClusterTrustBundleProjection"];
const apis = ["podcertificaterequests", "clustertrustbundles"];

/** Renders the kind configuration: JSON, which is YAML too. */
export function kindConfig(shape: ClusterShape): string {
  const mount = { hostPath: shape.shared, containerPath: sharedFolder, readOnly: true };
  const roles = ["control-plane", ...Array.from({ length: shape.workers }, () => "worker")];
  const config = {
    kind: "Cluster",
    apiVersion: "kind.x-k8s.io/v1alpha4",
    name: shape.name,
    featureGates: Object.fromEntries(gates.map((gate) => [gate, true])),
    runtimeConfig: Object.fromEntries(
      apis.map((api) => [`certificates.k8s.io/v1beta1/${api}`, "true"]),
    ),
    networking: { podSubnet, ...(shape.made ? { disableDefaultCNI: true } : {}) },
    kubeadmConfigPatches: patches(shape.made).map((patch) => JSON.stringify(patch)),
    nodes: roles.map((role) => ({ role, extraMounts: [mount] })),
  };
  return `${JSON.stringify(config, undefined, 2)}\n`;
}

/** The names of kind's node containers, which are the node names: control plane first. */
export function nodeNames(name: string, workers: number): [string, ...string[]] {
  const others = Array.from({ length: workers }, (_, index) =>
    index === 0 ? `${name}-worker` : `${name}-worker${index + 1}`,
  );
  return [`${name}-control-plane`, ...others];
}

function patches(made: boolean): object[] {
  const cluster = {
    kind: "ClusterConfiguration",
    etcd: { local: { extraArgs: [{ name: "unsafe-no-fsync", value: "true" }] } },
  };
  if (!made) return [cluster];
  const kubelet = {
    kind: "KubeletConfiguration",
    failCgroupV1: false,
    cgroupDriver: "cgroupfs",
    oomScoreAdj: 0,
  };
  const proxy = { kind: "KubeProxyConfiguration", conntrack: { maxPerCore: 0, min: 0 } };
  return [cluster, kubelet, proxy];
}
