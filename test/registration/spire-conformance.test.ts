import { describe, expect, it } from "vitest";
import { createEntry, entryKey } from "../../src/registration/entry.ts";
import type { EntryContent } from "../../src/registration/entry.ts";
import { start } from "./harness.ts";
import { fixed, namespace, node, pod, rule, slice } from "./universe.ts";

/*
 * What SPIRE's controller tests, row by row of a list made from its repository, and where each is tested here:
 *
 *  1  one pod's entry                     here
 *  2  DNS names, templates and Services   here, and services.test.ts
 *  3  jwtTtl is passed on                 here; an entry has whole seconds, as SPIRE's server gets them
 *  4  custom parent template              here
 *  5  what an entry's key is made of      here, and entry.test.ts
 *  6  join-token entries are left alone   does not apply: nothing but computed entries exists
 *  7  render cache                        here, as: what is rendered anew, and what is not
 *  8  loop, ticker and trigger            does not apply: there is no loop, every event is applied at once
 *  9  federation relationships            federation.test.ts; the server's RPC failures do not exist
 * 10  paging and batches of its API       does not apply: there is no server to call
 * 11  probing for unsupported fields      does not apply, for the same reason
 * 12  conversions of invalid objects      static-entries.test.ts, federation.test.ts, bundle-document.test.ts
 * 13  bundle endpoint URLs                federation.test.ts
 * 14  minting SVIDs, fetching bundles     not registration: test/ca and test/issuer
 * 15  ignore patterns                     here
 * 16  cluster domain by DNS               not registration: the operator's configuration
 * 17  configuration loader                not registration
 * 18  static manifest files               does not apply: objects come from Kubernetes alone
 * 19  list helpers with label filters     here, as: which namespaces and pods are selected; lists: test/kube
 * 20  webhook server, two-cluster demo    test/webhook, test/e2e
 *
 * Rules that SPIRE does not test itself: spire-rules.test.ts.
 */

describe("rendering as SPIRE does", () => {
  it("row 1: pod test in namespace, account test, node UID uid: ID /ns/namespace/sa/test, parent /spire/agent/k8s_psat/<cluster>/uid", () => {
    const { index } = start();
    index.applyNamespace(namespace("namespace"));
    index.applyNode(node("test", "uid"));
    index.applyPod(
      pod({ name: "test", namespace: "namespace", serviceAccount: "test", node: "test" }),
    );
    index.applyResource(
      "ClusterSPIFFEID",
      rule({
        spiffeIDTemplate:
          "spiffe://{{ .TrustDomain }}/ns/{{ .PodMeta.Namespace }}/sa/{{ .PodSpec.ServiceAccountName }}",
      }),
    );
    const [entry, ...more] = index.entriesOfPod("uid-test");
    expect(more).toEqual([]);
    expect(entry?.spiffeId).toBe("spiffe://example.org/ns/namespace/sa/test");
    expect(entry?.parentId).toBe("spiffe://example.org/spire/agent/k8s_psat/demo/uid");
    expect(entry?.selectors).toEqual([{ type: "k8s", value: "pod-uid:uid-test" }]);
  });

  it("row 2: three DNS templates of which two render equally, and two Services: 2 + 8 unique names, templates first", () => {
    const { index, dnsNames } = start();
    index.applyPod(pod());
    index.applyEndpointSlice(slice({ name: "s1", service: "test-b" }));
    index.applyEndpointSlice(slice({ name: "s2", service: "test-a" }));
    index.applyResource(
      "ClusterSPIFFEID",
      rule({
        dnsNameTemplates: [
          "{{ .PodMeta.Name }}.{{ .PodMeta.Namespace }}",
          "web.shop",
          "a.{{ .TrustDomain }}",
        ],
        autoPopulateDNSNames: true,
      }),
    );
    expect(dnsNames()).toEqual([
      "web.shop",
      "a.example.org",
      "test-a",
      "test-a.shop",
      "test-a.shop.svc",
      "test-a.shop.svc.cluster.local",
      "test-b",
      "test-b.shop",
      "test-b.shop.svc",
      "test-b.shop.svc.cluster.local",
    ]);
  });

  it.each([
    ["5m", 300],
    ["1h0.9s", 3600],
    ["1ns", 0],
    ["596523h14m7s", 2_147_483_647],
  ])("row 3: jwtTtl %s reaches the entry, in whole seconds", (jwtTtl, seconds) => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ jwtTtl }));
    expect(index.entriesOfPod("uid-web")[0]).toMatchObject({ jwtSvidTtl: seconds, x509SvidTtl: 0 });
  });

  it("row 4: a custom parent template with the node's name (x509pop form) renders", () => {
    const { index } = start({
      parentIdTemplate: "spiffe://{{ .TrustDomain }}/spire/agent/x509pop/{{ .NodeMeta.Name }}",
    });
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    expect(index.entriesOfPod("uid-web")[0]?.parentId).toBe(
      "spiffe://example.org/spire/agent/x509pop/node-1",
    );
  });

  it("a parent template sees no pod: naming one is a failure of each pod", () => {
    const { index, status, ids } = start({
      parentIdTemplate: "spiffe://{{ .TrustDomain }}/{{ .PodMeta.Name }}",
    });
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    expect(ids()).toEqual([]);
    expect(status("all")?.failures[0]?.message).toMatch(
      /^the operator's parentIdTemplate: .*nil pointer evaluating \*?\S*\.Name/,
    );
    expect(status("all")?.stats.podEntryRenderFailures).toBe(1);
  });
});

