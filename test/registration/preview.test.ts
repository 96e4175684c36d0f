import { describe, expect, it } from "vitest";
import type { PreviewScope } from "../../src/registration/index.ts";
import { NEW, OLD, start } from "./harness.ts";
import {
  NODE_PARENT,
  alias,
  federated,
  fixed,
  namespace,
  node,
  pod,
  rule,
  slice,
  staticEntry,
} from "./universe.ts";

const SCOPE: PreviewScope = { maxTried: 100, maxShown: 100 };
const NOTHING = { set: 0, masked: 0, unmet: 0, failed: 0, skipped: 0, unscheduled: 0, finished: 0 };

/** An object that is not there yet: it has neither age nor UID. */
function draft(input: object = {}) {
  const { spec } = rule({ ...input });
  return { metadata: { name: "draft" }, spec };
}

describe("the preview of a new ClusterSPIFFEID", () => {
  it("counts what it selects and shows the entries it would give, and writes nothing", () => {
    const { index, ids, changes } = start();
    index.applyNamespace(namespace("kube-system"));
    index.applyPod(pod());
    index.applyPod(pod({ name: "api", labels: { a: "b" } }));
    index.applyPod(pod({ name: "dns", namespace: "kube-system" }));
    index.applyPod(pod({ name: "done", phase: "Succeeded" }));
    index.applyPod(pod({ name: "late", node: undefined }));
    changes.length = 0;
    const preview = index.preview("ClusterSPIFFEID", draft({ hint: "h" }), SCOPE);
    expect(preview).toMatchObject({
      kind: "ClusterSPIFFEID",
      name: "draft",
      foreign: false,
      problems: [],
      doubts: [],
      namespacesSelected: 2,
      namespacesIgnored: 1,
      podsSelected: 4,
      podsTried: 4,
      outcomes: { ...NOTHING, set: 2, finished: 1, unscheduled: 1 },
      duplicates: 0,
    });
    expect(preview.pods.map(({ pod, outcome, clause }) => [pod, outcome, clause])).toEqual([
      ["shop/api", "set", "it gives the pod an entry"],
      ["shop/web", "set", "it gives the pod an entry"],
      ["shop/late", "unscheduled", "it selects the pod, which has no node yet"],
      ["shop/done", "finished", "it selects the pod, which has finished"],
    ]);
    expect(preview.pods[1]?.entry).toMatchObject({
      spiffeId: fixed("ns/shop/sa/till"),
      parentId: NODE_PARENT,
      hint: "h",
    });
    expect(ids()).toEqual([]);
    expect(changes).toEqual([]);
    expect(index.resourceUids("ClusterSPIFFEID")).toEqual([]);
  });

  it("is what applying it gives", () => {
    const { index, stats } = start();
    index.applyPod(pod({ labels: { id: "x" } }));
    index.applyPod(pod({ name: "bad" }));
    index.applyEndpointSlice(slice());
    const spec = {
      spiffeIDTemplate: 'spiffe://example.org/{{ index .PodMeta.Labels "id" }}',
      autoPopulateDNSNames: true,
    };
    const preview = index.preview("ClusterSPIFFEID", rule(spec), SCOPE);
    index.applyResource("ClusterSPIFFEID", rule(spec));
    expect(preview.outcomes).toMatchObject({ set: 1, failed: 1 });
    expect(stats("all")).toMatchObject({ entriesToSet: 1, podEntryRenderFailures: 1 });
    expect(preview.pods.find(({ outcome }) => outcome === "set")?.entry).toEqual(
      index.entriesOfPod("uid-web")[0],
    );
    expect(preview.pods).toEqual(index.explainRule("ClusterSPIFFEID", "all", 10)?.pods);
  });

  it("is masked by any object that is there, as the youngest", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ created: NEW, uid: "zzz" }));
    const preview = index.preview("ClusterSPIFFEID", draft(), SCOPE);
    expect(preview).toMatchObject({
      duplicates: 1,
      outcomes: { ...NOTHING, masked: 1 },
      pods: [{ pod: "shop/web", outcome: "masked", duplicateOf: "ClusterSPIFFEID all" }],
    });
    expect(preview.pods[0]?.clause).toBe(
      "masked by ClusterSPIFFEID all, which gives the same SPIFFE ID for the same selectors",
    );
  });

  it("as sent to the API server has the age and UID it got there", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ name: "b", uid: "b", created: NEW }));
    const older = rule({ name: "a", uid: "a", created: NEW });
    const preview = index.preview("ClusterSPIFFEID", older, SCOPE);
    expect(preview).toMatchObject({
      outcomes: { set: 1 },
      duplicates: 1,
      pods: [{ outcome: "set", duplicateOf: "ClusterSPIFFEID b" }],
    });
  });

  it("that is a fallback is skipped where another gives an entry", () => {
    const { index } = start();
    index.applyPod(pod({ labels: { a: "b" } }));
    index.applyPod(pod({ name: "api" }));
    index.applyResource("ClusterSPIFFEID", rule({ podSelector: { matchLabels: { a: "b" } } }));
    const spec = { fallback: true, spiffeIDTemplate: fixed("f") };
    expect(index.preview("ClusterSPIFFEID", draft(spec), SCOPE)).toMatchObject({
      outcomes: { ...NOTHING, set: 1, skipped: 1 },
      pods: [
        {
          pod: "shop/web",
          outcome: "skipped",
          clause: expect.stringContaining("ClusterSPIFFEID all"),
        },
        { pod: "shop/api", outcome: "set" },
      ],
    });
  });

  it("that keeps a fallback out is no duplicate of it", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ fallback: true }));
    expect(
      index.preview("ClusterSPIFFEID", draft({ spiffeIDTemplate: fixed("x") }), SCOPE),
    ).toMatchObject({
      outcomes: { set: 1 },
      duplicates: 0,
    });
  });
});

