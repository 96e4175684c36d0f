import { describe, expect, it } from "vitest";
import { RegistrationIndex } from "../../src/registration/index.ts";
import type { RegistrationOptions } from "../../src/registration/index.ts";
import { NEW, OLD, start } from "./harness.ts";
import { OPTIONS, fixed, namespace, node, pod, rule } from "./universe.ts";

const many = (label: string) =>
  Array.from({ length: 40 }, (_, n) =>
    rule({ name: `r${n}-${label}`, spiffeIDTemplate: fixed(`${label}/${n}`) }),
  );

describe("an entry", () => {
  it("has SPIRE's selectors, parent and SPIFFE ID", () => {
    const { index } = start();
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyPod(pod());
    expect(index.entriesOfPod("uid-web")).toMatchObject([
      {
        source: { kind: "ClusterSPIFFEID", name: "all", uid: "uid-all" },
        podUid: "uid-web",
        nodeName: "node-1",
        spiffeId: "spiffe://example.org/ns/shop/sa/till",
        parentId: "spiffe://example.org/spire/agent/k8s_psat/demo/uid-of-node-1",
        selectors: [{ type: "k8s", value: "pod-uid:uid-web" }],
        x509SvidTtl: 0,
        jwtSvidTtl: 0,
        dnsNames: [],
        federatesWith: [],
        admin: false,
        downstream: false,
        hint: "",
      },
    ]);
  });

  it("carries every setting of the rule", () => {
    const { index } = start({
      parentIdTemplate: "spiffe://example.org/x509pop/{{ .NodeMeta.Name }}",
    });
    index.applyResource(
      "ClusterSPIFFEID",
      rule({
        ttl: "1h0.9s",
        jwtTtl: "5m",
        hint: "internal",
        admin: true,
        downstream: true,
        federatesWith: ["b.example", "a.example", "b.example"],
        dnsNameTemplates: ["{{ .PodMeta.Name }}.shop", "web.shop", "web.{{ .ClusterDomain }}"],
      }),
    );
    index.applyPod(pod());
    expect(index.entriesOfPod("uid-web")[0]).toMatchObject({
      parentId: "spiffe://example.org/x509pop/node-1",
      x509SvidTtl: 3600,
      jwtSvidTtl: 300,
      hint: "internal",
      admin: true,
      downstream: true,
      federatesWith: ["b.example", "a.example"],
      dnsNames: ["web.shop", "web.cluster.local"],
    });
  });

  it("keeps its ID and gets a new revision when only the SVID's looks change", () => {
    const { index, changes } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    const [before] = index.entriesOfPod("uid-web");
    index.applyResource("ClusterSPIFFEID", rule({ generation: 2, ttl: "5m" }));
    const [after] = index.entriesOfPod("uid-web");
    expect(after?.id).toBe(before?.id);
    expect(after?.revision).not.toBe(before?.revision);
    expect(changes.at(-1)?.pods).toEqual(new Map([["uid-web", "node-1"]]));
  });

  it("gets a new ID when the SPIFFE ID changes", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    const [before] = index.entriesOfPod("uid-web");
    index.applyResource("ClusterSPIFFEID", rule({ generation: 2, spiffeIDTemplate: fixed("x") }));
    expect(index.entriesOfPod("uid-web")[0]?.id).not.toBe(before?.id);
  });

  it("is the same on every replica, in whatever order objects arrive", () => {
    const a = start().index;
    a.applyResource("ClusterSPIFFEID", rule({ hint: "x" }));
    a.applyPod(pod());
    const b = new RegistrationIndex(OPTIONS);
    b.applyPod(pod());
    b.applyResource("ClusterSPIFFEID", rule({ hint: "x" }));
    b.applyNode(node());
    b.applyNamespace(namespace());
    expect(b.entriesOfPod("uid-web")).toEqual(a.entriesOfPod("uid-web"));
    expect(b.statusOf("uid-all")).toEqual(a.statusOf("uid-all"));
  });
});

