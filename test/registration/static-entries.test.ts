import { describe, expect, it } from "vitest";
import { NEW, OLD, start } from "./harness.ts";
import { NODE_PARENT, fixed, namespace, node, pod, rule, staticEntry } from "./universe.ts";
import type { ResourceInput } from "./universe.ts";

const KIND = "ClusterStaticEntry";

describe("a ClusterStaticEntry", () => {
  it("gives each pod that has all of its selectors an entry, written as it is", () => {
    const { index, status } = start();
    index.applyPod(pod());
    index.applyResource(
      KIND,
      staticEntry({
        selectors: ["k8s:sa:till", "k8s:ns:shop"],
        federatesWith: ["b.example", "a.example", "b.example"],
        x509SVIDTTL: "1h0.5s",
        jwtSVIDTTL: "2m",
        dnsNames: ["b.example", "a.example", "b.example"],
        hint: "h",
        admin: true,
        downstream: true,
      }),
    );
    const [entry] = index.entriesOfPod("uid-web");
    expect(entry).toMatchObject({
      source: { kind: KIND, name: "static", uid: "uid-static" },
      podUid: "uid-web",
      nodeName: "node-1",
      spiffeId: fixed("static"),
      parentId: NODE_PARENT,
      selectors: [
        { type: "k8s", value: "sa:till" },
        { type: "k8s", value: "ns:shop" },
      ],
      x509SvidTtl: 3600,
      jwtSvidTtl: 120,
      federatesWith: ["b.example", "a.example"],
      dnsNames: ["b.example", "a.example"],
      hint: "h",
      admin: true,
      downstream: true,
    });
    expect(entry?.id).toMatch(/^[0-9a-f]{32}$/);
    expect(status("static")).toMatchObject({
      kind: KIND,
      name: "static",
      ready: true,
      reason: "EntryInEffect",
      message: "The entry applies to every pod that has all of spec.selectors.",
      entry: { rendered: true, masked: false, set: true },
      stats: { podsSelected: 1, entriesToSet: 1, namespacesSelected: 0 },
      missingBundles: ["b.example", "a.example"],
    });
  });

  it.each([
    ["all of them", ["k8s:ns:shop", "k8s:sa:till", "k8s:pod-label:app:web"], true],
    ["one of many", ["k8s:pod-label:app:web"], true],
    ["one that it lacks", ["k8s:ns:shop", "k8s:pod-label:app:api"], false],
    ["the same twice", ["k8s:ns:shop", "k8s:ns:shop"], true],
  ])("applies by subset of the pod's selectors: %s", (_what, selectors, applies) => {
    const { index, ids } = start();
    index.applyPod(pod({ labels: { app: "web", tier: "front" } }));
    index.applyResource(KIND, staticEntry({ selectors }));
    expect(ids()).toEqual(applies ? [fixed("static")] : []);
  });

  it("applies to several pods, and with every change of what is selected by", () => {
    const { index, ids, stats } = start();
    index.applyResource(
      KIND,
      staticEntry({ selectors: ["k8s:pod-label:app:web", "k8s:ns-label:team:a"] }),
    );
    for (const name of ["a", "b", "c"]) index.applyPod(pod({ name, labels: { app: "web" } }));
    expect(stats("static")?.podsSelected).toBe(0);
    index.applyNamespace(namespace("shop", { team: "a" }));
    expect(["a", "b", "c"].map((name) => ids(`uid-${name}`).length)).toEqual([1, 1, 1]);
    expect(stats("static")?.podsSelected).toBe(3);
    index.applyPod(pod({ name: "b", labels: { app: "api" } }));
    index.removePod(pod({ name: "c" }));
    expect(["a", "b", "c"].map((name) => ids(`uid-${name}`).length)).toEqual([1, 0, 0]);
    expect(stats("static")).toMatchObject({ podsSelected: 1, entriesToSet: 1 });
    index.applyResource(KIND, staticEntry({ generation: 2, selectors: ["k8s:ns:shop"] }));
    expect(["a", "b", "c"].map((name) => ids(`uid-${name}`).length)).toEqual([1, 1, 0]);
  });

  it.each([
    ["k8s:pod-uid:uid-web", true],
    ["k8s:pod-uid:uid-api", false],
    ["k8s:pod-name:web", true],
    ["k8s:pod-owner:Job:nightly", true],
    ["k8s:pod-owner-uid:Job:j", true],
    ["k8s:pod-owner-uid:Job:nightly", false],
    ["k8s:sa:till", true],
    ["k8s:pod-label:a:b:c", true],
    ["k8s:ns:shop", true],
    ["k8s:node-name:node-1", true],
    ["k8s:ns-label:team:a", true],
    ["k8s:pod-image:web:1", true],
  ])("finds its pods by %s alone, whichever comes first (%s)", (selector, applies) => {
    const found = pod({
      labels: { a: "b:c" },
      owners: [{ kind: "Job", name: "nightly", uid: "j" }],
      spec: { containers: [{ image: "web:1" }] },
    });
    for (const order of ["pod first", "entry first"]) {
      const { index, ids } = start();
      index.applyNamespace(namespace("shop", { team: "a" }));
      if (order === "pod first") index.applyPod(found);
      index.applyResource(KIND, staticEntry({ selectors: [selector] }));
      if (order === "entry first") index.applyPod(found);
      expect(ids(), order).toEqual(applies ? [fixed("static")] : []);
    }
  });

  it("applies once to a pod that has its selector twice", () => {
    const { index, stats, ids } = start();
    const owner = { kind: "Job", name: "nightly" };
    index.applyPod(
      pod({
        owners: [
          { ...owner, uid: "1" },
          { ...owner, uid: "2" },
        ],
      }),
    );
    index.applyResource(KIND, staticEntry({ selectors: ["k8s:pod-owner:Job:nightly"] }));
    index.applyPod(
      pod({
        owners: [
          { ...owner, uid: "1" },
          { ...owner, uid: "3" },
        ],
      }),
    );
    expect(ids()).toEqual([fixed("static")]);
    expect(stats("static")).toMatchObject({ podsSelected: 1, entriesToSet: 1 });
    index.removePod(pod());
    expect(stats("static")).toMatchObject({ podsSelected: 0, entriesToSet: 0 });
  });

  it("applies in ignored namespaces too, as SPIRE's do", () => {
    const { index, ids, stats } = start();
    index.applyNamespace(namespace("kube-system"));
    index.applyPod(pod({ namespace: "kube-system" }));
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyResource(KIND, staticEntry({ selectors: ["k8s:ns:kube-system"] }));
    expect(ids()).toEqual([fixed("static")]);
    index.applyResource(
      KIND,
      staticEntry({ generation: 2, selectors: ["k8s:ns:kube-system", "k8s:sa:till"] }),
    );
    expect(ids(), "also when the entry alone changes").toEqual([fixed("static")]);
    index.applyResource("ClusterSPIFFEID", rule({ generation: 2 }));
    expect(ids()).toEqual([fixed("static")]);
    expect(stats("all")?.podsSelected).toBe(0);
  });

  it("gives nothing to pods that have no node or have finished, and counts the latter", () => {
    const { index, ids, stats } = start();
    index.applyResource(KIND, staticEntry());
    index.applyPod(pod({ node: undefined }));
    expect(stats("static")).toMatchObject({ podsSelected: 0, podsUnscheduled: 0 });
    index.applyPod(pod());
    expect(ids()).toHaveLength(1);
    index.applyPod(pod({ phase: "Succeeded" }));
    expect(ids()).toEqual([]);
    expect(stats("static")).toMatchObject({ podsSelected: 1, podsFinished: 1, entriesToSet: 0 });
  });

  it("stands beside the entries of ClusterSPIFFEIDs in listing order, and leaves fallbacks alone", () => {
    const { index, ids } = start();
    index.applyPod(pod());
    index.applyResource(KIND, staticEntry({ name: "m", created: NEW }));
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "z", created: OLD, fallback: true, spiffeIDTemplate: fixed("z") }),
    );
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "a", created: NEW, fallback: true, spiffeIDTemplate: fixed("a") }),
    );
    expect(ids()).toEqual([fixed("z"), fixed("a"), fixed("static")]);
  });

  it("keeps its entry's ID when TTL, names or hint change, and not with the parent, selectors or SPIFFE ID", () => {
    const { index } = start();
    index.applyPod(pod());
    const entry = (input: ResourceInput) => {
      index.applyResource(KIND, staticEntry(input));
      return index.entriesOfPod("uid-web")[0];
    };
    const first = entry({});
    const same = entry({ generation: 2, x509SVIDTTL: "1m", dnsNames: ["a.b"], hint: "x" });
    expect(same?.id).toBe(first?.id);
    expect(same?.revision).not.toBe(first?.revision);
    expect(entry({ generation: 3, spiffeID: fixed("other") })?.id).not.toBe(first?.id);
    expect(entry({ generation: 4, selectors: ["k8s:sa:till"] })?.id).not.toBe(first?.id);
  });

  it("goes with its object, and with its class", () => {
    const { index, ids, status } = start({ className: "mine" });
    index.applyPod(pod());
    index.applyResource(KIND, staticEntry({ className: "mine" }));
    expect(ids()).toEqual([fixed("static")]);
    index.applyResource(KIND, staticEntry({ className: "theirs", generation: 2 }));
    expect(ids()).toEqual([]);
    expect(status("static")).toBeUndefined();
    expect(index.resourceUids(KIND)).toEqual(["uid-static"]);
    index.applyResource(KIND, staticEntry({ className: "mine", generation: 3 }));
    expect(ids()).toEqual([fixed("static")]);
    index.removeResource(KIND, "uid-static");
    expect(ids()).toEqual([]);
    expect(index.resourceUids(KIND)).toEqual([]);
  });
});

