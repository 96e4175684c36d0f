import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CLUSTER_SPIFFE_IDS, CLUSTER_STATIC_ENTRIES } from "../../src/api/resources.ts";
import { startRegistry } from "../../src/controllers/registry.ts";
import type { Registry } from "../../src/controllers/registry.ts";
import { manualClock, systemClock } from "../../src/core/clock.ts";
import type { ManualClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { NAMESPACES, NODES, PODS } from "../../src/kube/resources.ts";
import type { Pod } from "../../src/kube/types.ts";
import { eventually, openCluster, TRUST_DOMAIN } from "./cluster.ts";
import type { TestCluster } from "./cluster.ts";

let cluster: TestCluster;
let registry: Registry;
let clock: ManualClock;

beforeEach(async () => {
  cluster = await openCluster();
  clock = manualClock(0);
  cluster.server.put(NAMESPACES, { metadata: { name: "shop" } });
  cluster.server.put(NODES, { metadata: { name: "node-a" } });
});
afterEach(() => cluster.close());

async function start(): Promise<void> {
  registry = startRegistry({
    client: cluster.client,
    options: { trustDomain: TRUST_DOMAIN, clusterName: "kind", clusterDomain: "cluster.local" },
    // Lists and watches go on by themselves; what waits for a time waits for the test.
    clock: { ...systemClock(), sleep: (ms, signal) => clock.sleep(ms, signal) },
    log: silentLog(),
    random: () => 0,
  });
  cluster.onClose(() => registry.stop());
  await registry.synced;
}

function putPod(name: string, spec: object = {}): string {
  const pod = {
    metadata: { name, namespace: "shop", labels: { app: name }, annotations: { team: name } },
    spec: { nodeName: "node-a", serviceAccountName: "web", ...spec },
  };
  return cluster.server.put<Pod>(PODS, pod).metadata.uid;
}

const template = (path: string) => `spiffe://{{ .TrustDomain }}/${path}`;
function putRule(name: string, spiffeIDTemplate: string, spec: object = {}): string {
  const object = { metadata: { name }, spec: { spiffeIDTemplate, ...spec } };
  return cluster.server.put(CLUSTER_SPIFFE_IDS, object).metadata.uid;
}
const idsOf = (uid: string) => registry.entriesOfPod(uid).map(({ spiffeId }) => spiffeId);
const lists = () =>
  cluster.server.requests.filter(
    ({ path, query }) => path === "/api/v1/pods" && !query.has("watch"),
  ).length;

describe("cached pods", () => {
  it("have what the rules that are there at the start name, in the first list", async () => {
    putRule("team", template('{{ index .PodMeta.Annotations "team" }}'));
    const uid = putPod("web");
    await start();
    expect(idsOf(uid)).toEqual(["spiffe://example.org/web"]);
    expect(lists()).toBe(1);
    expect(registry.pod(uid)?.spec).toEqual({ nodeName: "node-a", serviceAccountName: "web" });
  });

  it("are listed again, once, when a rule names more, and until then it gives nothing", async () => {
    const uid = putPod("web", { hostname: "till-1" });
    await start();
    expect(registry.pod(uid)?.metadata).not.toHaveProperty("annotations");
    const seen: string[][] = [];
    registry.subscribe({
      entriesChanged: (podUid) => void seen.push(idsOf(podUid)),
      podEnding: () => undefined,
    });
    putRule("host", template("{{ .PodSpec.Hostname }}"));
    await eventually(() => expect(idsOf(uid)).toEqual(["spiffe://example.org/till-1"]));
    expect(seen).toEqual([["spiffe://example.org/till-1"]]);
    expect(lists()).toBe(2);
    putRule("host2", template("2/{{ .PodSpec.Hostname }}"));
    await eventually(() => expect(idsOf(uid)).toHaveLength(2));
    expect(lists(), "nothing new is named").toBe(2);
  });

  it("keep other rules' entries while they are listed again", async () => {
    putRule("sa", template("{{ .PodSpec.ServiceAccountName }}"));
    const uid = putPod("web", { hostname: "till-1" });
    await start();
    let held = 0;
    cluster.server.intercept = ({ path, query }) => {
      if (path !== "/api/v1/pods" || query.has("watch") || held > 2) return undefined;
      held += 1;
      return { status: 503, body: {} };
    };
    putRule("host", template("{{ .PodSpec.Hostname }}"));
    await eventually(async () => {
      await clock.advance(1000);
      expect(held).toBeGreaterThan(2);
    });
    expect(idsOf(uid)).toEqual(["spiffe://example.org/web"]);
    await eventually(async () => {
      await clock.advance(30_000);
      expect(idsOf(uid)).toContain("spiffe://example.org/till-1");
    });
  });

  it("have images for selectors that may ask for them", async () => {
    const uid = putPod("web", { containers: [{ name: "c", image: "app:1" }] });
    await start();
    const object = {
      metadata: { name: "by-image" },
      spec: {
        spiffeID: "spiffe://example.org/by-image",
        parentID: `spiffe://example.org/spire/agent/k8s_psat/kind/${cluster.server.objects(NODES)[0]?.metadata.uid}`,
        selectors: ["k8s:pod-image:app:1"],
      },
    };
    cluster.server.put(CLUSTER_STATIC_ENTRIES, object);
    await eventually(() => expect(idsOf(uid)).toEqual(["spiffe://example.org/by-image"]));
    expect(registry.pod(uid)?.spec.containers).toEqual([{ image: "app:1" }]);
  });

  it("drop what no rule names any more, after a minute, without a list", async () => {
    putRule("all", template("{{ len .PodSpec.Containers }}"));
    putRule("sa", template("{{ .PodSpec.ServiceAccountName }}"));
    const uid = putPod("web", { containers: [{ name: "c", image: "app:1" }] });
    await start();
    expect(registry.pod(uid)?.spec.containers).toHaveLength(1);
    cluster.server.delete(CLUSTER_SPIFFE_IDS, { name: "all" });
    await eventually(() => expect(idsOf(uid)).toEqual(["spiffe://example.org/web"]));
    await clock.advance(59_000);
    expect(registry.pod(uid)?.spec.containers).toHaveLength(1);
    await clock.advance(2000);
    await eventually(() => expect(registry.pod(uid)?.spec).not.toHaveProperty("containers"));
    expect(idsOf(uid)).toEqual(["spiffe://example.org/web"]);
    expect(lists()).toBe(1);
    putRule("all", template("{{ len .PodSpec.Containers }}"));
    await eventually(() => expect(idsOf(uid)).toContain("spiffe://example.org/1"));
    expect(lists()).toBe(2);
  });

  it("keep what a rule names that is deleted and made anew within the minute", async () => {
    putRule("all", template("{{ len .PodSpec.Containers }}"));
    const uid = putPod("web", { containers: [{ name: "c", image: "app:1" }] });
    await start();
    cluster.server.delete(CLUSTER_SPIFFE_IDS, { name: "all" });
    await eventually(() => expect(idsOf(uid)).toEqual([]));
    putRule("all", template("{{ len .PodSpec.Containers }}"));
    await eventually(() => expect(idsOf(uid)).toEqual(["spiffe://example.org/1"]));
    await clock.advance(120_000);
    expect(registry.pod(uid)?.spec.containers).toHaveLength(1);
    expect(lists()).toBe(1);
  });

  it("drop the rest although the status of other rules is written again and again", async () => {
    putRule("all", template("{{ len .PodSpec.Containers }}"));
    const rule = putRule("sa", template("{{ .PodSpec.ServiceAccountName }}"));
    const uid = putPod("web", { containers: [{ name: "c", image: "app:1" }] });
    await start();
    cluster.server.delete(CLUSTER_SPIFFE_IDS, { name: "all" });
    await eventually(() => expect(idsOf(uid)).toHaveLength(1));
    for (let n = 0; n < 7; n += 1) {
      await clock.advance(9000);
      const version = registry.resource(rule)?.metadata.resourceVersion;
      const metadata = { name: "sa", labels: { n: `${n}` } };
      const spec = { spiffeIDTemplate: template("{{ .PodSpec.ServiceAccountName }}") };
      cluster.server.put(CLUSTER_SPIFFE_IDS, { metadata, spec } as never);
      await eventually(() => {
        expect(registry.resource(rule)?.metadata.resourceVersion).not.toBe(version);
      });
    }
    await eventually(() => expect(registry.pod(uid)?.spec).not.toHaveProperty("containers"));
  });

  it("are not given to a rule that is gone before they are listed", async () => {
    const uid = putPod("web", { hostname: "till-1" });
    await start();
    let gate = true;
    cluster.server.intercept = ({ path, query }) =>
      gate && path === "/api/v1/pods" && !query.has("watch")
        ? { status: 503, body: {} }
        : undefined;
    const rule = putRule("host", template("{{ .PodSpec.Hostname }}"));
    await eventually(() => expect(registry.resource(rule)).toBeDefined());
    cluster.server.delete(CLUSTER_SPIFFE_IDS, { name: "host" });
    await eventually(() => expect(registry.resource(rule)).toBeUndefined());
    gate = false;
    const late = await eventually(async () => {
      await clock.advance(30_000);
      const pod = putPod("late");
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(registry.pod(pod)).toBeDefined();
      return pod;
    });
    expect(idsOf(uid)).toEqual([]);
    expect(idsOf(late)).toEqual([]);
  });
});

describe("a preview", () => {
  it("reads a sample of pods whole when the template names what the cache lacks", async () => {
    putPod("web", { hostname: "till-1" });
    await start();
    const object = {
      metadata: { name: "host" },
      spec: { spiffeIDTemplate: template("{{ .PodSpec.Hostname }}") },
    };
    const preview = await registry.preview("ClusterSPIFFEID", object);
    expect(preview).toMatchObject({
      podsSelected: 1,
      podsTried: 1,
      pods: [
        { pod: "shop/web", outcome: "set", entry: { spiffeId: "spiffe://example.org/till-1" } },
      ],
    });
    expect(lists(), "nothing is cached for it").toBe(1);
  });
});