describe("which pods get entries", () => {
  it("not those without a node, until they have one", () => {
    const { index, ids, stats } = start();
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyPod(pod({ node: undefined, phase: "Pending" }));
    expect(ids("uid-web")).toEqual([]);
    expect(stats("all")).toMatchObject({
      podsSelected: 1,
      podsUnscheduled: 1,
      podEntryRenderFailures: 0,
    });
    index.applyPod(pod({ phase: "Pending" }));
    expect(ids("uid-web")).toHaveLength(1);
    expect(stats("all")).toMatchObject({ podsSelected: 1, podsUnscheduled: 0, entriesToSet: 1 });
  });

  it.each(["Succeeded", "Failed"])("not those that are %s", (phase) => {
    const { index, ids, stats } = start();
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyPod(pod());
    index.applyPod(pod({ phase }));
    expect(ids("uid-web")).toEqual([]);
    expect(stats("all")).toMatchObject({ podsSelected: 1, podsFinished: 1, entriesToSet: 0 });
  });

  it("those being deleted, until they are gone", () => {
    const { index, ids, changes } = start();
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyPod(pod({ deleting: true }));
    expect(ids("uid-web")).toHaveLength(1);
    index.removePod(pod());
    expect(ids("uid-web")).toEqual([]);
    expect(index.pod("uid-web")).toBeUndefined();
    expect(changes.at(-1)?.pods).toEqual(new Map([["uid-web", "node-1"]]));
  });

  it("not those in ignored namespaces, which are counted", () => {
    const { index, ids, stats } = start({ ignoreNamespaces: ["s([a-z]+)re", "default"] });
    for (const name of ["spire", "default", "spiffe", "kubernetes"]) {
      index.applyNamespace(namespace(name));
      index.applyPod(pod({ name, namespace: name }));
    }
    index.applyResource("ClusterSPIFFEID", rule());
    expect(
      ["spire", "default", "spiffe", "kubernetes"].filter((n) => ids(`uid-${n}`).length > 0),
    ).toEqual(["spiffe", "kubernetes"]);
    expect(stats("all")).toMatchObject({
      namespacesSelected: 5,
      namespacesIgnored: 2,
      podsSelected: 2,
    });
  });

  it("those that both selectors match, as labels come and go", () => {
    const { index, ids, stats } = start();
    index.applyResource(
      "ClusterSPIFFEID",
      rule({
        namespaceSelector: { matchLabels: { team: "a" } },
        podSelector: { matchExpressions: [{ key: "app", operator: "In", values: ["web", "api"] }] },
      }),
    );
    index.applyPod(pod({ labels: { app: "web" } }));
    expect(ids("uid-web")).toEqual([]);
    index.applyNamespace(namespace("shop", { team: "a" }));
    expect(ids("uid-web")).toHaveLength(1);
    expect(stats("all")).toMatchObject({ namespacesSelected: 1, podsSelected: 1 });
    index.applyPod(pod({ labels: { app: "db" } }));
    expect(ids("uid-web")).toEqual([]);
    index.applyPod(pod({ labels: { app: "api" } }));
    expect(ids("uid-web")).toHaveLength(1);
    index.removeNamespace(namespace());
    expect(ids("uid-web")).toEqual([]);
    expect(stats("all")).toMatchObject({ namespacesSelected: 0, podsSelected: 0, entriesToSet: 0 });
  });

  it("none on a node that is not known, which is a failure of the pod", () => {
    const { index, ids, status } = start();
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyPod(pod({ node: "node-2" }));
    expect(ids("uid-web")).toEqual([]);
    expect(status("all")?.failures).toEqual([
      { pod: "shop/web", message: 'node "node-2" is not known yet' },
    ]);
    index.applyNode(node("node-2"));
    expect(ids("uid-web")).toHaveLength(1);
    index.applyNode(node("node-2", "another-machine"));
    expect(index.entriesOfPod("uid-web")[0]?.parentId).toMatch(/another-machine$/);
    index.removeNode(node("node-2"));
    expect(ids("uid-web"), "a late delete of the former machine").toHaveLength(1);
    index.removeNode(node("node-2", "another-machine"));
    expect(ids("uid-web")).toEqual([]);
  });
});