describe("the preview of an object that is there", () => {
  it("takes its age and place, whatever the draft says, and no duplicate of itself", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ created: OLD }));
    index.applyResource("ClusterSPIFFEID", rule({ name: "young", created: NEW }));
    const edited = { metadata: { name: "all" }, spec: rule({ hint: "new" }).spec };
    const preview = index.preview("ClusterSPIFFEID", edited, SCOPE);
    expect(preview).toMatchObject({ duplicates: 0, outcomes: { ...NOTHING, set: 1 } });
    expect(preview.pods[0]?.entry).toMatchObject({ hint: "new", source: { uid: "uid-all" } });
    expect(preview.pods[0]?.entry?.id).toBe(index.entriesOfPod("uid-web")[0]?.id);
    expect(index.entriesOfPod("uid-web")[0]?.hint).toBe("");
  });

  it("is a duplicate of an object whose entry it would come to equal", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ created: OLD, spiffeIDTemplate: fixed("own") }));
    index.applyResource("ClusterSPIFFEID", rule({ name: "young", created: NEW }));
    const preview = index.preview(
      "ClusterSPIFFEID",
      { ...rule(), metadata: { name: "all" } },
      SCOPE,
    );
    expect(preview.pods).toMatchObject([{ outcome: "set", duplicateOf: "ClusterSPIFFEID young" }]);
  });

  it("lets its fallback in where its new form fails", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ fallback: true, name: "f" }));
    index.applyResource("ClusterSPIFFEID", rule());
    const edited = rule({ spiffeIDTemplate: "spiffe://other/x" });
    expect(index.preview("ClusterSPIFFEID", edited, SCOPE)).toMatchObject({
      outcomes: { ...NOTHING, failed: 1 },
      pods: [
        {
          outcome: "failed",
          clause: expect.stringMatching(/^render failed: spec\.spiffeIDTemplate/),
        },
      ],
    });
    const made = rule({ fallback: true, spiffeIDTemplate: fixed("other") });
    expect(index.preview("ClusterSPIFFEID", made, SCOPE).outcomes.set).toBe(1);
  });

  it("selects by its new selectors, not by the ones it has", () => {
    const { index } = start();
    index.applyPod(pod({ labels: { app: "web" } }));
    index.applyPod(pod({ name: "api", labels: { app: "api" } }));
    const selecting = (app: string) => rule({ podSelector: { matchLabels: { app } } });
    index.applyResource("ClusterSPIFFEID", selecting("web"));
    const preview = index.preview("ClusterSPIFFEID", selecting("api"), SCOPE);
    expect(preview.pods.map(({ pod }) => pod)).toEqual(["shop/api"]);
  });

  it("of another kind and the same name is another object", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ name: "x" }));
    const entry = { metadata: { name: "x" }, spec: staticEntry().spec };
    const preview = index.preview("ClusterStaticEntry", entry, SCOPE);
    expect(preview.pods[0]?.entry?.source).toEqual({
      kind: "ClusterStaticEntry",
      name: "x",
      uid: "new ClusterStaticEntry x",
    });
  });
});