describe("the parent of a ClusterStaticEntry", () => {
  it("says on which node it applies", () => {
    const { index, ids } = start();
    index.applyNode(node("node-2"));
    index.applyPod(pod());
    index.applyPod(pod({ name: "far", node: "node-2" }));
    index.applyResource(KIND, staticEntry());
    expect([ids("uid-web"), ids("uid-far")]).toEqual([[fixed("static")], []]);
    index.applyResource(
      KIND,
      staticEntry({ generation: 2, parentID: NODE_PARENT.replace("node-1", "node-2") }),
    );
    expect([ids("uid-web"), ids("uid-far")]).toEqual([[], [fixed("static")]]);
  });

  it("that no node has is said, and takes effect once a node comes", () => {
    const { index, ids, status, changes } = start();
    index.applyPod(pod({ node: "node-2" }));
    const parentID = NODE_PARENT.replace("node-1", "node-2");
    index.applyResource(KIND, staticEntry({ parentID }));
    expect(status("static")).toMatchObject({
      ready: false,
      reason: "UnknownParent",
      message: `spec.parentID: no node has the ID "${parentID}", and no ClusterStaticEntry gives it as an alias; name a node's parent ID, or one of an entry whose parentID is the server's`,
      entry: { rendered: true, masked: false, set: true },
    });
    changes.length = 0;
    index.applyNode(node("node-2"));
    expect(ids()).toEqual([fixed("static")]);
    expect(status("static")).toMatchObject({ ready: true, reason: "EntryInEffect" });
    expect(changes.at(-1)).toEqual({
      pods: new Map([["uid-web", "node-2"]]),
      rules: new Set(["uid-static"]),
      bundles: new Set(),
    });
    index.removeNode(node("node-2"));
    expect(ids()).toEqual([]);
    expect(status("static")?.reason).toBe("UnknownParent");
  });

  it("changes state with the node even where no pod is there to apply to", () => {
    const { index, status, changes } = start();
    const parentID = NODE_PARENT.replace("node-1", "node-2");
    index.applyResource(KIND, staticEntry({ parentID }));
    changes.length = 0;
    index.applyNode(node("node-2"));
    expect(status("static")).toMatchObject({
      ready: true,
      reason: "NothingSelected",
      message: "In effect, but no pod has all of spec.selectors now.",
    });
    index.removeNode(node("node-2"));
    expect(status("static")?.reason).toBe("UnknownParent");
    expect(changes.map(({ rules }) => [...rules])).toEqual([["uid-static"], ["uid-static"]]);
  });
});