describe("classes", () => {
  it.each([
    [{}, [""]],
    [{ className: "a" }, ["a"]],
    [{ className: "a", watchClassless: true }, ["a", ""]],
  ] as [Partial<RegistrationOptions>, string[]][])("with %j are %j", (options, expected) => {
    const { index, ids, status } = start(options);
    for (const name of ["a", "b", ""]) {
      index.applyResource(
        "ClusterSPIFFEID",
        rule({
          name: `class-${name}`,
          className: name,
          spiffeIDTemplate: fixed(`c/${name || "none"}`),
        }),
      );
    }
    index.applyPod(pod());
    expect(ids("uid-web").toSorted()).toEqual(
      expected.map((name) => fixed(`c/${name || "none"}`)).toSorted(),
    );
    expect(status("class-b")).toBeUndefined();
  });

  it("take a rule away that moves to another", () => {
    const { index, ids, changes, status } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyResource("ClusterSPIFFEID", rule({ generation: 2, className: "other" }));
    expect(ids("uid-web")).toEqual([]);
    expect(status("all")).toBeUndefined();
    expect(changes.at(-1)?.pods.has("uid-web")).toBe(true);
  });
});

describe("several rules for one pod", () => {
  it("give several entries, the oldest rule's first and then by name", () => {
    const { index, ids } = start();
    index.applyPod(pod());
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "c", created: NEW, spiffeIDTemplate: fixed("c") }),
    );
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "b", created: OLD, spiffeIDTemplate: fixed("b") }),
    );
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "a", created: NEW, spiffeIDTemplate: fixed("a") }),
    );
    expect(ids("uid-web")).toEqual([fixed("b"), fixed("a"), fixed("c")]);
  });

  it("mask equal entries by age, and the masked one steps in when the other goes", () => {
    const { index, stats } = start();
    index.applyPod(pod());
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "young", created: NEW, hint: "young", ttl: "1m" }),
    );
    index.applyResource("ClusterSPIFFEID", rule({ name: "old", created: OLD, hint: "old" }));
    expect(index.entriesOfPod("uid-web").map((entry) => entry.hint)).toEqual(["old"]);
    expect(stats("young")).toMatchObject({ podsSelected: 1, entriesMasked: 1, entriesToSet: 0 });
    expect(stats("old")).toMatchObject({ entriesMasked: 0, entriesToSet: 1 });
    index.removeResource("ClusterSPIFFEID", rule({ name: "old" }).metadata.uid);
    expect(index.entriesOfPod("uid-web").map((entry) => entry.hint)).toEqual(["young"]);
    expect(stats("young")).toMatchObject({ entriesMasked: 0, entriesToSet: 1 });
  });

  it.each([
    ["staying before leaving", { deleted: NEW }, {}, "second"],
    ["the later to leave", { deleted: OLD }, { deleted: NEW }, "second"],
    ["the smaller UID", { uid: "b" }, { uid: "a" }, "second"],
    [
      "age before everything",
      { created: OLD, deleted: NEW, uid: "b" },
      { created: NEW, uid: "a" },
      "first",
    ],
  ])("mask equal entries preferring %s", (_what, first, second, winner) => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ name: "first", ...first }));
    index.applyResource("ClusterSPIFFEID", rule({ name: "second", ...second }));
    expect(index.entriesOfPod("uid-web").map((entry) => entry.source.name)).toEqual([winner]);
  });

  it("use fallbacks only while no other rule renders", () => {
    const { index, ids, stats } = start();
    index.applyPod(pod());
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "f1", fallback: true, spiffeIDTemplate: fixed("f1") }),
    );
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "f2", fallback: true, spiffeIDTemplate: fixed("f2") }),
    );
    expect(ids("uid-web"), "two fallbacks both apply").toEqual([fixed("f1"), fixed("f2")]);
    index.applyResource("ClusterSPIFFEID", rule({ name: "main", spiffeIDTemplate: fixed("main") }));
    expect(ids("uid-web")).toEqual([fixed("main")]);
    expect(stats("f1")).toMatchObject({ podsSelected: 1, entriesToSet: 0 });
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "main", generation: 2, spiffeIDTemplate: "spiffe://other/x" }),
    );
    expect(ids("uid-web"), "a failing rule lets them through").toEqual([fixed("f1"), fixed("f2")]);
  });
});