const content: EntryContent = {
  source: { kind: "ClusterSPIFFEID", name: "a", uid: "u" },
  podUid: "1",
  nodeName: "n",
  spiffeId: fixed("b"),
  parentId: fixed("p"),
  selectors: [
    { type: "k8s", value: "pod-uid:1" },
    { type: "k8s", value: "ns:x" },
  ],
  x509SvidTtl: 1,
  jwtSvidTtl: 2,
  dnsNames: ["a"],
  federatesWith: ["x"],
  admin: false,
  downstream: false,
  hint: "",
};

describe("row 5: an entry's key", () => {
  it("is the same for the same tuple, whatever the order of selectors and however often one is repeated", () => {
    const [a, b] = content.selectors;
    if (!a || !b) throw new Error("two selectors");
    expect(entryKey({ ...content })).toBe(entryKey(content));
    expect(entryKey({ ...content, selectors: [b, a] })).toBe(entryKey(content));
    expect(entryKey({ ...content, selectors: [b, a, b] })).toBe(entryKey(content));
    expect(createEntry({ ...content, selectors: [b, a, b] }).id).toBe(createEntry(content).id);
  });

  it.each<[string, Partial<EntryContent>]>([
    ["SPIFFE ID", { spiffeId: fixed("c") }],
    ["parent ID", { parentId: fixed("q") }],
    ["selectors", { selectors: content.selectors.slice(1) }],
  ])("differs with the %s", (_what, other) => {
    expect(entryKey({ ...content, ...other })).not.toBe(entryKey(content));
  });

  it.each<[string, Partial<EntryContent>]>([
    ["TTLs", { x509SvidTtl: 9, jwtSvidTtl: 9 }],
    ["federatesWith", { federatesWith: [] }],
    ["admin", { admin: true }],
    ["downstream", { downstream: true }],
    ["dnsNames", { dnsNames: [] }],
  ])("does not differ with %s", (_what, other) => {
    expect(entryKey({ ...content, ...other })).toBe(entryKey(content));
  });
});

