import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tidy } from "../tidy.ts";
import { clusterSpiffeId, expectedId, openWorld, workloadPod } from "../world.ts";
import type { Json, World } from "../world.ts";

const NS = "e2e-bad-input";
const GOOD = `${NS}-good`;
const ID = "spiffe://{{ .TrustDomain }}/app/{{ .PodMeta.Labels.app }}";
let world: World;

interface BadInput {
  readonly spec: Json;
  /** Expected of the Ready condition. */
  readonly reason: string;
  readonly message: RegExp;
}

/** Each is the only ClusterSPIFFEID that selects the pod of its name. */
const BAD: Record<string, BadInput> = {
  unparsable: {
    spec: { spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ if .PodMeta.Name }}" },
    reason: "InvalidTemplate",
    message: /^spec\.spiffeIDTemplate: 1:\d+: unexpected EOF/,
  },
  "unknown-field": {
    spec: { spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ .PodMeta.Nmae }}" },
    reason: "RenderFailed",
    message: new RegExp(`pod ${NS}/unknown-field: spec\\.spiffeIDTemplate: .*Nmae`),
  },
  unrenderable: {
    spec: { spiffeIDTemplate: `${ID}/{{ (index .PodSpec.Containers 7).Name }}` },
    reason: "RenderFailed",
    message: new RegExp(`pod ${NS}/unrenderable: spec\\.spiffeIDTemplate: .*index`),
  },
  foreign: {
    spec: { spiffeIDTemplate: "spiffe://elsewhere.example/{{ .PodMeta.Name }}" },
    reason: "RenderFailed",
    message: new RegExp(`pod ${NS}/foreign: spec\\.spiffeIDTemplate: .*elsewhere.*trust domain`),
  },
  "bad-dns-name": {
    spec: { dnsNameTemplates: ["ok.example", "not ok"] },
    reason: "RenderFailed",
    message: new RegExp(`pod ${NS}/bad-dns-name: spec\\.dnsNameTemplates\\[1\\]: .*not ok`),
  },
  "bad-selector": {
    spec: { podSelector: { matchExpressions: [{ key: "app", operator: "Near", values: ["x"] }] } },
    reason: "InvalidSelector",
    message: /^spec\.podSelector\.matchExpressions\[0\]\.operator: .*Near/,
  },
  "bad-ttl": {
    spec: { ttl: "soon" },
    reason: "InvalidDuration",
    message: /^spec\.ttl: .*soon/,
  },
  "negative-ttl": {
    spec: { ttl: "-5m" },
    reason: "InvalidDuration",
    message: /^spec\.ttl: .*negative/,
  },
};
const NAMES = Object.keys(BAD);

beforeAll(async () => {
  world = await openWorld();
  await world.namespace(NS);
  const bad = Object.entries(BAD).map(([name, { spec }]) => identity(name, spec));
  await world.apply(...bad, clusterSpiffeId(GOOD, NS, { podSelector: selecting("good") }));
  await world.apply(...[...NAMES, "good"].map(pod));
});

afterAll(() => tidy(world, { namespaces: [NS], clusterSpiffeIds: [GOOD, ...NAMES.map(resource)] }));

describe("a ClusterSPIFFEID that cannot work", () => {
  it.each(NAMES)("says in its Ready condition what is wrong: %s", async (name) => {
    const { reason, message } = BAD[name] as BadInput;
    const condition = await readiness(name, "False");
    expect(condition).toMatchObject({ reason, observedGeneration: 1 });
    expect(condition.message).toMatch(message);
  });

  it("names the pods that it fails for", async () => {
    await readiness("foreign", "False");
    const { status } = await world.get("clusterspiffeid", resource("foreign"));
    expect(status.stats).toMatchObject({
      podsSelected: 1,
      podEntryRenderFailures: 1,
      entriesToSet: 0,
    });
    expect(status.failures).toEqual([
      { pod: `${NS}/foreign`, message: expect.stringContaining("spec.spiffeIDTemplate") },
    ]);
  });

  it("leaves the pods of others alone", async () => {
    await world.ready(NS, "good");
    expect((await world.svid(NS, "good")).uris).toEqual([expectedId(NS)]);
    const { status } = await world.get("clusterspiffeid", GOOD);
    expect(status.conditions[0]).toMatchObject({ type: "Ready", status: "True" });
  });

  it("keeps its pods waiting without a container started", async () => {
    const pods = await Promise.all(NAMES.map((name) => world.get("pod", name, NS)));
    for (const { metadata, status } of pods) {
      const reason = status.containerStatuses[0].state.waiting?.reason;
      expect(`${metadata.name} ${status.phase} ${reason}`).toBe(
        `${metadata.name} Pending ContainerCreating`,
      );
    }
  });

  it("becomes Ready when it is mended, and its pod starts", async () => {
    await world.apply(...NAMES.map((name) => identity(name, {})));
    const mended = NAMES.map(async (name) => {
      await world.ready(NS, name);
      const { uris } = await world.svid(NS, name);
      expect(uris).toEqual([`spiffe://example.org/app/${name}`]);
      const condition = await readiness(name, "True");
      expect(condition).toMatchObject({ reason: "EntriesRendered", observedGeneration: 2 });
      const { status } = await world.get("clusterspiffeid", resource(name));
      expect(status.failures).toBeUndefined();
    });
    await Promise.all(mended);
  });
});

function resource(name: string): string {
  return `${NS}-${name}`;
}

function selecting(app: string): Json {
  return { matchLabels: { app } };
}

function identity(name: string, spec: Json): Json {
  const good = { spiffeIDTemplate: ID, podSelector: selecting(name) };
  return clusterSpiffeId(resource(name), NS, { ...good, ...spec });
}

function pod(name: string): Json {
  return workloadPod(world, { name, namespace: NS, labels: { app: name } });
}

/** The Ready condition once it has the given status. */
function readiness(name: string, status: "True" | "False"): Promise<Json> {
  return world.until(`Ready=${status} of ${resource(name)}`, async () => {
    const object = await world.get("clusterspiffeid", resource(name));
    return object.status?.conditions?.find(
      (condition: Json) => condition.type === "Ready" && condition.status === status,
    );
  });
}