describe("how far a preview goes", () => {
  function many() {
    const { index } = start();
    const label = 'spiffe://example.org/{{ index .PodMeta.Labels "id" }}';
    for (const name of ["f", "d", "b"]) index.applyPod(pod({ name }));
    for (const name of ["e", "c", "a"]) index.applyPod(pod({ name, labels: { id: name } }));
    index.applyPod(pod({ name: "m", labels: { id: "shared" } }));
    index.applyResource("ClusterSPIFFEID", rule({ spiffeIDTemplate: fixed("shared") }));
    const preview = (scope: Partial<PreviewScope>) =>
      index.preview("ClusterSPIFFEID", draft({ spiffeIDTemplate: label }), { ...SCOPE, ...scope });
    return { index, preview };
  }

  it("shows failures first, then duplicates, then the rest, each by name", () => {
    expect(
      many()
        .preview({})
        .pods.map(({ pod, outcome }) => `${pod} ${outcome}`),
    ).toEqual([
      "shop/b failed",
      "shop/d failed",
      "shop/f failed",
      "shop/m masked",
      "shop/a set",
      "shop/c set",
      "shop/e set",
    ]);
  });

  it("shows pods that it takes from a younger object before those that only it serves", () => {
    const { index } = start();
    index.applyPod(pod({ name: "a" }));
    index.applyPod(pod({ name: "z", labels: { twice: "yes" } }));
    index.applyResource("ClusterSPIFFEID", rule({ created: OLD, spiffeIDTemplate: fixed("own") }));
    const podSelector = { matchLabels: { twice: "yes" } };
    index.applyResource("ClusterSPIFFEID", rule({ name: "young", created: NEW, podSelector }));
    const edited = { metadata: { name: "all" }, spec: rule().spec };
    expect(index.preview("ClusterSPIFFEID", edited, SCOPE).pods).toMatchObject([
      { pod: "shop/z", outcome: "set", duplicateOf: "ClusterSPIFFEID young" },
      { pod: "shop/a", outcome: "set" },
    ]);
  });

  it("shows no more than asked for, and counts all that were tried", () => {
    const preview = many().preview({ maxShown: 4 });
    expect(preview.pods.map(({ pod }) => pod)).toEqual(["shop/b", "shop/d", "shop/f", "shop/m"]);
    expect(preview).toMatchObject({
      podsSelected: 7,
      podsTried: 7,
      duplicates: 1,
      outcomes: { failed: 3, masked: 1, set: 3 },
    });
  });

  it("tries no more than asked for, and counts all that are selected", () => {
    const preview = many().preview({ maxTried: 2 });
    expect(preview).toMatchObject({ podsSelected: 7, podsTried: 2 });
    expect(Object.values(preview.outcomes).reduce((sum, n) => sum + n)).toBe(2);
    expect(preview.pods).toHaveLength(2);
    expect(many().preview({ maxTried: 0 })).toMatchObject({ podsTried: 0, pods: [] });
  });

  it("tries whole pods where they are given, and those alone", () => {
    const { index, preview } = many();
    const whole = pod({ name: "f", labels: { id: "whole" } });
    const found = preview({ pods: new Map([["uid-f", whole]]) });
    expect(found).toMatchObject({ podsSelected: 7, podsTried: 1, outcomes: { set: 1 } });
    expect(found.pods[0]?.entry?.spiffeId).toBe(fixed("whole"));
    expect(index.pod("uid-f")?.metadata.labels).toBeUndefined();
  });
});

