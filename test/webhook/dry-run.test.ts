import { describe, expect, it } from "vitest";
import type { Preview } from "../../src/registration/types.ts";
import { dryRunWarnings } from "../../src/webhook/dry-run.ts";
import { outcomesOf, podOf, previewOf, problem } from "./previews.ts";

const quiet = (changes: Partial<Preview> = {}, alias = false): string[] =>
  dryRunWarnings(previewOf(changes), { summary: false, alias });
const full = (changes: Partial<Preview> = {}): string[] =>
  dryRunWarnings(previewOf(changes), { summary: true, alias: false });
const none = { outcomes: outcomesOf({}) };

describe("what a dry run warns of", () => {
  it("is nothing while every pod gets an identity", () => {
    expect(quiet()).toEqual([]);
  });

  it("is nothing where pods get none for a good reason", () => {
    const outcomes = outcomesOf({ set: 1, skipped: 2, unscheduled: 3, finished: 4 });
    expect(quiet({ outcomes })).toEqual([]);
  });

  it("is a selector without a namespace", () => {
    expect(quiet({ ...none, namespacesSelected: 0 })).toEqual([
      "selects no namespace now, and so gives nothing",
    ]);
  });

  it("is a selector of ignored namespaces alone", () => {
    expect(quiet({ ...none, namespacesSelected: 2, namespacesIgnored: 2 })).toEqual([
      "selects only namespaces that the operator ignores (2)",
    ]);
  });

  it("is a selector without a pod", () => {
    expect(quiet({ ...none, namespacesSelected: 2, namespacesIgnored: 1 })).toEqual([
      "selects no pod now in 1 namespace, and so gives nothing",
    ]);
  });

  it("is a static entry that no pod matches, unless it is about nodes", () => {
    const entry = { ...none, kind: "ClusterStaticEntry", namespacesSelected: 0 } as const;
    expect(quiet(entry)).toEqual(["no pod has all of its selectors now"]);
    expect(quiet(entry, true)).toEqual([]);
  });

  it("is each doubt about the spec", () => {
    const doubts = [problem("spec.hint", "is also the hint of ClusterSPIFFEID other")];
    expect(quiet({ doubts })).toEqual(["spec.hint: is also the hint of ClusterSPIFFEID other"]);
  });

  it("is pods that would fail, with the first of them and why", () => {
    const clause = 'spec.dnsNameTemplates[1]: "not ok" is no DNS name';
    const pods = [podOf("shop/web-1", { outcome: "failed", clause }), podOf("shop/web-2")];
    expect(quiet({ outcomes: outcomesOf({ set: 12, failed: 2 }), pods })).toEqual([
      `would fail for 2 of 14 selected pods now, e.g. shop/web-1: ${clause}`,
    ]);
  });

  it("is on two lines where an example is long", () => {
    const pods = [podOf("shop/web-1", { outcome: "failed", clause: "x".repeat(150) })];
    expect(quiet({ outcomes: outcomesOf({ failed: 1 }), pods })).toEqual([
      "would fail for 1 of 1 selected pod now",
      `e.g. shop/web-1: ${"x".repeat(150)}`,
    ]);
  });

  it("says when only a sample was tried", () => {
    const outcomes = outcomesOf({ set: 98, failed: 2 });
    expect(quiet({ outcomes, podsTried: 100, podsSelected: 20_000, pods: [] })).toEqual([
      "would fail for 2 of 100 tried of 20000 selected pods now",
    ]);
  });

  it("is a selector that is not true of a pod", () => {
    const pods = [podOf("shop/web-1", { outcome: "unmet", clause: "k8s:sa:web is not true" })];
    expect(quiet({ outcomes: outcomesOf({ unmet: 1, set: 1 }), pods })).toEqual([
      "would give no identity to 1 of 2 selected pods now, which lack a selector, e.g. shop/web-1: k8s:sa:web is not true",
    ]);
  });

  it("is an entry that other objects give already, and which", () => {
    const pods = ["a", "b", "b", "c", "d"].map((name, at) =>
      podOf(`shop/web-${at}`, { outcome: "masked", duplicateOf: `ClusterSPIFFEID ${name}` }),
    );
    const outcomes = outcomesOf({ masked: 5, set: 1 });
    expect(quiet({ outcomes, duplicates: 5, pods: pods.slice(0, 3) })).toEqual([
      "duplicates entries of ClusterSPIFFEID a, ClusterSPIFFEID b for 5 of 6 selected pods now, e.g. shop/web-0: spiffe://example.org/shop/web-0",
    ]);
    expect(quiet({ outcomes, duplicates: 5, pods })[0]).toContain(
      "ClusterSPIFFEID a, ClusterSPIFFEID b, ClusterSPIFFEID c and others",
    );
    expect(quiet({ outcomes, duplicates: 5, pods: [] })).toEqual([
      "duplicates entries of another object for 5 of 6 selected pods now",
    ]);
  });

  it("is nothing for another operator's object", () => {
    expect(full({ ...none, foreign: true })).toEqual([]);
  });
});

describe("the summary", () => {
  it("counts, and shows three pods with what they get", () => {
    const pods = [
      podOf("shop/web-1", { dnsNames: ["web.shop", "web"] }),
      ...["shop/web-2", "shop/web-3", "shop/web-4"].map((name) => podOf(name)),
    ];
    expect(full({ outcomes: outcomesOf({ set: 4 }), namespacesIgnored: 1, pods })).toEqual([
      "would give an identity to 4 of 4 selected pods now in 1 namespace",
      "e.g. shop/web-1: spiffe://example.org/shop/web-1 with DNS names web.shop, web",
      "e.g. shop/web-2: spiffe://example.org/shop/web-2",
      "e.g. shop/web-3: spiffe://example.org/shop/web-3",
    ]);
  });

  it("says why the others get nothing, after the warnings", () => {
    const outcomes = outcomesOf({
      set: 1,
      failed: 2,
      masked: 3,
      skipped: 4,
      unscheduled: 5,
      finished: 6,
    });
    expect(full({ outcomes, pods: [] })).toEqual([
      "would fail for 2 of 21 selected pods now",
      "would give an identity to 1 of 21 selected pods now in 2 namespaces; not to 2 failing, 3 with an equal entry of another object, 4 left to other objects, as this is a fallback, 5 without a node yet, 6 finished",
    ]);
  });

  it("shows nobody as an example who gets nothing", () => {
    const pods = [podOf("shop/web-1", { outcome: "failed", clause: "no" }), podOf("shop/web-2")];
    const lines = full({ outcomes: outcomesOf({ set: 1, failed: 1 }), pods });
    expect(lines.slice(2)).toEqual(["e.g. shop/web-2: spiffe://example.org/shop/web-2"]);
  });

  it("of a static entry counts no namespaces, as it selects none", () => {
    const entry = { kind: "ClusterStaticEntry", namespacesSelected: 0 } as const;
    expect(full(entry)[0]).toBe("would give an identity to 3 of 3 selected pods now");
  });

  it("adds nothing where nothing is selected, which is a warning already", () => {
    expect(full({ ...none, namespacesSelected: 0 })).toHaveLength(1);
  });
});
