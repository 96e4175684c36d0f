/** Made-up pods in the shape and size of real ones; the same number gives the same pod in every run. */
import type { Pod, PodStatus } from "../src/kube/types.ts";

/** How many objects there are of what pods are spread over. */
export interface Shape {
  readonly namespaces: number;
  readonly nodes: number;
}

/** When all objects of the benchmark were made. */
export const CREATED = "2026-05-04T08:00:00Z";
export const APP_LABEL = "app.kubernetes.io/name";
export const VERSION_LABEL = "app.kubernetes.io/version";
export const TIERS = ["frontend", "backend", "worker", "data"];
export const VERSIONS = 8;
const APPS = 900;

/** A pod of a Deployment with two containers, as it is sent to the API server: about 4 KB of JSON. */
export function newPod(index: number, shape: Shape): Pod {
  const app = `app-${mix(index) % APPS}`;
  const hash = hex(mix(index * 7), 9);
  const name = `${app}-${hash}-${index.toString(36).padStart(5, "0")}`;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: namespaceName(index % shape.namespaces),
      labels: podLabels(index, app, hash),
      annotations: {
        "checksum/config": hex(mix(index), 64),
        "kubectl.kubernetes.io/restartedAt": "2026-05-03T21:14:07Z",
        "prometheus.io/port": "9102",
        "prometheus.io/scrape": "true",
      },
      ownerReferences: [
        {
          apiVersion: "apps/v1",
          kind: "ReplicaSet",
          name: `${app}-${hash}`,
          uid: uid("5e", mix(index * 7)),
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: podSpec(app, nodeName(Math.floor(index / 7) % shape.nodes)),
  } as unknown as Pod;
}

/** The same pod as the API server gives it once it runs: about 9 KB of JSON. */
export function storedPod(index: number, shape: Shape): Pod {
  const { metadata, ...rest } = newPod(index, shape);
  return {
    ...rest,
    metadata: {
      ...metadata,
      uid: podUid(index),
      resourceVersion: String(1_000_000 + index),
      creationTimestamp: CREATED,
      generation: 1,
      generateName: metadata.name.replace(/[^-]+$/, ""),
      managedFields: managedFields(index),
    },
    status: podStatus(index),
  };
}

/** The UID of a pod of the benchmark. */
export function podUid(index: number): string {
  return uid("90", index);
}

function podLabels(index: number, app: string, hash: string): Record<string, string> {
  return {
    [APP_LABEL]: app,
    "app.kubernetes.io/instance": app,
    "app.kubernetes.io/managed-by": "Helm",
    [VERSION_LABEL]: `2.${mix(index * 3) % VERSIONS}.0`,
    "pod-template-hash": hash,
    tier: pick(TIERS, mix(index * 5)),
  };
}

function podSpec(app: string, node: string): object {
  const mounts = [
    { name: "config", mountPath: "/etc/app", readOnly: true },
    { name: "tmp", mountPath: "/tmp" },
  ];
  return {
    serviceAccountName: app,
    nodeName: node,
    restartPolicy: "Always",
    terminationGracePeriodSeconds: 30,
    dnsPolicy: "ClusterFirst",
    schedulerName: "default-scheduler",
    enableServiceLinks: true,
    priority: 0,
    securityContext: { runAsNonRoot: true, runAsUser: 10_001, fsGroup: 10_001 },
    containers: [container(app, mounts, 8080), container(`${app}-proxy`, mounts, 15_020)],
    tolerations: ["not-ready", "unreachable"].map((taint) => ({
      key: `node.kubernetes.io/${taint}`,
      operator: "Exists",
      effect: "NoExecute",
      tolerationSeconds: 300,
    })),
    volumes: [
      { name: "config", configMap: { name: `${app}-config`, defaultMode: 420 } },
      { name: "tmp", emptyDir: {} },
    ],
  };
}

function container(name: string, volumeMounts: readonly object[], port: number): object {
  return {
    name,
    image: `registry.example.com/platform/${name}:2.4.1`,
    imagePullPolicy: "IfNotPresent",
    args: [`--listen=:${port}`, "--log-format=json", `--service=${name}`],
    ports: [{ name: "http", containerPort: port, protocol: "TCP" }],
    env: [
      ...Array.from({ length: 10 }, (_, at) => ({
        name: `SETTING_${at}`,
        value: `${name}-value-${at}`,
      })),
      { name: "POD_IP", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "status.podIP" } } },
      { name: "PASSWORD", valueFrom: { secretKeyRef: { name: `${name}-db`, key: "password" } } },
    ],
    resources: {
      limits: { cpu: "1", memory: "512Mi" },
      requests: { cpu: "100m", memory: "256Mi" },
    },
    livenessProbe: probe(port, "/livez", 10),
    readinessProbe: probe(port, "/readyz", 5),
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      readOnlyRootFilesystem: true,
    },
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    volumeMounts,
  };
}

function probe(port: number, path: string, periodSeconds: number): object {
  const httpGet = { path, port, scheme: "HTTP" };
  return { httpGet, periodSeconds, timeoutSeconds: 1, successThreshold: 1, failureThreshold: 3 };
}

/** What a kubelet reports. */
function podStatus(index: number): PodStatus {
  const ip = `10.244.${(index >> 8) % 256}.${index % 256}`;
  const kinds = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];
  const status = {
    phase: "Running" as const,
    podIP: ip,
    podIPs: [{ ip }],
    hostIP: "10.0.0.1",
    startTime: CREATED,
    qosClass: "Burstable",
    conditions: kinds.map((type) => ({
      type,
      status: "True" as const,
      lastTransitionTime: CREATED,
    })),
    containerStatuses: [0, 1].map((at) => ({
      name: `container-${at}`,
      image: "registry.example.com/platform/app:2.4.1",
      imageID: `registry.example.com/platform/app@sha256:${hex(mix(index), 64)}`,
      containerID: `containerd://${hex(mix(index + at), 64)}`,
      ready: true,
      restartCount: 0,
      state: { running: { startedAt: CREATED } },
    })),
  };
  return status;
}

/** The bookkeeping of two writers, which the operator drops as it reads. */
function managedFields(index: number): object[] {
  const keys = Array.from({ length: 24 }, (_, at) => [`k:{"name":"SETTING_${at}"}`, { ".": {} }]);
  return ["kube-controller-manager", "kubelet"].map((manager) => ({
    manager,
    operation: "Update",
    apiVersion: "v1",
    time: CREATED,
    fieldsType: "FieldsV1",
    fieldsV1: { "f:spec": Object.fromEntries(keys), "f:metadata": { [`f:${index}`]: {} } },
  }));
}

/** The name of a namespace of the benchmark. */
export function namespaceName(index: number): string {
  return `shop-${index}`;
}

/** The name of a node of the benchmark. */
export function nodeName(index: number): string {
  return `ip-10-0-${index >> 8}-${index % 256}.eu-central-1.compute.internal`;
}

function uid(start: string, index: number): string {
  const digits = `${start}${hex(index, 30)}`;
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export function pick(list: readonly string[], index: number): string {
  return list[Math.floor(index) % list.length] ?? "";
}

export function hex(value: number, length: number): string {
  return value.toString(16).padStart(length, "0").slice(-length);
}

/** Scatters consecutive numbers (the finalizer of MurmurHash3), so that labels do not depend on each other. */
export function mix(index: number): number {
  let bits = Math.imul(index ^ (index >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