describe("what is wrong", () => {
  it.each([
    [{ spiffeIDTemplate: "" }, "InvalidTemplate", "spec.spiffeIDTemplate: cannot be empty"],
    [{ spiffeIDTemplate: "{{ .x" }, "InvalidTemplate", "spec.spiffeIDTemplate: "],
    [{ spiffeIDTemplate: 5 }, "InvalidSpec", "spec.spiffeIDTemplate: "],
    [{ dnsNameTemplates: ["ok", "{{ .x"] }, "InvalidTemplate", "spec.dnsNameTemplates[1]: "],
    [{ workloadSelectorTemplates: [""] }, "InvalidTemplate", "spec.workloadSelectorTemplates[0]: "],
    [
      { podSelector: { matchExpressions: [{ key: "a", operator: "Is" }] } },
      "InvalidSelector",
      "spec.podSelector.matchExpressions[0].operator: ",
    ],
    [
      { namespaceSelector: { matchLabels: { "a b": "" } } },
      "InvalidSelector",
      "spec.namespaceSelector.matchLabels",
    ],
    [{ ttl: "5" }, "InvalidDuration", "spec.ttl: "],
    [{ ttl: "-5s" }, "InvalidDuration", "spec.ttl: "],
    [{ jwtTtl: "soon" }, "InvalidDuration", "spec.jwtTtl: "],
    [{ federatesWith: ["b.example", "B"] }, "InvalidTrustDomain", "spec.federatesWith[1]: "],
  ])("in a rule like %j is a condition, and gives no entries", (spec, reason, message) => {
    const { index, ids, status } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ name: "good", spiffeIDTemplate: fixed("good") }));
    index.applyResource("ClusterSPIFFEID", rule({ name: "bad", ...spec }));
    const bad = status("bad");
    expect(bad).toMatchObject({
      ready: false,
      reason,
      stats: { podsSelected: 0, entriesToSet: 0 },
    });
    expect(bad?.message).toContain(message);
    expect(ids("uid-web")).toEqual([fixed("good")]);
    expect(status("good")?.ready).toBe(true);
  });

  it.each([
    [{ spiffeIDTemplate: "spiffe://other.org/x" }, 'not in the trust domain "example.org"'],
    [{ spiffeIDTemplate: "spiffe://example.org" }, "needs a path"],
    [{ spiffeIDTemplate: "spiffe://example.org/signet/operator" }, "is reserved"],
    [{ spiffeIDTemplate: "spiffe://example.org/spire/server" }, "is reserved: IDs below /spire"],
    [{ spiffeIDTemplate: "spiffe://example.org/spire" }, "is reserved: IDs below /spire"],
    [{ spiffeIDTemplate: "spiffe://example.org/a b" }, "spec.spiffeIDTemplate: path segment"],
    [{ spiffeIDTemplate: "spiffe://example.org/x\n" }, "spec.spiffeIDTemplate: path segment"],
    [{ spiffeIDTemplate: "http://example.org/x" }, "must begin with"],
    [
      { spiffeIDTemplate: "spiffe://example.org/{{ .PodMeta.Nothing }}" },
      "spec.spiffeIDTemplate: ",
    ],
    [{ dnsNameTemplates: ["ok.example", "not_ok"] }, 'spec.dnsNameTemplates[1]: DNS name "not_ok"'],
    [
      { dnsNameTemplates: ["*.example", "a.example"] },
      'spec.dnsNameTemplates: "*.example" already covers',
    ],
    [{ workloadSelectorTemplates: ["nocolon"] }, "spec.workloadSelectorTemplates[0]: "],
    [{ workloadSelectorTemplates: [":x"] }, "type cannot be empty"],
    [{ workloadSelectorTemplates: ["k8s:"] }, "value cannot be empty"],
    [{ workloadSelectorTemplates: ["k8s:container-name:x"] }, "cannot be decided"],
    [{ workloadSelectorTemplates: ["unix:uid:0"] }, 'type "unix" are not known'],
  ])("with a pod, as %j gives, is reported with field and pod", (spec, problem) => {
    const { index, ids, stats, status } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule(spec));
    expect(ids("uid-web")).toEqual([]);
    const all = status("all");
    expect(all).toMatchObject({
      ready: false,
      reason: "RenderFailed",
      failures: [{ pod: "shop/web" }],
    });
    expect(all?.failures[0]?.message).toContain(problem);
    expect(all?.message).toContain("1 of 1 selected pods get no entry; pod shop/web: ");
    expect(stats("all")).toMatchObject({
      podsSelected: 1,
      podEntryRenderFailures: 1,
      entriesToSet: 0,
    });
  });

  it("with some pods leaves the others their entries, and lists the first ten", () => {
    const { index, ids, status } = start();
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ spiffeIDTemplate: 'spiffe://example.org/{{ index .PodMeta.Labels "id" }}' }),
    );
    index.batch(() => {
      for (let n = 0; n < 15; n += 1)
        index.applyPod(pod({ name: `bad-${String(n).padStart(2, "0")}` }));
      index.applyPod(pod({ name: "good", labels: { id: "x" } }));
    });
    expect(ids("uid-good")).toEqual([fixed("x")]);
    const all = status("all");
    expect(all?.failures.map((failure) => failure.pod)).toEqual(
      Array.from({ length: 10 }, (_, n) => `shop/bad-0${n}`),
    );
    expect(all?.stats).toMatchObject({
      podsSelected: 16,
      podEntryRenderFailures: 15,
      entriesToSet: 1,
    });
    index.removePod(pod({ name: "bad-00" }));
    expect(status("all")?.failures.at(-1)?.pod).toBe("shop/bad-10");
  });

  it("with the options is refused at once", () => {
    expect(() => new RegistrationIndex({ ...OPTIONS, ignoreNamespaces: ["("] })).toThrow(
      /ignoreNamespaces/,
    );
    expect(() => new RegistrationIndex({ ...OPTIONS, trustDomain: "Upper" })).toThrow(
      /trust domain/,
    );
    expect(() => new RegistrationIndex({ ...OPTIONS, parentIdTemplate: "{{ .NodeMeta" })).toThrow(
      /^1:|unclosed/,
    );
  });

  it("with a rule that selects nothing is said, though the rule is in effect", () => {
    const { index, status } = start();
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ namespaceSelector: { matchLabels: { a: "b" } } }),
    );
    expect(status("all")).toMatchObject({ ready: true, reason: "NothingSelected" });
  });
});

