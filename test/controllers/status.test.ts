import { afterEach, beforeEach, expect, it } from "vitest";
import type { ClusterSpiffeId } from "../../src/api/cluster-spiffe-id.ts";
import { CLUSTER_SPIFFE_IDS } from "../../src/api/resources.ts";
import { startRegistry } from "../../src/controllers/registry.ts";
import type { Registry } from "../../src/controllers/registry.ts";
import { writeStatuses } from "../../src/controllers/status.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import type { Log } from "../../src/core/log.ts";
import { createKubeClient } from "../../src/kube/client.ts";
import type { KubeClient } from "../../src/kube/client.ts";
import { NAMESPACES, NODES, PODS } from "../../src/kube/resources.ts";
import type { KubeObject, Pod } from "../../src/kube/types.ts";
import { startFakeApiServer } from "../fakes/api-server.ts";
import type { FakeApiServer } from "../fakes/api-server.ts";
import type { ApiRequest } from "../fakes/api-routes.ts";

const clock = systemClock();
let api: FakeApiServer;
let client: KubeClient;
let registry: Registry;
let leading: AbortController;
let writing: Promise<void>;
let warnings: string[];

beforeEach(async () => {
  api = await startFakeApiServer();
  api.define(CLUSTER_SPIFFE_IDS);
  api.put(NAMESPACES, { metadata: { name: "shop" } });
  api.put(NODES, { metadata: { name: "node-a" } });
  warnings = [];
  client = createKubeClient({ config: api.config(), clock, userAgent: "test" });
  leading = new AbortController();
});

afterEach(async () => {
  leading.abort();
  await writing;
  await registry.stop();
  await client.close();
  await api.close();
});

/** The log of a writer, of which only the warnings are kept. */
function warningLog(): Log {
  return { ...silentLog(), warn: (_fields, message) => void warnings.push(message) };
}

function lead(): void {
  registry = startRegistry({
    client,
    options: { trustDomain: "example.org", clusterName: "kind", clusterDomain: "cluster.local" },
    clock,
    random: Math.random,
    log: silentLog(),
  });
  writing = writeStatuses(
    {
      ...{ client, registry, clock, random: Math.random, log: warningLog() },
      tell: () => undefined,
    },
    leading.signal,
  );
}

function putRule(name: string, template = "spiffe://{{ .TrustDomain }}/{{ .PodMeta.Name }}"): void {
  const object = { metadata: { name }, spec: { spiffeIDTemplate: template } };
  api.put(CLUSTER_SPIFFE_IDS, object);
}

function putPod(name: string): void {
  api.put<Pod>(PODS, {
    metadata: { name, namespace: "shop" },
    spec: { nodeName: "node-a", serviceAccountName: "default", containers: [] },
    status: { phase: "Running" },
  } as never);
}

const statusOf = (name: string) =>
  api
    .objects<ClusterSpiffeId & KubeObject>(CLUSTER_SPIFFE_IDS)
    .find(({ metadata }) => metadata.name === name)?.status;

const isStatusWrite = (request: ApiRequest): boolean =>
  request.method === "PATCH" && request.path.endsWith("/status");

/** Answers like an API server whose CRD is SPIRE's own: its status has nothing but the seven counters. */
function refuseOurFields(request: ApiRequest) {
  if (!isStatusWrite(request)) return undefined;
  const { status } = request.body as { status: { stats: object } };
  const extra = Object.keys(status).find((field) => field !== "stats");
  if (extra === undefined && !("podsUnscheduled" in status.stats)) return undefined;
  const message = `failed to create typed patch object (/x; spire.spiffe.io/v1alpha1, Kind=ClusterSPIFFEID): .status.${extra ?? "stats.podsUnscheduled"}: field not declared in schema`;
  return { status: 500, body: { kind: "Status", status: "Failure", code: 500, message } };
}

it("writes counters and a Ready condition, and again when a pod comes", async () => {
  putRule("web");
  putPod("a");
  lead();
  await expect.poll(() => statusOf("web")?.stats?.entriesToSet, { timeout: 20_000 }).toBe(1);
  expect(statusOf("web")?.conditions).toMatchObject([{ type: "Ready", status: "True" }]);
  putPod("b");
  await expect.poll(() => statusOf("web")?.stats?.entriesToSet, { timeout: 20_000 }).toBe(2);
  expect(warnings).toEqual([]);
});

it("says in the status which pods fail and why", async () => {
  putRule("bad", "spiffe://elsewhere.org/{{ .PodMeta.Name }}");
  putPod("a");
  lead();
  await expect.poll(() => statusOf("bad")?.failures, { timeout: 20_000 }).toHaveLength(1);
  expect(statusOf("bad")?.failures?.[0]?.pod).toBe("shop/a");
});

it("writes SPIRE's seven counters where the CRD declares no other field, and says so once", async () => {
  api.intercept = refuseOurFields;
  putRule("web");
  putRule("db", "spiffe://{{ .TrustDomain }}/db/{{ .PodMeta.Name }}");
  putPod("a");
  lead();
  const upstream = {
    stats: {
      namespacesSelected: 1,
      namespacesIgnored: 0,
      podsSelected: 1,
      podEntryRenderFailures: 0,
      entriesMasked: 0,
      entriesToSet: 1,
      entryFailures: 0,
    },
  };
  await expect.poll(() => statusOf("web"), { timeout: 20_000 }).toMatchObject(upstream);
  await expect.poll(() => statusOf("db")?.stats?.podsSelected, { timeout: 20_000 }).toBe(1);
  const refused = api.requests.filter((request) => refuseOurFields(request) !== undefined).length;
  putPod("b");
  await expect.poll(() => statusOf("web")?.stats?.podsSelected, { timeout: 20_000 }).toBe(2);
  expect(statusOf("web")?.conditions).toBeUndefined();
  expect(warnings).toHaveLength(1);
  // Known by then: what the API server refuses is not tried again with every write.
  expect(api.requests.filter((request) => refuseOurFields(request) !== undefined)).toHaveLength(
    refused,
  );
});

it("tries again when the API server refuses a status for another reason", async () => {
  let refusals = 0;
  api.intercept = (request) => {
    if (!isStatusWrite(request) || refusals > 0) return undefined;
    refusals += 1;
    return { status: 500, body: { kind: "Status", code: 500, message: "etcd is away" } };
  };
  putRule("web");
  putPod("a");
  lead();
  await expect.poll(() => statusOf("web")?.conditions, { timeout: 20_000 }).toHaveLength(1);
  expect(refusals).toBe(1);
  expect(warnings).toHaveLength(1);
});
