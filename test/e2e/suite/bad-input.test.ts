import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tidy } from "../tidy.ts";
import { allowUnchecked, checkAll, unchecked } from "../unchecked.ts";
import { clusterSpiffeId, expectedId, openWorld, workloadPod } from "../world.ts";
import type { Json, World } from "../world.ts";

const NS = "e2e-bad-input";
const GOOD = `${NS}-good`;
const NEW = `${NS}-new`;
const ID = "spiffe://{{ .TrustDomain }}/app/{{ .PodMeta.Labels.app }}";
let world: World;

interface BadInput {
  readonly spec: Json;
  /** Expected of the Ready condition. */
  readonly reason: string;
  readonly message: RegExp;
  /** What the webhook says of it, where it can never work. */
  readonly refusal?: RegExp;
}

/** Each is the only ClusterSPIFFEID that selects the pod of its name. */
const BAD: Record<string, BadInput> = {
  unparsable: {
    spec: { spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ if .PodMeta.Name }}" },
    reason: "InvalidTemplate",
    message: /^spec\.spiffeIDTemplate: 1:\d+: unexpected EOF/,
    refusal: /spec\.spiffeIDTemplate: 1:51: unexpected EOF/,
  },
  "unknown-field": {
    spec: { spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ .PodMeta.Nmae }}" },
    reason: "RenderFailed",
    message: new RegExp(`pod ${NS}/unknown-field: spec\\.spiffeIDTemplate: .*Nmae`),
    refusal: /spec\.spiffeIDTemplate: 1:40: <\.PodMeta\.Nmae>: can't evaluate field Nmae/,
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
    refusal: /spec\.podSelector\.matchExpressions\[0\]\.operator: .*"Near"/,
  },
  "bad-ttl": {
    spec: { ttl: "soon" },
    reason: "InvalidDuration",
    message: /^spec\.ttl: .*soon/,
    refusal: /spec\.ttl: .*"soon"/,
  },
  "negative-ttl": {
    spec: { ttl: "-5m" },
    reason: "InvalidDuration",
    message: /^spec\.ttl: .*negative/,
    refusal: /spec\.ttl: .*"-5m".*negative/,
  },
};
const NAMES = Object.keys(BAD);
const REFUSED = NAMES.filter((name) => BAD[name]?.refusal !== undefined);
const WARNED = NAMES.filter((name) => !REFUSED.includes(name));

beforeAll(async () => {
  world = await openWorld();
  await world.namespace(NS);
  await allowUnchecked(world);
  const bad = NAMES.map((name) => unchecked(identity(name)));
  await world.apply(...bad, clusterSpiffeId(GOOD, NS, { podSelector: selecting("good") }));
  await world.apply(...[...NAMES, "good"].map(pod));
});

afterAll(async () => {
  await tidy(world, { namespaces: [NS], clusterSpiffeIds: [GOOD, NEW, ...NAMES.map(resource)] });
  await checkAll(world);
});

describe("kubectl apply of a ClusterSPIFFEID", () => {
  it.each(REFUSED)("that can never work is refused, and says why: %s", async (name) => {
    const { refusal = /^$/, spec } = BAD[name] as BadInput;
    const { code, stderr } = await apply(
      clusterSpiffeId(NEW, NS, { spiffeIDTemplate: ID, ...spec }),
    );
    expect(stderr).toMatch(refusal);
    expect(stderr).toContain(`ClusterSPIFFEID "${NEW}" is invalid`);
    expect(code).not.toBe(0);
    expect(await world.list("clusterspiffeids", [`--field-selector=metadata.name=${NEW}`])).toEqual(
      [],
    );
  });

  it("is told of everything that is wrong at once", async () => {
    const spec = {
      spiffeIDTemplate: "spiffe://{{ .TrustDomain }}/{{ nope }}",
      dnsNameTemplates: ["ok.example", "{{ .PodMeta.Name"],
      federatesWith: ["partner.example", "Not A Domain"],
    };
    const { stderr } = await apply(clusterSpiffeId(NEW, NS, spec));
    expect(stderr).toMatch(/spec\.spiffeIDTemplate: 1:\d+: .*"nope"/);
    expect(stderr).toMatch(/spec\.dnsNameTemplates\[1\]: 1:\d+: /);
    expect(stderr).toMatch(/spec\.federatesWith\[1\]: .*Not A Domain/);
  });

  it("that changes a good one into one that can never work leaves the good one", async () => {
    const { code, stderr } = await apply(clusterSpiffeId(GOOD, NS, { ttl: "soon" }));
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/spec\.ttl: .*"soon"/);
    expect((await world.get("clusterspiffeid", GOOD)).spec).not.toHaveProperty("ttl");
  });

  it.each(WARNED)(
    "that fails for the pods there are is admitted with a warning: %s",
    async (name) => {
      const { code, stderr } = await apply(identity(name), "--dry-run=server");
      expect(code).toBe(0);
      expect(stderr).toMatch(
        new RegExp(
          `Warning: ClusterSPIFFEID ${resource(name)}: would fail for 1 of 1 selected pod now`,
        ),
      );
      expect(stderr).toMatch(new RegExp(`${NS}/${name}: .*spec\\.`));
    },
  );

  it("on trial sums up what it would give", async () => {
    const twin = clusterSpiffeId(NEW, NS, { dnsNameTemplates: ["{{ .PodMeta.Name }}.example"] });
    const { code, stdout, stderr } = await apply(twin, "--dry-run=server");
    expect(code).toBe(0);
    expect(stdout).toContain(`${NEW} serverside-applied (server dry run)`);
    expect(stderr).toMatch(
      new RegExp(`${NEW}: would give an identity to \\d of 9 selected pods now in 1 namespace`),
    );
    expect(stderr).toMatch(
      new RegExp(`e\\.g\\. ${NS}/\\S+: ${expectedId(NS)} with DNS names \\S+\\.example`),
    );
    expect(stderr).toMatch(
      new RegExp(`${NEW}: duplicates entries of ClusterSPIFFEID ${GOOD} for 1`),
    );
    expect(await world.list("clusterspiffeids", [`--field-selector=metadata.name=${NEW}`])).toEqual(
      [],
    );
  });
});