describe("what a preview finds wrong", () => {
  it("is all of what the check finds; then no pod is tried", () => {
    const { index } = start();
    index.applyPod(pod());
    const spec = { ttl: "x", spiffeIDTemplate: "{{", federatesWith: ["B"] };
    const preview = index.preview("ClusterSPIFFEID", draft(spec), SCOPE);
    expect(preview.problems).toEqual(index.check("ClusterSPIFFEID", rule(spec)));
    expect(preview.problems.map(({ field, reason }) => `${field} ${reason}`)).toEqual([
      "spec.spiffeIDTemplate InvalidTemplate",
      "spec.ttl InvalidDuration",
      "spec.federatesWith[0] InvalidTrustDomain",
    ]);
    expect(preview).toMatchObject({ podsSelected: 0, podsTried: 0, pods: [], doubts: [] });
    expect(preview.outcomes).toEqual(NOTHING);
  });

  it("is nothing for an object of another class, which is not tried", () => {
    const { index } = start({ className: "mine" });
    index.applyPod(pod());
    expect(
      index.preview("ClusterSPIFFEID", draft({ className: "theirs", ttl: "x" }), SCOPE),
    ).toMatchObject({
      foreign: true,
      problems: [],
      doubts: [],
      podsSelected: 0,
    });
  });

  it("is a field that does not exist, where the template is sure to come to it", () => {
    const { index } = start();
    index.applyPod(pod());
    const spiffeIDTemplate = "spiffe://example.org/{{ .PodMeta.Nope }}";
    const preview = index.preview("ClusterSPIFFEID", draft({ spiffeIDTemplate }), SCOPE);
    expect(preview.problems).toMatchObject([
      { reason: "InvalidTemplate", field: "spec.spiffeIDTemplate" },
    ]);
    expect(preview.problems[0]?.message).toMatch(
      /^spec\.spiffeIDTemplate: 1:\d+: <\.PodMeta\.Nope>: can't evaluate field Nope/,
    );
    expect(preview.podsTried).toBe(0);
    expect(index.check("ClusterSPIFFEID", draft({ spiffeIDTemplate }))).toEqual(preview.problems);
  });

  it("is only doubted where a condition leads to it, and the pods are tried", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyPod(pod({ name: "api", labels: { odd: "yes" } }));
    const dnsNameTemplates = [
      "a.b",
      '{{ if index .PodMeta.Labels "odd" }}{{ .PodSpec.Nope }}{{ end }}x',
    ];
    const preview = index.preview("ClusterSPIFFEID", draft({ dnsNameTemplates }), SCOPE);
    expect(preview.problems).toEqual([]);
    expect(preview.doubts).toMatchObject([
      { reason: "InvalidTemplate", field: "spec.dnsNameTemplates[1]" },
    ]);
    expect(preview.doubts[0]?.message).toMatch(
      /^spec\.dnsNameTemplates\[1\]: 1:\d+: <\.PodSpec\.Nope>: can't evaluate field Nope .*; fails for every pod for which this part is executed$/,
    );
    expect(preview.outcomes).toMatchObject({ set: 1, failed: 1 });
    expect(index.check("ClusterSPIFFEID", draft({ dnsNameTemplates }))).toEqual([]);
  });

  it("is a missing bundle, and flags that have no effect: doubts, not problems", () => {
    const { index } = start();
    const spec = {
      federatesWith: ["b.example", "partner.example", "example.org"],
      admin: true,
      downstream: true,
    };
    index.applyResource(
      "ClusterFederatedTrustDomain",
      federated({ trustDomainBundle: '{"keys":[]}' }),
    );
    const doubts = [
      {
        reason: "BundleMissing",
        field: "spec.federatesWith",
        message:
          'spec.federatesWith: there is no bundle of "b.example"; SVIDs are issued without it until a ClusterFederatedTrustDomain brings one',
      },
      {
        reason: "NoEffect",
        field: "spec.admin",
        message: "spec.admin: is kept in the entry, and gives no rights in Signet",
      },
      {
        reason: "NoEffect",
        field: "spec.downstream",
        message: "spec.downstream: is kept in the entry, and gives no rights in Signet",
      },
    ];
    expect(index.preview("ClusterSPIFFEID", draft(spec), SCOPE)).toMatchObject({
      problems: [],
      doubts,
    });
    expect(index.preview("ClusterStaticEntry", staticEntry(spec), SCOPE).doubts).toEqual(doubts);
  });
});

describe("the preview of a ClusterStaticEntry", () => {
  it("tries the pods that have its selectors on a node with its parent", () => {
    const { index } = start();
    index.applyNode(node("node-2"));
    index.applyNamespace(namespace("kube-system"));
    index.applyPod(pod());
    index.applyPod(pod({ name: "dns", namespace: "kube-system" }));
    index.applyPod(pod({ name: "far", node: "node-2" }));
    const preview = index.preview(
      "ClusterStaticEntry",
      staticEntry({ selectors: ["k8s:sa:till"] }),
      SCOPE,
    );
    expect(preview).toMatchObject({
      kind: "ClusterStaticEntry",
      namespacesSelected: 0,
      namespacesIgnored: 0,
      podsSelected: 2,
      outcomes: { ...NOTHING, set: 2 },
    });
    expect(preview.pods.map(({ pod }) => pod)).toEqual(["kube-system/dns", "shop/web"]);
  });

  it("tells of its duplicates", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterStaticEntry", staticEntry({ name: "there" }));
    const entry = { metadata: { name: "draft" }, spec: staticEntry().spec };
    expect(index.preview("ClusterStaticEntry", entry, SCOPE)).toMatchObject({
      duplicates: 1,
      pods: [{ outcome: "masked", duplicateOf: "ClusterStaticEntry there" }],
    });
  });

  it("that gives an alias tries no pods", () => {
    const { index } = start();
    index.applyPod(pod());
    expect(index.preview("ClusterStaticEntry", alias(), SCOPE)).toMatchObject({
      problems: [],
      podsSelected: 0,
      pods: [],
    });
  });

  it("tells what is wrong with it", () => {
    const { index } = start();
    const preview = index.preview("ClusterStaticEntry", staticEntry({ selectors: [] }), SCOPE);
    expect(preview.problems).toMatchObject([{ field: "spec.selectors" }]);
  });
});
