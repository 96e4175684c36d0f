import { describe, expect, it } from "vitest";
import type { RegistrationOptions } from "../../src/registration/index.ts";
import { NEW, OLD, start } from "./harness.ts";
import { fixed, namespace, node, pod, rule, slice } from "./universe.ts";

/** Rules of SPIRE's controller that it has no tests for; what differs on purpose is named so. */

const NONE = {
  namespacesSelected: 0,
  namespacesIgnored: 0,
  podsSelected: 0,
  podEntryRenderFailures: 0,
  entriesMasked: 0,
  entriesToSet: 0,
  entryFailures: 0,
  podsUnscheduled: 0,
  podsFinished: 0,
};

describe("the seven counters of a status", () => {
  it("namespacesSelected: the namespaces that the selector returns, before ignoring", () => {
    const { index, stats } = start();
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ namespaceSelector: { matchLabels: { a: "1" } } }),
    );
    expect(stats("all")).toEqual(NONE);
    index.applyNamespace(namespace("x", { a: "1" }));
    index.applyNamespace(namespace("kube-system", { a: "1" }));
    expect(stats("all")).toEqual({ ...NONE, namespacesSelected: 2, namespacesIgnored: 1 });
    index.applyNamespace(namespace("x", { a: "2" }));
    expect(stats("all")).toEqual({ ...NONE, namespacesSelected: 1, namespacesIgnored: 1 });
    index.removeNamespace(namespace("kube-system"));
    expect(stats("all")).toEqual(NONE);
  });

  it("namespacesIgnored: once for a selected namespace, however many patterns match it", () => {
    const { index, stats } = start({ ignoreNamespaces: ["kube", "system"] });
    index.applyNamespace(namespace("kube-system"));
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyNamespace(namespace("system"));
    expect(stats("all")).toEqual({ ...NONE, namespacesSelected: 3, namespacesIgnored: 2 });
  });

  it("podsSelected: pods of any phase in namespaces that are not ignored", () => {
    const { index, stats } = start();
    index.applyNamespace(namespace("kube-system"));
    index.applyResource("ClusterSPIFFEID", rule({ podSelector: { matchLabels: { app: "x" } } }));
    const labels = { app: "x" };
    for (const phase of ["Pending", "Running", "Succeeded", "Failed", "Unknown"]) {
      index.applyPod(pod({ name: phase.toLowerCase(), phase, labels }));
    }
    index.applyPod(pod({ name: "terminating", deleting: true, labels }));
    index.applyPod(pod({ name: "unscheduled", node: undefined, labels }));
    index.applyPod(pod({ name: "dns", namespace: "kube-system", labels }));
    index.applyPod(pod({ name: "other", labels: { app: "y" } }));
    expect(stats("all")).toEqual({
      ...NONE,
      namespacesSelected: 2,
      namespacesIgnored: 1,
      podsSelected: 7,
      entriesToSet: 4,
      podsFinished: 2,
      podsUnscheduled: 1,
    });
  });

  it("podsSelected: also pods that a fallback object then skips", () => {
    const { index, stats } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyResource("ClusterSPIFFEID", rule({ name: "f", fallback: true }));
    expect(stats("f")).toEqual({ ...NONE, namespacesSelected: 1, podsSelected: 1 });
  });

  it.each([
    ["the template fails", { spiffeIDTemplate: "spiffe://example.org/{{ .PodMeta.Nope }}" }],
    ["the SPIFFE ID is invalid", { spiffeIDTemplate: "spiffe://example.org/a b" }],
    ["the SPIFFE ID is of another trust domain", { spiffeIDTemplate: "spiffe://other/x" }],
    ["a selector is malformed", { workloadSelectorTemplates: ["k8s"] }],
    ["a DNS name is invalid (SPIRE's server refuses it later)", { dnsNameTemplates: ["a_b"] }],
  ])("podEntryRenderFailures: once per pod for which %s", (_what, spec) => {
    const { index, stats } = start();
    index.applyPod(pod());
    index.applyPod(pod({ name: "api" }));
    index.applyResource("ClusterSPIFFEID", rule(spec));
    expect(stats("all")).toEqual({
      ...NONE,
      namespacesSelected: 1,
      podsSelected: 2,
      podEntryRenderFailures: 2,
    });
  });

  it.each([
    ["fails", "spiffe://example.org/{{ .NodeMeta.Nope }}"],
    ["gives an ID outside the trust domain", "spiffe://other/{{ .NodeMeta.Name }}"],
  ])("podEntryRenderFailures: once per pod when the parent template %s", (_what, parent) => {
    const { index, stats, status } = start({ parentIdTemplate: parent });
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    expect(stats("all")).toMatchObject({ podsSelected: 1, podEntryRenderFailures: 1 });
    expect(status("all")?.message).toContain("the operator's parentIdTemplate: ");
  });

  it("podEntryRenderFailures: a pod whose node is missing, until it is there", () => {
    const { index, stats, ids } = start();
    index.applyPod(pod({ node: "node-9" }));
    index.applyResource("ClusterSPIFFEID", rule());
    expect(stats("all")).toMatchObject({ podsSelected: 1, podEntryRenderFailures: 1 });
    index.applyNode(node("node-9"));
    expect(stats("all")).toMatchObject({ podEntryRenderFailures: 0, entriesToSet: 1 });
    index.removeNode(node("node-9"));
    expect(stats("all")).toMatchObject({ podEntryRenderFailures: 1, entriesToSet: 0 });
    expect(ids()).toEqual([]);
  });

  it("entriesToSet and entriesMasked: one for each entry that the object wins or loses", () => {
    const { index, stats } = start();
    for (const name of ["a", "b", "c"]) {
      index.applyPod(pod({ name, labels: name === "c" ? {} : { shared: "yes" } }));
    }
    const shared = { matchLabels: { shared: "yes" } };
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "old", created: OLD, podSelector: shared }),
    );
    index.applyResource("ClusterSPIFFEID", rule({ name: "new", created: NEW }));
    expect(stats("old")).toEqual({
      ...NONE,
      namespacesSelected: 1,
      podsSelected: 2,
      entriesToSet: 2,
    });
    expect(stats("new")).toEqual({
      ...NONE,
      namespacesSelected: 1,
      podsSelected: 3,
      entriesToSet: 1,
      entriesMasked: 2,
    });
  });

  it("entriesToSet: counts an entry whether or not anything had to be written, and whatever a selector says of the pod", () => {
    const { index, stats } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyResource("ClusterSPIFFEID", rule());
    expect(stats("all")?.entriesToSet).toBe(1);
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ generation: 2, workloadSelectorTemplates: ["k8s:ns:elsewhere"] }),
    );
    expect(stats("all")?.entriesToSet).toBe(1);
    expect(index.entriesOfPod("uid-web")).toEqual([]);
  });

  it("entryFailures: never, as nothing is written that could fail", () => {
    const { index, stats } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ federatesWith: ["unknown.example"] }));
    expect(stats("all")).toMatchObject({ entryFailures: 0, entriesToSet: 1 });
  });

  it("are all 0 for an object that does not parse, and its entries go", () => {
    const { index, stats, ids } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyResource("ClusterSPIFFEID", rule({ generation: 2, ttl: "soon" }));
    expect(stats("all")).toEqual(NONE);
    expect(ids()).toEqual([]);
  });
});

