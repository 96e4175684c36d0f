import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  CLUSTER_FEDERATED_TRUST_DOMAINS,
  CLUSTER_SPIFFE_IDS,
  CLUSTER_STATIC_ENTRIES,
} from "../../src/api/resources.ts";
import type {
  ClusterSpiffeId,
  ClusterSpiffeIdStats,
  ClusterSpiffeIdStatus,
} from "../../src/api/cluster-spiffe-id.ts";
import { startRegistry } from "../../src/controllers/registry.ts";
import type { Registry } from "../../src/controllers/registry.ts";
import type { StoredResource } from "../../src/controllers/resource-watch.ts";
import { nextStatus } from "../../src/controllers/status-object.ts";
import { writeStatuses } from "../../src/controllers/status.ts";
import { manualClock, systemClock } from "../../src/core/clock.ts";
import type { ManualClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { NAMESPACES, NODES, PODS } from "../../src/kube/resources.ts";
import type { KubeObject, Pod } from "../../src/kube/types.ts";
import type { RuleStatus } from "../../src/registration/index.ts";
import { eventually, openCluster, TRUST_DOMAIN } from "./cluster.ts";
import type { TestCluster } from "./cluster.ts";

const NOW = Date.UTC(2026, 0, 1);
const stats: ClusterSpiffeIdStats = {
  namespacesSelected: 1,
  namespacesIgnored: 0,
  podsSelected: 1,
  podEntryRenderFailures: 0,
  entriesMasked: 0,
  entriesToSet: 1,
  entryFailures: 0,
  podsUnscheduled: 0,
  podsFinished: 0,
};
const rule: RuleStatus = {
  kind: "ClusterSPIFFEID",
  name: "web",
  observedGeneration: 1,
  stats,
  ready: true,
  reason: "EntriesRendered",
  message: "1 entry",
  failures: [],
};
const stored = (status?: StoredResource["status"]): StoredResource =>
  ({ metadata: { name: "web", uid: "u" }, ...(status ? { status } : {}) }) as StoredResource;

const timeOf = (next: StoredResource["status"]) => next?.conditions?.[0]?.lastTransitionTime;

describe("nextStatus", () => {
  const first = nextStatus(rule, stored(), NOW);

  it("says what the rule gives, as of now", () => {
    expect(first).toEqual({
      observedGeneration: 1,
      stats,
      conditions: [
        {
          type: "Ready",
          status: "True",
          observedGeneration: 1,
          lastTransitionTime: "2026-01-01T00:00:00Z",
          reason: "EntriesRendered",
          message: "1 entry",
        },
      ],
    });
  });

  it("is undefined when the object has it already, in whatever order", () => {
    expect(nextStatus(rule, stored(first), NOW + 60_000)).toBeUndefined();
    const reordered = Object.fromEntries(Object.entries(first ?? {}).toReversed());
    expect(nextStatus(rule, stored(reordered), NOW + 60_000)).toBeUndefined();
  });

  it("moves the transition time only with the condition's status", () => {
    const later = NOW + 60_000;
    const reworded = { ...rule, message: "2 entries", stats: { ...stats, entriesToSet: 2 } };
    expect(timeOf(nextStatus(reworded, stored(first), later))).toBe("2026-01-01T00:00:00Z");
    const broken = { ...rule, ready: false, reason: "RenderFailed" };
    const failed = nextStatus(broken, stored(first), later);
    expect(failed?.conditions?.[0]?.status).toBe("False");
    expect(timeOf(failed)).toBe("2026-01-01T00:01:00Z");
    expect(timeOf(nextStatus(rule, stored(failed), later + 60_000))).toBe("2026-01-01T00:02:00Z");
  });

  it("names failures while there are any, and drops them afterwards", () => {
    const failures = [{ pod: "shop/web", message: "no" }];
    const failed = nextStatus({ ...rule, failures }, stored(first), NOW);
    expect(failed).toMatchObject({ failures });
    expect(nextStatus(rule, stored(failed), NOW)).not.toHaveProperty("failures");
  });
});

describe("writeStatuses", () => {
  let cluster: TestCluster;
  let registry: Registry;
  let clock: ManualClock;
  let told: string[];

  beforeEach(async () => {
    cluster = await openCluster();
    clock = manualClock(NOW);
    told = [];
    cluster.server.put(NAMESPACES, { metadata: { name: "shop" } });
    cluster.server.put(NODES, { metadata: { name: "node-a" } });
    registry = startRegistry({
      client: cluster.client,
      options: { trustDomain: TRUST_DOMAIN, clusterName: "kind", clusterDomain: "cluster.local" },
      clock: systemClock(),
      log: silentLog(),
      random: () => 0,
    });
    cluster.onClose(() => registry.stop());
    await registry.synced;
  });
  afterEach(() => cluster.close());

  function putRule(name: string, template = "spiffe://example.org/{{ .PodMeta.Name }}"): string {
    const object = { metadata: { name }, spec: { spiffeIDTemplate: template } };
    return cluster.server.put(CLUSTER_SPIFFE_IDS, object).metadata.uid;
  }
  const putPod = (name: string): string =>
    cluster.server.put<Pod>(PODS, {
      metadata: { name, namespace: "shop" },
      spec: { nodeName: "node-a" },
    }).metadata.uid;
  const statusOf = (name: string): ClusterSpiffeIdStatus | undefined =>
    cluster.server
      .objects<ClusterSpiffeId & KubeObject>(CLUSTER_SPIFFE_IDS)
      .find(({ metadata }) => metadata.name === name)?.status;
  const writes = () => cluster.server.requests.filter(({ method }) => method === "PATCH");
  /** Waits until the writer has sent what it had to send: nothing new for a while. */
  async function quiet(): Promise<void> {
    for (let seen = -1, calm = 0; calm < 3;) {
      await new Promise((resolve) => setTimeout(resolve, 40));
      const sent = cluster.server.requests.length;
      calm = sent === seen ? calm + 1 : 0;
      seen = sent;
    }
  }
  const known = (uid: string) => eventually(() => expect(registry.statusOf(uid)).toBeDefined());

  async function start(): Promise<() => Promise<void>> {
    const { client, run } = cluster;
    const stop = run((signal) =>
      writeStatuses(
        {
          ...{ client, registry, clock, random: () => 0.5, log: silentLog() },
          tell: ({ name }, { type, reason }) => void told.push(`${type} ${name} ${reason}`),
        },
        signal,
      ),
    );
    await quiet();
    return stop;
  }
  /** Lets the writer take its turns for a while, each to its end. */
  async function pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 250) {
      await clock.advance(250);
      await quiet();
    }
  }

  it("writes what it finds at the start, and only what differs", async () => {
    const uid = putRule("web");
    await known(uid);
    const stop = await start();
    await eventually(() =>
      expect(statusOf("web")?.conditions).toMatchObject([
        { type: "Ready", reason: "NothingSelected" },
      ]),
    );
    await eventually(() => expect(registry.resource(uid)?.status).toBeDefined());
    await stop();
    await start();
    await pass(2000);
    expect(writes()).toHaveLength(1);
  });

  it("writes only the rule that changed", async () => {
    await known(putRule("broken", "{{"));
    await known(putRule("web"));
    await start();
    await pass(2000);
    expect(writes()).toHaveLength(2);
    const pod = putPod("a");
    await eventually(() => expect(registry.entriesOfPod(pod)).toHaveLength(1));
    await pass(2000);
    expect(statusOf("web")?.stats?.entriesToSet).toBe(1);
    expect(
      writes()
        .slice(2)
        .map(({ path }) => path.split("/").slice(-2)),
    ).toEqual([["web", "status"]]);
  });

  it("turns many events into few writes", async () => {
    await known(putRule("web"));
    await start();
    await pass(2000);
    for (let i = 0; i < 50; i += 1) {
      const pod = putPod(`pod-${i}`);
      await eventually(() => expect(registry.entriesOfPod(pod)).toHaveLength(1));
      if (i % 10 === 9) await pass(250);
    }
    await pass(3500);
    expect(statusOf("web")?.stats?.entriesToSet).toBe(50);
    expect(writes().length).toBeLessThanOrEqual(4);
  });

  it("tries again after a refusal, and leaves other rules alone meanwhile", async () => {
    await known(putRule("web"));
    await known(putRule("api"));
    let refused = 0;
    cluster.server.intercept = ({ method, path }) => {
      if (method !== "PATCH" || !path.includes("/web/") || refused > 0) return undefined;
      refused += 1;
      return { status: 500, body: {} };
    };
    await start();
    await eventually(() => expect(statusOf("api")).toBeDefined());
    expect(statusOf("web")).toBeUndefined();
    await pass(1250);
    await eventually(() => expect(statusOf("web")).toBeDefined());
  });

  it("does not write to a successor of the same name", async () => {
    await known(putRule("web"));
    let swapped = false;
    cluster.server.intercept = ({ method }) => {
      if (method === "PATCH" && !swapped) {
        swapped = true;
        cluster.server.delete(CLUSTER_SPIFFE_IDS, { name: "web" });
        putRule("web", "{{");
      }
      return undefined;
    };
    const stop = await start();
    await eventually(() => expect(swapped).toBe(true));
    await stop();
    expect(statusOf("web")).toBeUndefined();
  });

  it("tells of a rule that cannot work, and when it can again, but not of counts", async () => {
    await known(putRule("web"));
    const uid = putRule("broken", "{{");
    await known(uid);
    await start();
    await pass(2000);
    expect(told).toEqual(["Warning broken InvalidTemplate"]);
    await eventually(() => expect(registry.resource(uid)?.status).toBeDefined());
    const mended = { spec: { spiffeIDTemplate: "spiffe://example.org/mended" } };
    const { status } = registry.resource(uid) ?? {};
    cluster.server.put(CLUSTER_SPIFFE_IDS, {
      ...{ metadata: { name: "broken" }, ...mended, status },
    });
    await eventually(() => expect(registry.statusOf(uid)?.ready).toBe(true));
    putPod("a");
    await pass(4000);
    expect(told.slice(1)).toEqual([expect.stringMatching(/^Normal broken /)]);
  });

  it("writes all kinds, each with what it declares", async () => {
    const { server } = cluster;
    const selectors = ["k8s:ns:shop"];
    const node = server.objects(NODES)[0]?.metadata.uid ?? "";
    const ids = {
      spiffeID: "spiffe://example.org/fixed",
      parentID: `spiffe://example.org/spire/agent/k8s_psat/kind/${node}`,
    };
    const fixed = server.put(CLUSTER_STATIC_ENTRIES, {
      metadata: { name: "fixed" },
      spec: { ...ids, selectors, federatesWith: ["other.org"] },
    } as never).metadata.uid;
    const foreign = server.put(CLUSTER_FEDERATED_TRUST_DOMAINS, {
      metadata: { name: "other" },
      spec: {
        trustDomain: "other.org",
        bundleEndpointURL: "https://other.org/bundle",
        bundleEndpointProfile: { type: "https_web" },
      },
    } as never).metadata.uid;
    putPod("a");
    await known(fixed);
    await known(foreign);
    await eventually(() =>
      expect(registry.statusOf(fixed)).toMatchObject({ stats: { entriesToSet: 1 } }),
    );
    await start();
    await pass(1000);
    const [entry] = server.objects<KubeObject & { status?: object }>(CLUSTER_STATIC_ENTRIES);
    expect(entry?.status).toMatchObject({
      ...{ rendered: true, masked: false, set: true, podsSelected: 1 },
      conditions: [
        { type: "Ready", status: "True", reason: "EntryInEffect" },
        { type: "BundlesAvailable", status: "False", reason: "BundleMissing" },
      ],
    });
    const [other] = server.objects<KubeObject & { status?: object }>(
      CLUSTER_FEDERATED_TRUST_DOMAINS,
    );
    expect(other?.status).toMatchObject({
      conditions: [{ type: "Ready", status: "False", reason: "BundleNotFetched" }],
    });
  });

  it("writes no more than the API server should bear when one event touches many rules", async () => {
    for (let n = 0; n < 200; n += 1) await known(putRule(`r-${n}`));
    await start();
    await pass(1000);
    const first = writes().length;
    expect(first).toBeGreaterThanOrEqual(50);
    expect(first).toBeLessThanOrEqual(80);
    await pass(10_000);
    expect(writes()).toHaveLength(200);
  });

  it("forgets a rule that is deleted", async () => {
    const uid = putRule("web");
    await known(uid);
    await start();
    cluster.server.delete(CLUSTER_SPIFFE_IDS, { name: "web" });
    await eventually(() => expect(registry.statusOf(uid)).toBeUndefined());
    await pass(2000);
    expect(writes()).toHaveLength(1);
  });
});
