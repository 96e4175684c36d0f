import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CLUSTER_FEDERATED_TRUST_DOMAINS, CLUSTER_SPIFFE_IDS } from "../../src/api/resources.ts";
import { startRegistry } from "../../src/controllers/registry.ts";
import type { Registry } from "../../src/controllers/registry.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { NAMESPACES, NODES, PODS } from "../../src/kube/resources.ts";
import type { Pod } from "../../src/kube/types.ts";
import { eventually, openCluster, TRUST_DOMAIN } from "./cluster.ts";
import type { TestCluster } from "./cluster.ts";

let cluster: TestCluster;
let registry: Registry;
let changes: { podUid: string; node: string }[];
let endings: string[];
let foreign: string[];

beforeEach(async () => {
  cluster = await openCluster();
  const { server } = cluster;
  server.put(NAMESPACES, namespace("shop"));
  server.put(NODES, { metadata: { name: "node-a" } });
  changes = [];
  endings = [];
  foreign = [];
  registry = startRegistry({
    client: cluster.client,
    options: { trustDomain: TRUST_DOMAIN, clusterName: "kind", clusterDomain: "cluster.local" },
    clock: systemClock(),
    log: silentLog(),
    random: () => 0,
  });
  registry.subscribe({
    entriesChanged: (podUid, node) => void changes.push({ podUid, node }),
    podEnding: (podUid) => void endings.push(podUid),
    foreignBundleChanged: (trustDomain) => void foreign.push(trustDomain),
  });
  cluster.onClose(() => registry.stop());
  await registry.synced;
});
afterEach(() => cluster.close());

function putPod(name: string, metadata: object = {}): string {
  const pod = {
    metadata: { name, namespace: "shop", labels: { app: name }, ...metadata },
    spec: { nodeName: "node-a", serviceAccountName: "web" },
  };
  return cluster.server.put<Pod>(PODS, pod).metadata.uid;
}

function putRule(name: string, template: string, spec: object = {}): string {
  const object = { metadata: { name }, spec: { spiffeIDTemplate: template, ...spec } };
  return cluster.server.put(CLUSTER_SPIFFE_IDS, object).metadata.uid;
}

const PER_POD = "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/pod/{{ .PodMeta.Name }}";
const FIRST = "spiffe://example.org/first";
const SECOND = "spiffe://example.org/second";
const namespace = (team: string) => ({ metadata: { name: "shop", labels: { team } } });
const idsOf = (podUid: string) => registry.entriesOfPod(podUid).map(({ spiffeId }) => spiffeId);
const hasId = (podUid: string, ...ids: string[]) =>
  eventually(() => expect(idsOf(podUid)).toEqual(ids));

