import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { applyManifests, deleteManifests } from "../manifests.ts";
import { entries } from "../plugin.ts";
import { openWorld } from "../world.ts";
import type { Json, World } from "../world.ts";

/** What users of SPIRE have in Git, in `../manifests`; and what comes of it, worked out by hand from SPIRE's rules. */
const FIRST = ["federation", "legacy-static-entries", "spire-chart-defaults", "shop-identities"];
const WORKLOADS = ["legacy-workloads", "shop-workloads"];
const SHOP = "e2e-shop";
const LEGACY = "e2e-legacy";
let world: World;
/** Node names, and UIDs of the nodes and pods. */
let a: string;
let b: string;
const uids = new Map<string, string>();

beforeAll(async () => {
  world = await openWorld();
  [a, b] = world.cluster.workers as [string, string];
  const inject = { "signet.dev/inject": "true" };
  await Promise.all([
    world.namespace(SHOP, { ...inject, team: "shop" }),
    world.namespace(LEGACY, inject),
  ]);
  await applyManifests(world, ...FIRST, ...WORKLOADS);
  const pods = [...["cart", "api", "assets", "cron"].map((pod) => [SHOP, pod])];
  pods.push([LEGACY, "billing"], [LEGACY, "batch"]);
  for (const [namespace = "", pod = ""] of pods) {
    uids.set(pod, (await world.ready(namespace, pod)).metadata.uid);
  }
  for (const node of [a, b]) uids.set(node, (await world.get("node", node)).metadata.uid);
  // Creation times have whole seconds: by now these are younger.
  await applyManifests(world, "younger-twins");
});

afterAll(async () => {
  await deleteManifests(world, "younger-twins", ...FIRST);
  for (const name of [SHOP, LEGACY]) {
    await world.remove("namespace", name, undefined, ["--wait=false"]);
  }
});

const uid = (name: string): string => uids.get(name) ?? "";
const podUid = (pod: string): string => `k8s:pod-uid:${uid(pod)}`;
const agentOn = (node: string): string =>
  `spiffe://example.org/spire/agent/k8s_psat/kind/${uid(node)}`;

/** What an entry says where nothing is said about it. */
const PLAIN = {
  x509SvidTtl: 3600,
  jwtSvidTtl: 0,
  dnsNames: [],
  federatesWith: [],
  admin: false,
  downstream: false,
  hint: "",
};

/** By pod and SPIFFE ID, as they are listed. */
function expectedInShop(): Json[] {
  const api = { pod: "api", node: b, parentId: agentOn(b), selectors: [podUid("api")], ...PLAIN };
  const assets = {
    pod: "assets",
    node: a,
    parentId: agentOn(a),
    selectors: [podUid("assets")],
    ...PLAIN,
  };
  const cart = {
    pod: "cart",
    node: a,
    parentId: agentOn(a),
    selectors: [podUid("cart")],
    ...PLAIN,
  };
  const cron = {
    pod: "cron",
    node: a,
    parentId: agentOn(a),
    selectors: [podUid("cron")],
    ...PLAIN,
  };
  return [
    {
      ...api,
      source: "shop-dns",
      spiffeId: "spiffe://example.org/k8s/kind/e2e-shop/api",
      dnsNames: ["api.e2e-shop.svc.cluster.local", "shop-api.shop.example"],
      x509SvidTtl: 5400,
      jwtSvidTtl: 90,
      hint: "internal",
    },
    {
      ...api,
      source: "shop-nested",
      spiffeId: `spiffe://example.org/node/${b}/api`,
      federatesWith: ["partner.example"],
      admin: true,
      downstream: true,
    },
    {
      ...api,
      source: "shop-services",
      spiffeId: "spiffe://example.org/svc/shop-api",
      dnsNames: [
        "api.shop.example",
        "web.e2e-shop.svc",
        "api-internal",
        "api-internal.e2e-shop",
        "api-internal.e2e-shop.svc",
        "api-internal.e2e-shop.svc.cluster.local",
        "web",
        "web.e2e-shop",
        "web.e2e-shop.svc.cluster.local",
      ],
    },
    {
      ...assets,
      source: "shop-services",
      spiffeId: "spiffe://example.org/svc/assets",
      dnsNames: [
        "assets.shop.example",
        "web.e2e-shop.svc",
        "web",
        "web.e2e-shop",
        "web.e2e-shop.svc.cluster.local",
      ],
    },
    {
      ...cart,
      source: "shop-dns",
      spiffeId: "spiffe://example.org/k8s/kind/e2e-shop/cart",
      dnsNames: ["cart.e2e-shop.svc.cluster.local", "shopping-cart.shop.example"],
      x509SvidTtl: 5400,
      jwtSvidTtl: 90,
      hint: "internal",
    },
    {
      ...cart,
      source: "shop-by-service-account",
      spiffeId: "spiffe://example.org/ns/e2e-shop/sa/cart",
      selectors: [podUid("cart"), "k8s:ns:e2e-shop", "k8s:sa:cart"],
    },
    {
      ...cart,
      source: "shop-partners",
      spiffeId: "spiffe://example.org/partners/cart",
      federatesWith: ["partner.example", "unknown.example"],
      hint: "external",
    },
    {
      ...cron,
      source: "spire-mgmt-spire-default",
      spiffeId: "spiffe://example.org/ns/e2e-shop/sa/default",
      hint: "default",
    },
    { ...cron, source: "shop-rest", spiffeId: "spiffe://example.org/rest/cron" },
  ];
}

