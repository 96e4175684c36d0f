import { describe, expect, it } from "vitest";
import { NEW, OLD, start } from "./harness.ts";
import { fixed, pod, rule } from "./universe.ts";

/** Which of several objects counts for a pod: rules of SPIRE's controller that it has no tests for. */

describe("masking", () => {
  const LATER = "2026-03-01T00:00:00Z";
  it.each([
    ["older creation", { created: OLD, uid: "z" }, { created: NEW, uid: "a" }],
    ["age before deletion", { created: OLD, deleted: LATER }, { created: NEW }],
    ["not deleting before deleting", { uid: "z" }, { uid: "a", deleted: NEW }],
    ["the later deletion", { uid: "z", deleted: LATER }, { uid: "a", deleted: NEW }],
    ["the smaller UID", { uid: "a" }, { uid: "b" }],
    [
      "the smaller UID among those deleted at once",
      { uid: "a", deleted: NEW },
      { uid: "b", deleted: NEW },
    ],
  ])("prefers by %s, in whatever order they come", (_what, winner, loser) => {
    for (const order of ["winner first", "loser first"]) {
      const { index } = start();
      index.applyPod(pod());
      const objects = [
        rule({ name: "winner", hint: "w", ...winner }),
        rule({ name: "loser", hint: "l", ...loser }),
      ];
      for (const object of order === "winner first" ? objects : objects.toReversed()) {
        index.applyResource("ClusterSPIFFEID", object);
      }
      expect(index.entriesOfPod("uid-web").map(({ hint }) => hint)).toEqual(["w"]);
    }
  });

  it("ends for the other once the winner begins to be deleted, at the same age", () => {
    const { index } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ name: "a", hint: "a" }));
    index.applyResource("ClusterSPIFFEID", rule({ name: "b", hint: "b" }));
    expect(index.entriesOfPod("uid-web")[0]?.hint).toBe("a");
    index.applyResource("ClusterSPIFFEID", rule({ name: "a", hint: "a", deleted: NEW }));
    expect(index.entriesOfPod("uid-web")[0]?.hint).toBe("b");
  });

  it("is between equal IDs and selectors only: TTL, names, hint and flags play no part, other selectors do", () => {
    const { index, ids } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", rule({ name: "a" }));
    const other = { ttl: "1m", jwtTtl: "1m", hint: "h", admin: true, downstream: true };
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "b", ...other, dnsNameTemplates: ["a.b"], federatesWith: ["x.y"] }),
    );
    expect(ids()).toHaveLength(1);
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "c", workloadSelectorTemplates: ["k8s:ns:shop"] }),
    );
    expect(ids()).toHaveLength(2);
    index.applyResource(
      "ClusterSPIFFEID",
      rule({ name: "d", workloadSelectorTemplates: ["k8s:ns:shop", "k8s:ns:shop"] }),
    );
    expect(ids(), "a repeated selector is the same set").toHaveLength(2);
  });
});

describe("fallback", () => {
  const fallback = (input: object = {}) =>
    rule({ name: "fallback", fallback: true, spiffeIDTemplate: fixed("fallback"), ...input });

  it("comes after the others even if it is older", () => {
    const { index, ids } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", fallback({ created: OLD }));
    index.applyResource("ClusterSPIFFEID", rule({ created: NEW }));
    expect(ids()).toEqual([fixed("ns/shop/sa/till")]);
  });

  it("is by pod: another pod still gets it", () => {
    const { index, ids } = start();
    index.applyPod(pod({ labels: { app: "x" } }));
    index.applyPod(pod({ name: "api" }));
    index.applyResource("ClusterSPIFFEID", fallback());
    index.applyResource("ClusterSPIFFEID", rule({ podSelector: { matchLabels: { app: "x" } } }));
    expect(ids("uid-web")).toEqual([fixed("ns/shop/sa/till")]);
    expect(ids("uid-api")).toEqual([fixed("fallback")]);
  });

  it("is let through by a specific object that fails, and kept out again when that is mended", () => {
    const { index, ids } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", fallback());
    index.applyResource("ClusterSPIFFEID", rule({ spiffeIDTemplate: "spiffe://other/x" }));
    expect(ids()).toEqual([fixed("fallback")]);
    index.applyResource("ClusterSPIFFEID", rule({ generation: 2 }));
    expect(ids()).toEqual([fixed("ns/shop/sa/till")]);
    index.removeResource("ClusterSPIFFEID", "uid-all");
    expect(ids()).toEqual([fixed("fallback")]);
  });

  it("is kept out by an object whose entry is masked or whose selector is not true: it rendered", () => {
    const { index, ids, stats } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", fallback());
    index.applyResource("ClusterSPIFFEID", rule({ workloadSelectorTemplates: ["k8s:ns:other"] }));
    expect(ids()).toEqual([]);
    expect(stats("fallback")).toMatchObject({ podsSelected: 1, entriesToSet: 0 });
  });

  it("is kept out by objects of its own class only", () => {
    const { index, ids } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", fallback());
    index.applyResource("ClusterSPIFFEID", rule({ className: "other" }));
    expect(ids()).toEqual([fixed("fallback")]);
  });

  it("applies twice when there are two, and equal ones mask each other", () => {
    const { index, ids, stats } = start();
    index.applyPod(pod());
    index.applyResource("ClusterSPIFFEID", fallback({ name: "f1" }));
    index.applyResource(
      "ClusterSPIFFEID",
      fallback({ name: "f2", spiffeIDTemplate: fixed("second") }),
    );
    index.applyResource("ClusterSPIFFEID", fallback({ name: "f3" }));
    expect(ids()).toEqual([fixed("fallback"), fixed("second")]);
    expect(stats("f3")).toMatchObject({ entriesMasked: 1, entriesToSet: 0 });
  });
});