describe("entries", () => {
  it("come from ClusterSPIFFEIDs, pods, nodes and namespaces", async () => {
    putRule("web", PER_POD, { namespaceSelector: { matchLabels: { team: "shop" } } });
    const uid = putPod("web");
    await hasId(uid, "spiffe://example.org/ns/shop/pod/web");
    const nodeUid = cluster.server.objects(NODES)[0]?.metadata.uid;
    expect(registry.entriesOfPod(uid)).toMatchObject([
      { podUid: uid, nodeName: "node-a", parentId: expect.stringContaining(nodeUid ?? "none") },
    ]);
    expect(changes).toEqual([{ podUid: uid, node: "node-a" }]);
    expect(registry.podsOfNode("node-a").map(({ pod }) => pod.metadata.uid)).toEqual([uid]);
  });

  it("follow each of them", async () => {
    const steps: [string, () => unknown][] = [
      ["/first", () => putRule("web", FIRST, { podSelector: { matchLabels: { app: "web" } } })],
      ["/second", () => putRule("web", SECOND, { podSelector: { matchLabels: { app: "web" } } })],
      ["", () => putPod("web", { labels: { app: "other" } })],
      ["/first", () => putRule("web", FIRST)],
      ["", () => putRule("web", FIRST, { namespaceSelector: { matchLabels: { team: "web" } } })],
      ["/first", () => cluster.server.put(NAMESPACES, namespace("web"))],
      ["", () => cluster.server.delete(CLUSTER_SPIFFE_IDS, { name: "web" })],
    ];
    const uid = putPod("web");
    for (const [path, step] of steps) {
      step();
      const expected = path === "" ? [] : [`spiffe://example.org${path}`];
      await eventually(() => expect(idsOf(uid)).toEqual(expected));
    }
  });

  it("are told of again when the pod gets its address, which nothing else of the status does", async () => {
    putRule("web", PER_POD);
    const uid = putPod("web");
    await hasId(uid, "spiffe://example.org/ns/shop/pod/web");
    expect(changes).toHaveLength(1);
    const podWith = (status: object): void => {
      const [pod] = cluster.server.objects<Pod>(PODS);
      cluster.server.put<Pod>(PODS, { ...(pod as Pod), status });
    };
    podWith({ podIP: "10.0.0.7" });
    await eventually(() => expect(registry.pod(uid)?.status?.podIP).toBe("10.0.0.7"));
    expect(changes).toHaveLength(2);
    podWith({ podIP: "10.0.0.7", conditions: [{ type: "Ready", status: "True" }] });
    putPod("later");
    await eventually(() => expect(changes).toHaveLength(3));
    expect(changes.map(({ podUid }) => podUid === uid)).toEqual([true, true, false]);
  });

  it("of a costly rule come in turns, by themselves", async () => {
    const uids = Array.from({ length: 40 }, (_, n) => putPod(`pod-${n}`));
    await eventually(() => expect(uids.every((uid) => registry.pod(uid))).toBe(true));
    putRule("costly", `{{ range $i := 900 }}{{ if $i }}{{ end }}{{ end }}${PER_POD}`);
    await eventually(() => expect(idsOf(uids[0] ?? "")).toHaveLength(1));
    expect(uids.filter((uid) => idsOf(uid).length > 0).length).toBeLessThan(40);
    await eventually(() => {
      expect(uids.filter((uid) => idsOf(uid).length > 0)).toHaveLength(40);
    });
  });

  it("stay while the API server cannot list", async () => {
    putRule("web", PER_POD);
    const uid = putPod("web");
    await hasId(uid, "spiffe://example.org/ns/shop/pod/web");
    cluster.server.compact();
    let failures = 0;
    cluster.server.intercept = () => {
      failures += 1;
      return { status: 503, body: {} };
    };
    cluster.server.breakConnections();
    await eventually(() => expect(failures).toBeGreaterThan(8));
    expect(idsOf(uid)).toHaveLength(1);
    expect(endings).toEqual([]);
  });

  it("say for which reason a pod has none", async () => {
    const rule = putRule("web", PER_POD, { podSelector: { matchLabels: { app: "other" } } });
    const uid = putPod("web");
    await eventually(() => expect(registry.pod(uid)).toBeDefined());
    await eventually(() =>
      expect(registry.explainPod(uid)).toMatchObject([
        { rule: "web", ruleUid: rule, matched: false, clause: expect.stringContaining("pod") },
      ]),
    );
  });
});

/** Loses every watch, lets `happen` go unseen, and lists anew. */
async function unseen(happen: () => void): Promise<void> {
  cluster.server.intercept = ({ query }) => (query.has("watch") ? "reset" : undefined);
  cluster.server.breakConnections();
  await eventually(() => expect(cluster.server.watches).toBe(0));
  happen();
  cluster.server.compact();
  cluster.server.intercept = () => undefined;
}

describe("a pod that ends", () => {
  it("is told of when its deletion begins, and when it is gone", async () => {
    const uid = putPod("web", { finalizers: ["test/hold"] });
    await eventually(() => expect(registry.pod(uid)).toBeDefined());
    cluster.server.delete(PODS, { namespace: "shop", name: "web" });
    await eventually(() => expect(endings).toEqual([uid]));
    expect(registry.pod(uid)?.metadata.deletionTimestamp).toBeDefined();
    putPod("web", { finalizers: [] });
    await eventually(() => expect(endings).toEqual([uid, uid]));
    expect(registry.pod(uid)).toBeUndefined();
  });

  it("is told of when it went while the watch was broken", async () => {
    const [gone, ending, stays] = [putPod("a"), putPod("b", { finalizers: ["x"] }), putPod("c")];
    await eventually(() => expect(registry.pod(stays)).toBeDefined());
    await unseen(() => {
      for (const name of ["a", "b"]) cluster.server.delete(PODS, { namespace: "shop", name });
    });
    await eventually(() => expect(endings.toSorted()).toEqual([gone, ending].toSorted()));
    expect(registry.pod(gone)).toBeUndefined();
    expect(registry.pod(stays)).toBeDefined();
  });

  it("is told of apart from its successor of the same name", async () => {
    const first = putPod("web-0");
    await eventually(() => expect(registry.pod(first)).toBeDefined());
    cluster.server.delete(PODS, { namespace: "shop", name: "web-0" });
    const second = putPod("web-0");
    await eventually(() => expect(registry.pod(second)).toBeDefined());
    expect(endings).toEqual([first]);
  });
});