function expectedInLegacy(): Json[] {
  const billing = { pod: "billing", node: a, ...PLAIN };
  const batch = { pod: "batch", node: b, ...PLAIN };
  const any = {
    source: "legacy-every-pod",
    spiffeId: "spiffe://example.org/legacy/any",
    parentId: "spiffe://example.org/node/linux",
    selectors: ["k8s:ns:e2e-legacy", "k8s:pod-image-count:1"],
  };
  // Static entries do not keep fallbacks out.
  const fallback = {
    source: "spire-mgmt-spire-default",
    spiffeId: "spiffe://example.org/ns/e2e-legacy/sa/billing",
    hint: "default",
  };
  return [
    { ...batch, ...any },
    { ...batch, ...fallback, parentId: agentOn(b), selectors: [podUid("batch")] },
    { ...billing, ...any },
    {
      ...billing,
      source: "legacy-billing",
      spiffeId: "spiffe://example.org/legacy/billing",
      parentId: "spiffe://example.org/node/legacy",
      selectors: ["k8s:ns:e2e-legacy", "k8s:sa:billing", "k8s:pod-label:app:billing"],
      dnsNames: ["billing.legacy.example", "billing"],
      x509SvidTtl: 7200,
      jwtSvidTtl: 600,
      federatesWith: ["partner.example"],
      hint: "legacy",
    },
    { ...billing, ...fallback, parentId: agentOn(a), selectors: [podUid("billing")] },
  ];
}

/** The entries of a namespace in the terms of the tables above. */
async function entriesIn(namespace: string): Promise<Json[]> {
  const found = await entries(world, ["-n", namespace]);
  return found.map(({ id: _id, podUid: _uid, namespace: _namespace, source, ...entry }) => ({
    ...entry,
    source: source.name,
  }));
}

/** Where two replicas are asked in turn, one may be a moment behind. */
const soon = { timeout: 30_000, interval: 500 };

describe("manifests that users have for SPIRE", () => {
  it("give the entries that SPIRE's rules say: chart's defaults, k8s selectors, DNS names, fallbacks, classes", async () => {
    await expect.poll(() => entriesIn(SHOP), soon).toEqual(expectedInShop());
  });

  it("give static entries to the pods that their selectors and node aliases match", async () => {
    await expect.poll(() => entriesIn(LEGACY), soon).toEqual(expectedInLegacy());
  });

  it("give certificates that say the same", async () => {
    const assets = await world.until("the Services' names", async () => {
      const svid = await world.svid(SHOP, "assets");
      return svid.dnsNames.length > 2 ? svid : undefined;
    });
    expect(assets.uris).toEqual(["spiffe://example.org/svc/assets"]);
    expect(assets.dnsNames).toEqual([
      "assets.shop.example",
      "web.e2e-shop.svc",
      "web",
      "web.e2e-shop",
      "web.e2e-shop.svc.cluster.local",
    ]);
    expect(lifetime(assets)).toBe(3600);
    // Of several the oldest object's counts, and of those of one second the first by name.
    expect((await world.svid(SHOP, "cart")).uris).toEqual([
      "spiffe://example.org/ns/e2e-shop/sa/cart",
    ]);
  });

  it("put the SVID of a static entry into the pod's files", async () => {
    const svid = await world.svid(LEGACY, "billing");
    expect(svid.uris).toEqual(["spiffe://example.org/legacy/billing"]);
    expect(svid.dnsNames).toEqual(["billing.legacy.example", "billing"]);
    expect(lifetime(svid)).toBe(7200);
    expect((await world.svid(LEGACY, "batch")).uris).toEqual(["spiffe://example.org/legacy/any"]);
  });
});

