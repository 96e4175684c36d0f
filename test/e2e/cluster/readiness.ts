import { waitFor } from "./exec.ts";

/** Reads objects of the cluster as JSON text, by `kubectl get` arguments. */
export type Get = (args: readonly string[]) => Promise<string>;

const leaseAgeMs = 40_000;

/**
 * Waits until nodes, CoreDNS and kube-proxy are ready, and not only by what the API remembers of them:
 * `since` tells when each node started (ms since epoch), what runs on it must have started later.
 */
export async function waitReady(
  get: Get,
  nodes: readonly string[],
  limits: { readonly since: ReadonlyMap<string, number>; readonly timeoutMs: number },
): Promise<void> {
  const deadline = Date.now() + limits.timeoutMs;
  const until = (what: string, check: () => Promise<boolean>): Promise<boolean> => {
    const left = Math.max(deadline - Date.now(), 1);
    return waitFor(what, left, async () => ((await check()) ? true : undefined));
  };
  await until("the API server", async () => (await get(["--raw", "/readyz"])) === "ok");
  await until(`the kubelets of ${nodes.join(", ")}`, async () => {
    const leases = await get(["leases", "-n", "kube-node-lease", "-o", "json"]);
    return renewed(leases, limits.since, Date.now() - leaseAgeMs);
  });
  await until(`nodes ${nodes.join(", ")} to be Ready`, async () => {
    return nodesReady(await get(["nodes", "-o", "json"]), nodes);
  });
  await until("CoreDNS and kube-proxy", async () => {
    const pods = await get(["pods", "-n", "kube-system", "-o", "json"]);
    const count = (app: string): number => podsReady(pods, app, limits.since);
    return count("kube-dns") >= 1 && count("kube-proxy") >= nodes.length;
  });
}

/** Whether all named nodes are there and Ready, from `kubectl get nodes -o json`. */
export function nodesReady(json: string, names: readonly string[]): boolean {
  const items = (JSON.parse(json) as List<Conditioned>).items;
  return names.every((name) => {
    const node = items.find((item) => item.metadata.name === name);
    return node !== undefined && isReady(node);
  });
}

/** How many Ready pods with that `k8s-app` label have containers started after their node, from `kubectl get pods -o json`. */
export function podsReady(json: string, app: string, since: ReadonlyMap<string, number>): number {
  const items = (JSON.parse(json) as List<Pod>).items;
  const ready = items.filter((pod) => {
    const containers = pod.status.containerStatuses ?? [];
    const times = containers.map(({ state }) => Date.parse(state?.running?.startedAt ?? ""));
    // The API gives whole seconds.
    const second = Math.floor((since.get(pod.spec.nodeName ?? "") ?? Infinity) / 1000) * 1000;
    const isOurs = pod.metadata.labels?.["k8s-app"] === app;
    return isOurs && isReady(pod) && times.length > 0 && times.every((time) => time >= second);
  });
  return ready.length;
}

/** Whether the lease of each node was renewed after its start and after `youngest`, from `kubectl get leases -o json`. */
export function renewed(
  json: string,
  since: ReadonlyMap<string, number>,
  youngest: number,
): boolean {
  const items = (JSON.parse(json) as List<Lease>).items;
  return [...since].every(([name, start]) => {
    const lease = items.find((item) => item.metadata.name === name);
    return Date.parse(lease?.spec.renewTime ?? "") >= Math.max(start, youngest);
  });
}

interface List<T> {
  readonly items: readonly T[];
}

interface Metadata {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
}

interface Lease {
  readonly metadata: Metadata;
  readonly spec: { readonly renewTime?: string };
}

interface Conditioned {
  readonly metadata: Metadata;
  readonly status: {
    readonly conditions?: readonly { type: string; status: string }[];
  };
}

interface Pod extends Conditioned {
  readonly spec: { readonly nodeName?: string };
  readonly status: Conditioned["status"] & {
    readonly containerStatuses?: readonly { state?: { running?: { startedAt?: string } } }[];
  };
}

function isReady(object: Conditioned): boolean {
  const conditions = object.status.conditions ?? [];
  return conditions.some(({ type, status }) => type === "Ready" && status === "True");
}