describe("statuses", () => {
  it("are announced when a rule comes and when what it gives changes", async () => {
    const told = new Set<string>();
    registry.onStatus((uids) => {
      for (const uid of uids) told.add(uid);
    });
    const rule = putRule("web", PER_POD);
    await eventually(() => expect(told).toContain(rule));
    expect(registry.resource(rule)?.metadata.name).toBe("web");
    expect(registry.resourceUids()).toEqual([rule]);
    // It takes effect only once the pods have what it reads.
    await eventually(() => expect(registry.statusOf(rule)).toBeDefined());
    told.clear();
    putPod("web");
    await eventually(() => expect(told).toContain(rule));
    expect(registry.statusOf(rule)).toMatchObject({ ready: true, stats: { entriesToSet: 1 } });
  });

  it("are gone with the rule", async () => {
    const rule = putRule("web", PER_POD);
    await eventually(() => expect(registry.statusOf(rule)).toBeDefined());
    cluster.server.delete(CLUSTER_SPIFFE_IDS, { name: "web" });
    await eventually(() => expect(registry.statusOf(rule)).toBeUndefined());
    expect(registry.resource(rule)).toBeUndefined();
    expect(registry.resourceUids()).toEqual([]);
  });
});

describe("fetchPod", () => {
  it("asks the API server itself", async () => {
    const uid = putPod("web");
    const before = cluster.server.requests.length;
    expect((await registry.fetchPod("shop", "web"))?.metadata.uid).toBe(uid);
    const paths = cluster.server.requests.slice(before).map(({ path }) => path);
    expect(paths).toContain("/api/v1/namespaces/shop/pods/web");
  });

  it("tells a pod that is not there from an API server that does not answer", async () => {
    expect(await registry.fetchPod("shop", "nobody")).toBeUndefined();
    cluster.server.intercept = () => ({ status: 503, body: {} });
    await expect(registry.fetchPod("shop", "web")).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});

describe("foreign bundles", () => {
  it("come from ClusterFederatedTrustDomains, with news of each change", async () => {
    const name = { name: "partner" };
    const spec = {
      trustDomain: "partner.example",
      bundleEndpointURL: "https://partner.example/bundle",
      bundleEndpointProfile: { type: "https_web" },
      trustDomainBundle: '{"keys":[],"spiffe_sequence":1}',
    };
    const put = (object: object): void =>
      void cluster.server.put(CLUSTER_FEDERATED_TRUST_DOMAINS, { metadata: name, ...object });
    put({ spec });
    const sequence = () => registry.foreignBundles().get("partner.example")?.sequence;
    await eventually(() => expect(sequence()).toBe(1n));
    const next = { ...spec, trustDomainBundle: '{"keys":[],"spiffe_sequence":2}' };
    put({ spec: next });
    await eventually(() => expect(sequence()).toBe(2n));
    cluster.server.delete(CLUSTER_FEDERATED_TRUST_DOMAINS, name);
    await eventually(() => expect(registry.foreignBundles().size).toBe(0));
    expect(foreign).toEqual(["partner.example", "partner.example", "partner.example"]);
  });
});

describe("what is kept of objects", () => {
  it("has no bookkeeping", async () => {
    const rule = putRule("web", PER_POD);
    const annotations = { "kubectl.kubernetes.io/last-applied-configuration": "{}", team: "shop" };
    const uid = putPod("web", { annotations, managedFields: [{ manager: "kubectl" }] });
    await eventually(() => expect(registry.pod(uid)).toBeDefined());
    expect(registry.pod(uid)?.metadata).not.toHaveProperty("managedFields");
    await eventually(() => expect(registry.resource(rule)).toBeDefined());
    expect(registry.resource(rule)?.metadata).not.toHaveProperty("managedFields");
  });
});

it("a registry that is stopped hears nothing more", async () => {
  const unsubscribe = registry.subscribe({
    entriesChanged: () => expect.unreachable("told after unsubscribing"),
    podEnding: () => expect.unreachable("told after unsubscribing"),
  });
  unsubscribe();
  putRule("web", PER_POD);
  await hasId(putPod("web"), "spiffe://example.org/ns/shop/pod/web");
  await registry.stop();
  const late = putPod("late");
  await eventually(() => expect(cluster.server.watches).toBe(0));
  expect(registry.pod(late)).toBeUndefined();
});

it("a registry that is stopped before its first lists ends quietly", async () => {
  cluster.server.intercept = () => "hang";
  const early = startRegistry({
    client: cluster.connect("early"),
    options: { trustDomain: TRUST_DOMAIN, clusterName: "kind", clusterDomain: "" },
    clock: systemClock(),
    log: silentLog(),
    random: () => 0,
  });
  await early.stop();
  await expect(early.synced).rejects.toMatchObject({ code: "CANCELLED" });
});
