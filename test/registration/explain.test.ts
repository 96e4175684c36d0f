import { describe, expect, it } from "vitest";
import { NEW, OLD, start } from "./harness.ts";
import { NODE_PARENT, fixed, namespace, node, pod, rule, staticEntry } from "./universe.ts";

describe("explaining a pod", () => {
  it("names for each rule the clause that decided", () => {
    const { index } = start({ className: "mine", watchClassless: true });
    index.applyPod(pod({ labels: { app: "web" } }));
    const add = (name: string, spec: object) =>
      index.applyResource("ClusterSPIFFEID", rule({ name, ...spec }));
    add("a-foreign", { className: "theirs" });
    add("b-invalid", { ttl: "x" });
    add("c-namespace", { namespaceSelector: { matchLabels: { team: "a" } } });
    add("d-pod", { podSelector: { matchLabels: { app: "api" } } });
    add("e-fallback", { fallback: true });
    add("f-failed", { spiffeIDTemplate: "spiffe://other/x" });
    add("g-gives", {});
    add("h-masked", { uid: "z" });
    const clauses = index.explainPod("uid-web");
    expect(
      clauses.map(({ rule: name, matched, clause }) => `${name} ${matched}: ${clause}`),
    ).toEqual([
      'a-foreign false: className "theirs" is not the class of this operator, "mine"',
      expect.stringMatching(/^b-invalid false: the object is invalid: spec\.ttl: /),
      'c-namespace false: namespaceSelector does not match the labels of namespace "shop": it requires team=a, the label is missing',
      'd-pod false: podSelector does not match the pod\'s labels: it requires app=api, the label is "web"',
      "e-fallback false: fallback not used because ClusterSPIFFEID g-gives gives the pod an entry",
      expect.stringMatching(
        /^f-failed false: render failed: spec\.spiffeIDTemplate: .*trust domain/,
      ),
      "g-gives true: it gives the pod an entry",
      "h-masked false: masked by ClusterSPIFFEID g-gives, which gives the same SPIFFE ID for the same selectors",
    ]);
    expect(clauses[6]?.spiffeId).toBe("spiffe://example.org/ns/shop/sa/till");
    expect(clauses.map(({ selects }) => selects)).toEqual([
      ...["untried", "untried", "neither", "namespace"],
      ...["pod", "pod", "pod", "pod"],
    ]);
  });

  it("says when the namespace is ignored or unknown, and the pod unscheduled or finished", () => {
    const { index } = start();
    index.applyResource("ClusterSPIFFEID", rule());
    const clause = () => index.explainPod("uid-web")[0]?.clause;
    index.applyPod(pod({ node: undefined }));
    expect(clause()).toMatch(/has no node yet/);
    index.applyPod(pod({ phase: "Failed" }));
    expect(clause()).toMatch(/has finished/);
    index.removeNamespace(namespace());
    expect(clause()).toBe('namespace "shop" is not known yet');
    index.applyPod(pod({ name: "dns", namespace: "kube-system" }));
    expect(index.explainPod("uid-dns")[0]?.clause).toMatch(
      /ignored by the operator's configuration \(pattern "kube-system"\)/,
    );
    expect(index.explainPod("nobody")).toEqual([]);
  });
});

describe("explaining a pod by ClusterStaticEntries", () => {
  const explainedAs = (entry: object, thePod = pod()) => {
    const { index } = start();
    index.applyPod(thePod);
    index.applyResource("ClusterStaticEntry", staticEntry({ ...entry }));
    return index.explainPod("uid-web")[0];
  };

  it("names the selectors that the pod does not have", () => {
    expect(explainedAs({ selectors: ["k8s:ns:shop", "k8s:sa:x", "k8s:pod-label:a:b"] })).toEqual({
      kind: "ClusterStaticEntry",
      rule: "static",
      ruleUid: "uid-static",
      matched: false,
      selects: "namespace",
      clause: 'the pod does not have "k8s:sa:x", "k8s:pod-label:a:b"',
    });
    expect(explainedAs({ selectors: ["k8s:sa:x"] })?.selects).toBe("neither");
  });

  it("names the parent that the pod's node does not have", () => {
    expect(explainedAs({ parentID: fixed("elsewhere") })).toMatchObject({
      matched: false,
      selects: "pod",
      clause: `parentID "${fixed("elsewhere")}" is no ID of node "node-1", which has ${NODE_PARENT}`,
    });
    expect(explainedAs({}, pod({ node: "node-2" }))?.clause).toBe(
      `parentID "${NODE_PARENT}" is no ID of node "node-2", which has none`,
    );
    expect(explainedAs({}, pod({ node: undefined }))?.clause).toBe("the pod has no node yet");
  });

  it("names the aliases that the node has", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource(
      "ClusterStaticEntry",
      staticEntry({
        name: "an-alias",
        spiffeID: fixed("nodes"),
        parentID: fixed("spire/server"),
        selectors: ["k8s_psat:cluster:demo"],
      }),
    );
    index.applyResource("ClusterStaticEntry", staticEntry({ parentID: fixed("elsewhere") }));
    expect(index.explainPod("uid-web").map(({ clause }) => clause)).toEqual([
      "it gives nodes an alias, not pods an entry",
      `parentID "${fixed("elsewhere")}" is no ID of node "node-1", which has ${NODE_PARENT}, ${fixed("nodes")}`,
    ]);
  });

  it("does not ask whether the namespace is ignored", () => {
    const { index } = start();
    index.applyNamespace(namespace("kube-system"));
    index.applyPod(pod({ namespace: "kube-system" }));
    index.applyResource("ClusterStaticEntry", staticEntry());
    expect(index.explainPod("uid-web")[0]?.clause).toBe('the pod does not have "k8s:ns:shop"');
  });

  it("tells the entry it gives, and which object masks it", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterStaticEntry", staticEntry({ name: "old", created: OLD }));
    index.applyResource("ClusterStaticEntry", staticEntry({ name: "young", created: NEW }));
    expect(index.explainPod("uid-web")).toMatchObject([
      { rule: "old", matched: true, outcome: "set", spiffeId: fixed("static"), selects: "pod" },
      {
        rule: "young",
        matched: false,
        outcome: "masked",
        spiffeId: fixed("static"),
        maskedBy: "ClusterStaticEntry old",
      },
    ]);
  });
});