describe("workload selectors", () => {
  it("must be true of the pod for the entry to apply", () => {
    const { index, ids, stats } = start();
    const workloadSelectorTemplates = [
      "k8s:ns:{{ .PodMeta.Namespace }}",
      "k8s:pod-label:app:web",
      "k8s:ns-label:team:a",
      "k8s:pod-owner:Job:nightly",
    ];
    index.applyResource("ClusterSPIFFEID", rule({ workloadSelectorTemplates }));
    const owner = { kind: "Job", name: "nightly", uid: "j" };
    index.applyPod(pod({ labels: { app: "web" }, owners: [owner] }));
    expect(ids("uid-web")).toEqual([]);
    expect(stats("all")).toMatchObject({ entriesToSet: 1, podEntryRenderFailures: 0 });
    expect(index.explainPod("uid-web")[0]?.clause).toBe(
      'selector "k8s:ns-label:team:a" is not true of the pod',
    );
    index.applyNamespace(namespace("shop", { team: "a" }));
    expect(index.entriesOfPod("uid-web")[0]?.selectors.map((s) => s.value)).toEqual([
      "pod-uid:uid-web",
      "ns:shop",
      "pod-label:app:web",
      "ns-label:team:a",
      "pod-owner:Job:nightly",
    ]);
  });
});