describe("masking of ClusterStaticEntries", () => {
  const flags = (masked: boolean) => ({ rendered: true, masked, set: !masked });

  it("by another, older one, whether or not any pod is there", () => {
    const { index, status, ids, changes } = start();
    index.applyResource(KIND, staticEntry({ name: "young", created: NEW, hint: "young" }));
    expect(status("young")?.entry).toEqual(flags(false));
    changes.length = 0;
    index.applyResource(KIND, staticEntry({ name: "old", created: OLD, hint: "old" }));
    expect([...(changes[0]?.rules ?? [])].toSorted()).toEqual(["uid-old", "uid-young"]);
    expect(status("old")?.entry).toEqual(flags(false));
    expect(status("young")).toMatchObject({
      ready: false,
      reason: "Masked",
      message:
        "ClusterStaticEntry old declares an entry with the same SPIFFE ID, parent ID and selectors, and is preferred; delete one of them.",
      entry: flags(true),
      stats: { entriesMasked: 0 },
    });
    index.applyPod(pod());
    expect(index.entriesOfPod("uid-web").map(({ hint }) => hint)).toEqual(["old"]);
    expect(status("young")?.stats).toMatchObject({ podsSelected: 1, entriesMasked: 1 });
    index.removeResource(KIND, "uid-old");
    expect(index.entriesOfPod("uid-web").map(({ hint }) => hint)).toEqual(["young"]);
    expect(status("young")).toMatchObject({ ready: true, entry: flags(false) });
    expect(ids()).toHaveLength(1);
  });

  it("whatever the order and number of equal selectors", () => {
    const { index, status } = start();
    const selectors = ["k8s:ns:shop", "k8s:sa:till"];
    index.applyResource(KIND, staticEntry({ name: "a", selectors }));
    index.applyResource(
      KIND,
      staticEntry({ name: "b", selectors: ["k8s:sa:till", ...selectors, "k8s:ns:shop"] }),
    );
    expect(status("b")?.reason).toBe("Masked");
    index.applyResource(
      KIND,
      staticEntry({ name: "b", generation: 2, selectors: ["k8s:sa:till"] }),
    );
    expect(status("b")?.reason).not.toBe("Masked");
  });

  it("of three: only the oldest stands, and each message names it", () => {
    const { index, status } = start();
    index.applyResource(KIND, staticEntry({ name: "b", uid: "uid-b" }));
    index.applyResource(KIND, staticEntry({ name: "c" }));
    index.applyResource(KIND, staticEntry({ name: "a" }));
    expect(["a", "b", "c"].map((name) => status(name)?.entry?.masked)).toEqual([false, true, true]);
    expect(status("c")?.message).toMatch(/^ClusterStaticEntry a declares/);
    index.removeResource(KIND, "uid-a");
    expect(["b", "c"].map((name) => status(name)?.entry?.masked)).toEqual([false, true]);
    expect(status("c")?.message).toMatch(/^ClusterStaticEntry b declares/);
  });

  const twin = (input: ResourceInput = {}) =>
    staticEntry({ spiffeID: fixed("twin"), selectors: ["k8s:pod-uid:uid-web"], ...input });
  const template = (input: ResourceInput = {}) =>
    rule({ spiffeIDTemplate: fixed("twin"), ...input });

  it("by an older ClusterSPIFFEID that gives the pod the same", () => {
    const { index, status, stats } = start();
    index.applyPod(pod());
    index.applyResource(KIND, twin({ created: NEW, hint: "static" }));
    expect(status("static")?.entry).toEqual(flags(false));
    index.applyResource("ClusterSPIFFEID", template({ created: OLD, hint: "template" }));
    expect(index.entriesOfPod("uid-web").map(({ hint }) => hint)).toEqual(["template"]);
    expect(status("static")).toMatchObject({
      ready: false,
      reason: "Masked",
      entry: flags(true),
      stats: { entriesMasked: 1, entriesToSet: 0 },
    });
    expect(stats("all")).toMatchObject({ entriesToSet: 1, entriesMasked: 0 });
    index.removeResource("ClusterSPIFFEID", "uid-all");
    expect(status("static")).toMatchObject({ ready: true, entry: flags(false) });
  });

  it("of a younger ClusterSPIFFEID, which then counts the pod as masked", () => {
    const { index, status, stats } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", template({ created: NEW, hint: "template" }));
    index.applyResource(KIND, twin({ created: OLD, hint: "static" }));
    expect(index.entriesOfPod("uid-web").map(({ hint }) => hint)).toEqual(["static"]);
    expect(status("static")).toMatchObject({ ready: true, entry: flags(false) });
    expect(stats("all")).toMatchObject({ entriesToSet: 0, entriesMasked: 1 });
    expect(
      index.explainPod("uid-web").find(({ kind }) => kind === "ClusterSPIFFEID"),
    ).toMatchObject({
      outcome: "masked",
      maskedBy: "ClusterStaticEntry static",
    });
  });
});