describe("what is explained of a pod", () => {
  it("tells the outcome as one word", () => {
    const { index } = start();
    index.applyPod(pod());
    const add = (name: string, spec: object) =>
      index.applyResource("ClusterSPIFFEID", rule({ name, ...spec }));
    add("a", {});
    add("b", { spiffeIDTemplate: "spiffe://other/x" });
    add("c", { fallback: true });
    add("d", { workloadSelectorTemplates: ["k8s:ns:x"] });
    add("e", { podSelector: { matchLabels: { a: "b" } } });
    const told = index.explainPod("uid-web");
    expect(told.map(({ outcome }) => outcome)).toEqual([
      ...["set", "failed", "skipped", "unmet"],
      undefined,
    ]);
    expect(told.map(({ spiffeId }) => spiffeId)).toEqual([
      fixed("ns/shop/sa/till"),
      undefined,
      undefined,
      fixed("ns/shop/sa/till"),
      undefined,
    ]);
    expect(told[4]).not.toHaveProperty("outcome");
    expect(told[4]).not.toHaveProperty("maskedBy");
  });

  it("is over once it is removed, and finds it by name until then", () => {
    const { index } = start();
    index.applyResource("ClusterSPIFFEID", rule());
    index.applyPod(pod());
    expect(index.podNamed("shop", "web")?.metadata.uid).toBe("uid-web");
    expect(index.podNamed("shop", "other")).toBeUndefined();
    expect(index.podNamed("elsewhere", "web")).toBeUndefined();
    index.removePod(pod());
    expect(index.podNamed("shop", "web")).toBeUndefined();
    expect(index.explainPod("uid-web")).toEqual([]);
  });
});

describe("explaining an object", () => {
  it("shows its pods by name, at most as many as asked for, with its status", () => {
    const { index, status } = start();
    for (const name of ["c", "a", "b"]) index.applyPod(pod({ name }));
    index.applyPod(pod({ name: "z", node: undefined }));
    index.applyNamespace(namespace("early"));
    index.applyPod(pod({ name: "y", namespace: "early", node: "node-9" }));
    index.applyResource("ClusterSPIFFEID", rule());
    const told = index.explainRule("ClusterSPIFFEID", "all", 3);
    expect(told).toMatchObject({
      kind: "ClusterSPIFFEID",
      name: "all",
      uid: "uid-all",
      clause: '1 of 5 selected pods get no entry; pod early/y: node "node-9" is not known yet',
    });
    expect(told?.status).toEqual(status("all"));
    expect(told?.pods.map(({ pod, outcome }) => [pod, outcome])).toEqual([
      ["early/y", "failed"],
      ["shop/a", "set"],
      ["shop/b", "set"],
    ]);
    expect(told?.pods[1]?.entry).toEqual(index.entriesOfPod("uid-a")[0]);
    expect(index.explainRule("ClusterSPIFFEID", "all", 0)?.pods).toEqual([]);
    expect(index.explainRule("ClusterSPIFFEID", "all", 100)?.pods).toHaveLength(5);
  });

  it("says which object masks it for each pod", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ name: "old", created: OLD }));
    index.applyResource("ClusterSPIFFEID", rule({ name: "young", created: NEW }));
    expect(index.explainRule("ClusterSPIFFEID", "young", 10)?.pods).toMatchObject([
      { pod: "shop/web", outcome: "masked", duplicateOf: "ClusterSPIFFEID old" },
    ]);
  });

  it("knows objects by kind and name", () => {
    const { index } = start();
    index.applyResource("ClusterSPIFFEID", rule({ name: "one" }));
    index.applyResource("ClusterStaticEntry", staticEntry({ name: "two" }));
    expect(index.explainRule("ClusterSPIFFEID", "two", 1)).toBeUndefined();
    expect(index.explainRule("ClusterStaticEntry", "one", 1)).toBeUndefined();
    expect(index.explainRule("ClusterStaticEntry", "two", 1)?.uid).toBe("uid-two");
    index.removeResource("ClusterStaticEntry", "uid-two");
    expect(index.explainRule("ClusterStaticEntry", "two", 1)).toBeUndefined();
  });

  it("says of an invalid one and one of another class why nothing comes of it", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ name: "bad", ttl: "x" }));
    index.applyResource("ClusterSPIFFEID", rule({ name: "theirs", className: "theirs" }));
    expect(index.explainRule("ClusterSPIFFEID", "bad", 1)).toMatchObject({
      clause: expect.stringMatching(/^spec\.ttl: /),
      status: { reason: "InvalidDuration" },
      pods: [],
    });
    const theirs = index.explainRule("ClusterSPIFFEID", "theirs", 1);
    expect(theirs?.status).toBeUndefined();
    expect(theirs?.clause).toBe('className "theirs" is not the class of this operator, ""');
  });

  it("follows the node: an entry given says on which it is", () => {
    const { index } = start();
    index.applyNode(node("node-2"));
    index.applyPod(pod({ node: "node-2" }));
    index.applyResource("ClusterSPIFFEID", rule());
    expect(index.explainRule("ClusterSPIFFEID", "all", 1)?.pods[0]?.entry?.nodeName).toBe("node-2");
  });
});