describe("changes", () => {
  it("are not reported for events that change nothing", () => {
    const { index, changes } = start();
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyPod(pod());
    changes.length = 0;
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyNode(node());
    index.applyNode(node("node-1", undefined, { zone: "b" }));
    index.applyNamespace(namespace("shop", { unused: "label" }));
    index.applyPod(pod({ labels: { unused: "label" } }));
    index.removePod(pod({ name: "unknown" }));
    expect(changes).toEqual([]);
  });

  it("of a batch are reported once, after all of it", () => {
    const { index, changes } = start();
    index.batch(() => {
      index.applyResource("ClusterSPIFFEID", rule());
      index.applyPod(pod({ name: "a" }));
      index.applyPod(pod({ name: "b" }));
      index.removePod(pod({ name: "b" }));
      expect(changes).toEqual([]);
    });
    expect(changes).toEqual([
      { pods: new Map([["uid-a", "node-1"]]), rules: new Set(["uid-all"]), bundles: new Set() },
    ]);
  });

  it("of a replaced list are its difference", () => {
    const { index, changes, ids } = start();
    index.applyResource("ClusterSPIFFEID", rule());
    index.replacePods([pod({ name: "a" }), pod({ name: "b" })]);
    changes.length = 0;
    index.replacePods([pod({ name: "b" }), pod({ name: "c" })]);
    expect([...(changes[0]?.pods.keys() ?? [])].toSorted()).toEqual(["uid-a", "uid-c"]);
    changes.length = 0;
    index.replaceResources("ClusterSPIFFEID", [rule({ name: "other" })]);
    expect([...(changes[0]?.rules ?? [])].toSorted()).toEqual(["uid-all", "uid-other"]);
    index.replaceNodes([]);
    expect(ids("uid-b")).toEqual([]);
    index.replaceNodes([node()]);
    index.replaceNamespaces([namespace("elsewhere")]);
    expect(ids("uid-b")).toEqual([]);
    index.replaceNamespaces([namespace()]);
    expect(ids("uid-b")).toHaveLength(1);
  });

  it("list the pods of a node with their entries", () => {
    const { index } = start();
    index.applyResource("ClusterSPIFFEID", rule({ podSelector: { matchLabels: { app: "web" } } }));
    index.applyPod(pod({ name: "z", labels: { app: "web" } }));
    index.applyPod(pod({ name: "a" }));
    index.applyPod(pod({ name: "elsewhere", node: "node-2" }));
    expect(
      index.podsOfNode("node-1").map(({ pod: p, entries }) => [p.metadata.name, entries.length]),
    ).toEqual([
      ["a", 0],
      ["z", 1],
    ]);
  });

  it("of many rules at once reach every pod they select or selected", () => {
    const { index, changes, ids } = start();
    index.applyPod(pod());
    index.applyPod(pod({ name: "api" }));
    index.replaceResources("ClusterSPIFFEID", many("a"));
    expect([ids("uid-web").length, ids("uid-api").length]).toEqual([40, 40]);
    index.replaceResources("ClusterSPIFFEID", many("b"));
    expect(ids("uid-web").filter((id) => id.includes("/b/"))).toHaveLength(40);
    expect(ids("uid-web")).toHaveLength(40);
    expect(changes).toHaveLength(2);
    expect(changes[1]?.rules.size).toBe(80);
  });

  it("of a pod's address are told once, and only while it has an entry", () => {
    const { index, changes, ids } = start();
    const at = (podIP: string) => index.applyPod(pod({ status: { podIP } }));
    at("10.0.0.9");
    at("10.0.0.1");
    expect(changes, "no entry").toEqual([]);
    index.applyResource("ClusterSPIFFEID", rule());
    changes.length = 0;
    at("10.0.0.1");
    expect(changes, "the same").toEqual([]);
    at("10.0.0.2");
    const told = { pods: new Map([["uid-web", "node-1"]]), rules: new Set(), bundles: new Set() };
    expect(changes).toEqual([told]);
    expect(index.pod("uid-web")?.status?.podIP).toBe("10.0.0.2");
    index.applyPod(pod({ name: "other" }));
    expect(changes.pop()?.pods).toEqual(new Map([["uid-other", "node-1"]]));
    index.batch(() => ["10.0.0.3", "10.0.0.4"].forEach(at));
    expect(changes).toEqual([told, told]);
    expect(ids()).toHaveLength(1);
    index.removePod(pod());
    changes.length = 0;
    index.applyNode(node("node-2"));
    expect(changes).toEqual([]);
  });

  it("of the spec's generation alone reach the status", () => {
    const { index, changes, status } = start();
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyResource("ClusterSPIFFEID", rule({ generation: 7 }));
    expect(status("all")?.observedGeneration).toBe(7);
    expect(changes.at(-1)).toEqual({
      pods: new Map(),
      rules: new Set(["uid-all"]),
      bundles: new Set(),
    });
  });
});