describe("kubectl apply of another kind", () => {
  it.each([
    [
      "parentID",
      { parentID: "spiffe://elsewhere.example/node" },
      /spec\.parentID: .*elsewhere\.example/,
    ],
    [
      "selector",
      { selectors: ["k8s:ns:a", "k8s:container-name:main"] },
      /spec\.selectors\[1\]: .*container-name/,
    ],
    ["DNS name", { dnsNames: ["ok", "not ok"] }, /spec\.dnsNames\[1\]: .*"not ok"/],
    ["lifetime", { x509SVIDTTL: "-1s" }, /spec\.x509SVIDTTL: .*negative/],
    ["storeSVID", { storeSVID: true }, /spec\.storeSVID: /],
  ])("refuses a ClusterStaticEntry for its %s", async (_, spec, refusal) => {
    const { code, stderr } = await apply({
      apiVersion: "spire.spiffe.io/v1alpha1",
      kind: "ClusterStaticEntry",
      metadata: { name: NEW },
      spec: {
        spiffeID: "spiffe://example.org/static",
        parentID: "spiffe://example.org/spire/server",
        selectors: ["k8s:ns:a"],
        ...spec,
      },
    });
    expect(stderr).toMatch(refusal);
    expect(code).not.toBe(0);
  });

  it.each([
    [
      "URL",
      { bundleEndpointURL: "http://partner.example" },
      /spec\.bundleEndpointURL: .*https.*http:\/\/partner/,
    ],
    ["profile", { bundleEndpointProfile: { type: "https_spiffe" } }, /endpointSPIFFEID: /],
    ["trust domain", { trustDomain: "example.org" }, /spec\.trustDomain: .*"example\.org".*own/],
    ["bundle", { trustDomainBundle: '{"keys": 7}' }, /spec\.trustDomainBundle: .*keys/],
  ])("refuses a ClusterFederatedTrustDomain for its %s", async (_, spec, refusal) => {
    const { code, stderr } = await apply({
      apiVersion: "spire.spiffe.io/v1alpha1",
      kind: "ClusterFederatedTrustDomain",
      metadata: { name: NEW },
      spec: {
        trustDomain: "partner.example",
        bundleEndpointURL: "https://partner.example",
        bundleEndpointProfile: { type: "https_web" },
        ...spec,
      },
    });
    expect(stderr).toMatch(refusal);
    expect(code).not.toBe(0);
  });
});

describe("a ClusterSPIFFEID that cannot work and is there", () => {
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

  it("can be labelled and deleted under the eyes of the webhook", async () => {
    await checkAll(world);
    const name = resource("unparsable");
    await world.cluster.kubectl(["label", "clusterspiffeid", name, "e2e-unchecked-", "team=shop"]);
    const { code, stderr } = await apply(identity("unparsable"), "--dry-run=server");
    expect(`${code} ${stderr}`).toMatch(/^0 .*Warning: .*spec\.spiffeIDTemplate: 1:51: /s);
    await world.remove("clusterspiffeid", name);
    expect(
      await world.list("clusterspiffeids", [`--field-selector=metadata.name=${name}`]),
    ).toEqual([]);
  });

  it("becomes Ready when it is mended, and its pod starts", async () => {
    await world.apply(...NAMES.map((name) => clusterSpiffeId(resource(name), NS, good(name))));
    const mended = NAMES.map(async (name) => {
      await world.ready(NS, name);
      const { uris } = await world.svid(NS, name);
      expect(uris).toEqual([`spiffe://example.org/app/${name}`]);
      const condition = await readiness(name, "True");
      expect(condition.reason).toBe("EntriesRendered");
      const { metadata, status } = await world.get("clusterspiffeid", resource(name));
      expect(condition.observedGeneration).toBe(metadata.generation);
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

function good(name: string): Json {
  return { spiffeIDTemplate: ID, podSelector: selecting(name) };
}

function identity(name: string): Json {
  return clusterSpiffeId(resource(name), NS, { ...good(name), ...BAD[name]?.spec });
}

function pod(name: string): Json {
  return workloadPod(world, { name, namespace: NS, labels: { app: name } });
}

/** What kubectl makes of an object that may be refused. */
function apply(object: Json, ...args: string[]) {
  const input = JSON.stringify(object);
  return world.cluster.tryKubectl(["apply", "--server-side", ...args, "-f", "-"], { input });
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