describe("class names", () => {
  it.each<[Partial<RegistrationOptions>, string[]]>([
    [{}, [""]],
    [{ watchClassless: true }, [""]],
    [{ className: "mine" }, ["mine"]],
    [{ className: "mine", watchClassless: true }, ["mine", ""]],
  ])("an operator with %j takes objects of the classes %j", (options, taken) => {
    const { index, status } = start(options);
    index.applyPod(pod());
    for (const className of ["mine", "other", ""]) {
      const name = `class-${className}`;
      index.applyResource("ClusterSPIFFEID", rule({ name, className }));
    }
    const classes = ["mine", "other", ""].filter((name) => status(`class-${name}`) !== undefined);
    expect(classes).toEqual(["mine", "other", ""].filter((name) => taken.includes(name)));
  });

  it("an object without the field has the class of one with an empty string", () => {
    const { index, ids } = start({ className: "mine", watchClassless: true });
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    expect(ids()).toHaveLength(1);
  });
});

describe("update or re-creation", () => {
  const base = { dnsNameTemplates: ["a.example"], hint: "h" };
  it.each([
    ["ttl", { ttl: "5m" }],
    ["jwtTtl", { jwtTtl: "5m" }],
    ["dnsNameTemplates", { dnsNameTemplates: ["b.example"] }],
    ["hint", { hint: "i" }],
    ["federatesWith", { federatesWith: ["x.example"] }],
    ["admin", { admin: true }],
    ["downstream", { downstream: true }],
  ])("keeps the entry's ID, with another revision, when %s changes", (_what, change) => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule(base));
    const [before] = index.entriesOfPod("uid-web");
    index.applyResource("ClusterSPIFFEID", rule({ ...base, ...change, generation: 2 }));
    const [after] = index.entriesOfPod("uid-web");
    expect(after?.id).toBe(before?.id);
    expect(after?.revision).not.toBe(before?.revision);
  });

  it("keeps the entry's ID, with another revision, when the pod comes to back a Service", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ autoPopulateDNSNames: true }));
    const [before] = index.entriesOfPod("uid-web");
    index.applyEndpointSlice(slice());
    const [after] = index.entriesOfPod("uid-web");
    expect(after?.id).toBe(before?.id);
    expect(after?.revision).not.toBe(before?.revision);
  });

  it.each([
    ["the template", { spiffeIDTemplate: fixed("x") }],
    ["a selector", { workloadSelectorTemplates: ["k8s:ns:shop"] }],
  ])("makes another entry when %s changes", (_what, change) => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule(base));
    const [before] = index.entriesOfPod("uid-web");
    index.applyResource("ClusterSPIFFEID", rule({ ...base, ...change, generation: 2 }));
    expect(index.entriesOfPod("uid-web")[0]?.id).not.toBe(before?.id);
  });

  it("makes another entry when the parent changes", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    const [before] = index.entriesOfPod("uid-web");
    index.applyNode(node("node-1", "reinstalled"));
    const [after] = index.entriesOfPod("uid-web");
    expect(after?.parentId).toMatch(/reinstalled$/);
    expect(after?.id).not.toBe(before?.id);
  });
});

