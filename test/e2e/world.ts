import { inject } from "vitest";
import { attachCluster } from "./cluster/cluster.ts";
import type { Cluster, RunResult } from "./cluster/cluster.ts";
import { waitFor } from "./cluster/exec.ts";
import type { TestImages } from "./images.ts";
import { NAMESPACE, TRUST_DOMAIN } from "./install.ts";

export { NAMESPACE, TRUST_DOMAIN } from "./install.ts";
export const MOUNT_PATH = "/var/run/secrets/spiffe.io";

/** A Kubernetes object as kubectl takes and gives it. */
// oxlint-disable-next-line typescript/no-explicit-any -- tests reach into objects of every kind
export type Json = any;

export interface PodOptions {
  readonly name: string;
  readonly namespace: string;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly serviceAccountName?: string;
  /** The node it must run on; the scheduler's choice when left out. */
  readonly node?: string;
  /** Merged over the pod's spec. */
  readonly spec?: Json;
}

/** What the suite works with: the cluster that the global setup made, with Signet installed in it. */
export interface World {
  readonly cluster: Cluster;
  readonly images: TestImages;
  /** Applies objects (or YAML); returns what kubectl said. */
  apply(...objects: Json[]): Promise<string>;
  get(kind: string, name: string, namespace?: string): Promise<Json>;
  list(kind: string, args?: readonly string[]): Promise<Json[]>;
  remove(kind: string, name: string, namespace?: string, args?: readonly string[]): Promise<void>;
  /** A namespace of its own for a test file, labelled for injection unless told otherwise. */
  namespace(name: string, labels?: Record<string, string>): Promise<void>;
  /** Runs a program in a pod's first container. */
  exec(namespace: string, pod: string, ...argv: string[]): Promise<RunResult>;
  /** Waits until the pod is Ready. */
  ready(namespace: string, pod: string, timeoutMs?: number): Promise<Json>;
  /** The pod's SVID as openssl sees it. */
  svid(namespace: string, pod: string): Promise<Svid>;
  /** Waits until `check` gives a value; what it throws is tried again and named when time is up. */
  until<T>(what: string, check: () => Promise<T | undefined>, timeoutMs?: number): Promise<T>;
}

export interface Svid {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  readonly serial: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Opens the world of the running suite. */
export async function openWorld(): Promise<World> {
  const name = inject("clusterName");
  const cluster = await attachCluster(name);
  if (cluster === undefined) throw new Error(`cluster ${name} is not running`);
  const world: World = {
    cluster,
    images: inject("images"),
    apply: (...objects) =>
      cluster.kubectl(["apply", "--server-side", "-f", "-"], {
        input: objects.map((o) => (typeof o === "string" ? o : JSON.stringify(o))).join("\n---\n"),
      }),
    get: async (kind, objectName, namespace) =>
      JSON.parse(
        await cluster.kubectl(["get", kind, objectName, ...scope(namespace), "-o", "json"]),
      ),
    list: async (kind, args = []) =>
      JSON.parse(await cluster.kubectl(["get", kind, ...args, "-o", "json"])).items,
    async remove(kind, objectName, namespace, args = []) {
      await cluster.kubectl(
        ["delete", kind, objectName, ...scope(namespace), "--ignore-not-found", ...args],
        { timeoutMs: 120_000 },
      );
    },
    async namespace(namespace, labels = { "signet.dev/inject": "true" }) {
      const object = { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace, labels } };
      await world.until(`namespace ${namespace}`, async () => {
        await world.apply(object);
        // One that an earlier run left is still on its way out.
        const { status } = await world.get("namespace", namespace);
        return status?.phase === "Active" || undefined;
      });
      // Pods are refused until the namespace has its default service account.
      await world.until(`service account of ${namespace}`, () =>
        world.get("serviceaccount", "default", namespace),
      );
    },
    exec: (namespace, pod, ...argv) =>
      cluster.tryKubectl(["exec", "-n", namespace, pod, "--", ...argv], { timeoutMs: 120_000 }),
    ready: (namespace, pod, timeoutMs = 60_000) =>
      world.until(
        `pod ${namespace}/${pod} to be Ready`,
        async () => {
          const object = await world.get("pod", pod, namespace);
          return isReady(object) ? object : undefined;
        },
        timeoutMs,
      ),
    svid: (namespace, pod) => readSvid(world, namespace, pod),
    until: (what, check, timeoutMs = 60_000) => waitFor(what, timeoutMs, check),
  };
  return world;
}

function scope(namespace?: string): string[] {
  return namespace === undefined ? [] : ["-n", namespace];
}

/** A pod of the workload image that sleeps, in the namespace's care for the volume. */
export function workloadPod(world: World, options: PodOptions): Json {
  const { name, namespace, labels, annotations, serviceAccountName, node, spec } = options;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
    },
    spec: {
      terminationGracePeriodSeconds: 1,
      ...(serviceAccountName ? { serviceAccountName } : {}),
      ...(node ? { nodeName: node } : {}),
      containers: [{ name: "main", image: world.images.workload, args: ["/workload/sleep.mjs"] }],
      ...spec,
    },
  };
}

/** A ClusterSPIFFEID for the pods of one namespace. */
export function clusterSpiffeId(name: string, namespace: string, spec: Json = {}): Json {
  return {
    apiVersion: "spire.spiffe.io/v1alpha1",
    kind: "ClusterSPIFFEID",
    metadata: { name },
    spec: {
      spiffeIDTemplate:
        "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}",
      namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
      ...spec,
    },
  };
}

export function isReady(pod: Json): boolean {
  return (
    pod.status?.conditions?.some((c: Json) => c.type === "Ready" && c.status === "True") === true
  );
}

/** The SPIFFE ID that `clusterSpiffeId` gives a pod that runs as `serviceAccount`. */
export function expectedId(namespace: string, serviceAccount = "default"): string {
  return `spiffe://${TRUST_DOMAIN}/ns/${namespace}/sa/${serviceAccount}`;
}

/** Names of Signet's own pods of one component: operator or agent. */
export async function signetPods(world: World, component: "operator" | "agent"): Promise<Json[]> {
  return world.list("pods", ["-n", NAMESPACE, "-l", `app.kubernetes.io/component=${component}`]);
}

async function readSvid(world: World, namespace: string, pod: string): Promise<Svid> {
  const show = ["openssl", "x509", "-in", `${MOUNT_PATH}/tls.crt`, "-noout"];
  const { stdout, stderr, code } = await world.exec(
    namespace,
    pod,
    ...show,
    ...["-serial", "-dates", "-dateopt", "iso_8601", "-ext", "subjectAltName"],
  );
  if (code !== 0) throw new Error(`openssl in ${namespace}/${pod}: ${stderr}`);
  const field = (name: string): string => new RegExp(`^${name}=(.*)$`, "m").exec(stdout)?.[1] ?? "";
  const names = [...stdout.matchAll(/(URI|DNS):([^,\s]+)/g)];
  const of = (kind: string): string[] => names.filter((n) => n[1] === kind).map((n) => n[2] ?? "");
  return {
    uris: of("URI"),
    dnsNames: of("DNS"),
    serial: field("serial"),
    notBefore: Date.parse(field("notBefore").replace(" ", "T")),
    notAfter: Date.parse(field("notAfter").replace(" ", "T")),
  };
}