const ONE_NAMESPACE = {
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
const NO_NAMESPACE = { ...ONE_NAMESPACE, namespacesSelected: 0, podsSelected: 0, entriesToSet: 0 };
const PRESENT = { rendered: true, masked: false, set: true };

/** Status and reason of the Ready condition, and counters, by object. */
const STATUSES: Record<string, readonly [ready: string, counters: Json]> = {
  "clusterspiffeid/spire-mgmt-spire-oidc-discovery-provider": [
    "True NothingSelected",
    { stats: NO_NAMESPACE },
  ],
  "clusterspiffeid/spire-mgmt-spire-child-servers": [
    "True NothingSelected",
    { stats: NO_NAMESPACE },
  ],
  "clusterspiffeid/shop-by-service-account": ["True EntriesRendered", { stats: ONE_NAMESPACE }],
  "clusterspiffeid/shop-dns": [
    "True EntriesRendered",
    { stats: { ...ONE_NAMESPACE, podsSelected: 2, entriesToSet: 2 } },
  ],
  "clusterspiffeid/shop-services": [
    "True EntriesRendered",
    { stats: { ...ONE_NAMESPACE, podsSelected: 2, entriesToSet: 2 } },
  ],
  "clusterspiffeid/shop-partners": ["True EntriesRendered", { stats: ONE_NAMESPACE }],
  "clusterspiffeid/shop-nested": ["True EntriesRendered", { stats: ONE_NAMESPACE }],
  "clusterspiffeid/shop-by-team": [
    "False RenderFailed",
    { stats: { ...ONE_NAMESPACE, podEntryRenderFailures: 1, entriesToSet: 0 } },
  ],
  "clusterspiffeid/shop-rest": [
    "True EntriesRendered",
    { stats: { ...ONE_NAMESPACE, podsSelected: 4, entriesToSet: 1 } },
  ],
  "clusterspiffeid/shop-again": [
    "True EntriesRendered",
    { stats: { ...ONE_NAMESPACE, entriesMasked: 1, entriesToSet: 0 } },
  ],
  "clusterstaticentry/legacy-alias-node": ["True EntryInEffect", { ...PRESENT, podsSelected: 0 }],
  "clusterstaticentry/legacy-alias-linux": ["True EntryInEffect", { ...PRESENT, podsSelected: 0 }],
  "clusterstaticentry/legacy-billing": ["True EntryInEffect", { ...PRESENT, podsSelected: 1 }],
  "clusterstaticentry/legacy-every-pod": ["True EntryInEffect", { ...PRESENT, podsSelected: 2 }],
  "clusterstaticentry/legacy-lost-node": ["False UnknownParent", { ...PRESENT, podsSelected: 0 }],
  "clusterstaticentry/legacy-again": [
    "False Masked",
    { rendered: true, masked: true, set: false, podsSelected: 0 },
  ],
  "clusterfederatedtrustdomain/partner": ["True BundleFromSpec", {}],
  "clusterfederatedtrustdomain/partner-again": ["False Duplicate", {}],
  "clusterfederatedtrustdomain/other": ["False BundleNotFetched", {}],
};

describe("their statuses", () => {
  it("say what is so, of all three kinds", async () => {
    const names = Object.keys(STATUSES);
    const read = async (): Promise<Json> => {
      const { items } = JSON.parse(await world.cluster.kubectl(["get", ...names, "-o", "json"]));
      return Object.fromEntries(items.map(summary));
    };
    const expected = Object.fromEntries(
      Object.entries(STATUSES).map(([name, [ready, counters]]) => [name, { ready, ...counters }]),
    );
    await expect.poll(read, soon).toEqual(expected);
  });

  it("are what kubectl wait waits for", async () => {
    const ready = Object.entries(STATUSES).filter(([, [status]]) => status.startsWith("True"));
    const wait = ["wait", "--for=condition=Ready", "--timeout=60s"];
    const names = ready.map(([name]) => name);
    expect((await world.cluster.kubectl([...wait, ...names])).trim().split("\n")).toHaveLength(
      names.length,
    );
    const not = ["wait", "--for=condition=Ready=False", "--timeout=60s"];
    await world.cluster.kubectl([
      ...not,
      "clusterspiffeid/shop-by-team",
      "clusterstaticentry/legacy-again",
    ]);
  });

  it("count the chart's default over the namespaces that are not the operator's to look at", async () => {
    const { status } = await world.get("clusterspiffeid", "spire-mgmt-spire-default");
    // kube-system, kube-public and signet-system
    expect(status.stats.namespacesIgnored).toBe(3);
    expect(status.stats.entriesToSet).toBeGreaterThanOrEqual(3);
    expect(status.stats.podEntryRenderFailures).toBe(0);
  });

  it("name the pod that fails, the bundle that is missing and the twin that is older", async () => {
    const team = await world.get("clusterspiffeid", "shop-by-team");
    expect(team.status.failures).toEqual([
      {
        pod: "e2e-shop/cron",
        message: expect.stringMatching(/^spec\.spiffeIDTemplate: .*blue team/),
      },
    ]);
    const bundles = (await condition("clusterspiffeid", "shop-partners", "BundlesAvailable")) ?? {};
    expect(bundles).toMatchObject({ status: "False", reason: "BundleMissing" });
    expect(bundles.message).toContain('"unknown.example"');
    expect(bundles.message).not.toContain("partner.example");
    expect(await condition("clusterspiffeid", "shop-nested", "BundlesAvailable")).toMatchObject({
      status: "True",
      reason: "AllFound",
    });
    expect((await condition("clusterstaticentry", "legacy-again", "Ready")).message).toMatch(
      /^ClusterStaticEntry legacy-billing declares an entry with the same/,
    );
    expect(
      (await condition("clusterfederatedtrustdomain", "partner-again", "Ready")).message,
    ).toMatch(/^ClusterFederatedTrustDomain partner is older/);
  });

  it("are not written to objects of another controller's class", async () => {
    expect((await world.get("clusterspiffeid", "shop-edge")).status).toBeUndefined();
  });

  it("are in the columns that kubectl get prints", async () => {
    const line = async (kind: string, name: string): Promise<string[]> =>
      (await world.cluster.kubectl(["get", kind, name, "--no-headers"])).trim().split(/\s{2,}/);
    expect(await line("clusterspiffeid", "shop-by-team")).toContain("False");
    expect(await line("clusterstaticentry", "legacy-billing")).toContain(
      "spiffe://example.org/legacy/billing",
    );
    expect(await line("clusterfederatedtrustdomain", "partner")).toContain("partner.example");
  });
});

describe("what changes in the cluster", () => {
  it("takes the names of a Service that is gone out of the entries and the certificate", async () => {
    await world.remove("service", "api-internal", SHOP);
    const names = [
      "api.shop.example",
      "web.e2e-shop.svc",
      "web",
      "web.e2e-shop",
      "web.e2e-shop.svc.cluster.local",
    ];
    await expect
      .poll(async () => {
        const found = await entriesIn(SHOP);
        return found.find(({ pod, source }) => pod === "api" && source === "shop-services")
          .dnsNames;
      }, soon)
      .toEqual(names);
  });

  it("leaves only the chart's default to a namespace that loses its label", async () => {
    const team = (label: string): Promise<string> =>
      world.cluster.kubectl(["label", "namespace", SHOP, "--overwrite", label]);
    await team("team-");
    const left = async (): Promise<Json[]> =>
      (await entriesIn(SHOP)).map(({ pod, source, spiffeId }) => `${pod} ${source} ${spiffeId}`);
    await expect
      .poll(left, soon)
      .toEqual([
        "api spire-mgmt-spire-default spiffe://example.org/ns/e2e-shop/sa/api",
        "assets spire-mgmt-spire-default spiffe://example.org/ns/e2e-shop/sa/default",
        "cart spire-mgmt-spire-default spiffe://example.org/ns/e2e-shop/sa/cart",
        "cron spire-mgmt-spire-default spiffe://example.org/ns/e2e-shop/sa/default",
      ]);
    await world.until("the counters", async () => {
      const { status } = await world.get("clusterspiffeid", "shop-dns");
      return status.stats.namespacesSelected === 0 && status.stats.entriesToSet === 0
        ? true
        : undefined;
    });
    await team("team=shop");
    await expect.poll(async () => (await left()).length, soon).toBe(9);
  });

  it("moves a static entry's pods with the alias of their node", async () => {
    const selectors = [`k8s_psat:agent_node_name:${b}`];
    const patch = ["patch", "clusterstaticentry", "legacy-alias-node", "--type=merge", "-p"];
    await world.cluster.kubectl([...patch, JSON.stringify({ spec: { selectors } })]);
    await expect
      .poll(async () => {
        const found = await entriesIn(LEGACY);
        return found.filter(({ source }) => source === "legacy-billing").map(({ pod }) => pod);
      }, soon)
      .toEqual(["batch"]);
  });
});

/** Of the certificate, in seconds, without the time that its start is set back by. */
function lifetime({ notBefore, notAfter }: { notBefore: number; notAfter: number }): number {
  return Math.round((notAfter - notBefore) / 1000 / 60) * 60;
}

async function condition(kind: string, name: string, type: string): Promise<Json> {
  const { status } = await world.get(kind, name);
  return status?.conditions?.find((c: Json) => c.type === type);
}

/** Whether the status is of the object as it is, and what is in it besides messages. */
function summary({ kind, metadata, status }: Json): [string, Json] {
  const { conditions = [], observedGeneration, failures: _, ...counters } = status ?? {};
  const found = conditions.find(({ type }: Json) => type === "Ready");
  const current =
    observedGeneration === metadata.generation && found?.observedGeneration === metadata.generation;
  const ready = current ? `${found.status} ${found.reason}` : "outdated";
  return [`${kind.toLowerCase()}/${metadata.name}`, { ready, ...counters }];
}