describe("row 7: what was rendered", () => {
  function rendered() {
    const started = start();
    const { index } = started;
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ autoPopulateDNSNames: true }));
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "plain", spiffeIDTemplate: fixed("plain") }),
    );
    const entryOf = (name: string) =>
      index.explainRule("ClusterSPIFFEID", name, 1)?.pods[0]?.entry ?? name;
    const before = { all: entryOf("all"), plain: entryOf("plain") };
    const again = () => ({
      all: entryOf("all") !== before.all,
      plain: entryOf("plain") !== before.plain,
    });
    return { ...started, again };
  }

  it("stands while pod, node, object and Services stay the same", () => {
    const { index, again } = rendered();
    index.applyPod(pod());
    index.applyNode(node());
    index.applyNamespace(namespace());
    index.applyResource("ClusterSPIFFEID", rule({ autoPopulateDNSNames: true }));
    index.applyEndpointSlice(slice({ endpoints: [{ name: "other" }] }));
    expect(again()).toEqual({ all: false, plain: false });
  });

  it("is rendered anew when the pod changes", () => {
    const { index, again } = rendered();
    index.applyPod(pod({ annotations: { a: "b" } }));
    expect(again()).toEqual({ all: true, plain: true });
  });

  it("is rendered anew when the node changes", () => {
    const { index, again } = rendered();
    index.applyNode(node("node-1", undefined, { zone: "b" }));
    expect(again()).toEqual({ all: true, plain: true });
  });

  it("is rendered anew when its object changes, and that object alone", () => {
    const { index, again } = rendered();
    index.applyResource("ClusterSPIFFEID", rule({ autoPopulateDNSNames: true, hint: "x" }));
    expect(again()).toEqual({ all: true, plain: false });
  });

  it("is rendered anew when the pod's Services change, where it takes their names", () => {
    const { index, again } = rendered();
    index.applyEndpointSlice(slice());
    expect(again()).toEqual({ all: true, plain: false });
  });
});

describe("selecting as SPIRE does", () => {
  it("row 15: the patterns s([a-z]+)re and default ignore spire and default, not spiffe and kubernetes", () => {
    const { index } = start({ ignoreNamespaces: ["s([a-z]+)re", "default"] });
    const names = ["spire", "default", "spiffe", "kubernetes"];
    for (const name of names) {
      index.applyNamespace(namespace(name));
      index.applyPod(pod({ name, namespace: name }));
    }
    index.applyResource("ClusterSPIFFEID", rule());
    const served = names.filter((name) => index.entriesOfPod(`uid-${name}`).length > 0);
    expect(served).toEqual(["spiffe", "kubernetes"]);
  });

  it("row 15: patterns are not anchored, unless they say so", () => {
    const { index, ids } = start({ ignoreNamespaces: ["kube", "^shop$"] });
    for (const name of ["my-kubes", "shopping"]) {
      index.applyNamespace(namespace(name));
      index.applyPod(pod({ name, namespace: name }));
    }
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule());
    expect(ids("uid-my-kubes")).toEqual([]);
    expect(ids("uid-web")).toEqual([]);
    expect(ids("uid-shopping")).toHaveLength(1);
  });

  const labelled = { matchLabels: { team: "a" } };
  it.each([
    ["no selector", undefined, ["a", "b", "none"]],
    ["an empty one", {}, ["a", "b", "none"]],
    ["one of labels", labelled, ["a"]],
    [
      "one of expressions",
      { matchExpressions: [{ key: "team", operator: "NotIn", values: ["a"] }] },
      ["b", "none"],
    ],
    [
      "labels and expressions at once",
      { ...labelled, matchExpressions: [{ key: "team", operator: "DoesNotExist" }] },
      [],
    ],
  ])("row 19: %s lists the namespaces and pods with such labels", (_what, selector, expected) => {
    const { index } = start();
    const labelsOf = (name: string): Record<string, string> =>
      name === "none" ? {} : { team: name };
    for (const name of ["a", "b", "none"]) {
      index.applyNamespace(namespace(`ns-${name}`, labelsOf(name)));
      index.applyPod(pod({ name: `in-${name}`, namespace: `ns-${name}` }));
      index.applyPod(pod({ name: `pod-${name}`, labels: labelsOf(name) }));
    }
    const all = { namespaceSelector: selector, spiffeIDTemplate: fixed("by-namespace") };
    index.applyResource("ClusterSPIFFEID", rule({ name: "namespaces", ...all }));
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "pods", podSelector: selector, spiffeIDTemplate: fixed("by-pod") }),
    );
    const found = (prefix: string, id: string) =>
      ["a", "b", "none"].filter((name) =>
        index.entriesOfPod(`uid-${prefix}-${name}`).some(({ spiffeId }) => spiffeId === fixed(id)),
      );
    expect(found("in", "by-namespace")).toEqual(expected);
    expect(found("pod", "by-pod")).toEqual(expected);
  });
});