describe("completed pods (on purpose other than SPIRE, which keeps their entries until they are deleted)", () => {
  it.each(["Succeeded", "Failed"])(
    "lose their entries once they are %s, and are counted",
    (phase) => {
      const { index, ids, stats, changes } = start();
      index.applyPod(pod());
      index.applyResource("ClusterSPIFFEID", rule());
      index.applyResource("ClusterSPIFFEID", rule({ name: "f", fallback: true }));
      changes.length = 0;
      index.applyPod(pod({ phase }));
      expect(ids()).toEqual([]);
      expect(changes.map(({ pods }) => [...pods])).toEqual([[["uid-web", "node-1"]]]);
      expect(stats("all")).toEqual({
        ...NONE,
        namespacesSelected: 1,
        podsSelected: 1,
        podsFinished: 1,
      });
      expect(stats("f"), "also for fallbacks").toMatchObject({ podsFinished: 1 });
    },
  );

  it.each(["Pending", "Unknown"])("are not those that are %s", (phase) => {
    const { index, ids } = start();
    index.applyPod(pod({ phase }));
    index.applyResource("ClusterSPIFFEID", rule());
    expect(ids()).toHaveLength(1);
  });
});

describe("removing an object", () => {
  it("takes its entries at once, and its status", () => {
    const { index, ids, status, changes } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    changes.length = 0;
    index.removeResource("ClusterSPIFFEID", "uid-all");
    expect(ids()).toEqual([]);
    expect(status("all")).toBeUndefined();
    expect(index.resourceUids("ClusterSPIFFEID")).toEqual([]);
    expect(changes).toEqual([
      { pods: new Map([["uid-web", "node-1"]]), rules: new Set(["uid-all"]), bundles: new Set() },
    ]);
    index.removeResource("ClusterSPIFFEID", "uid-all");
    expect(changes, "removing it again is nothing").toHaveLength(1);
  });
});
