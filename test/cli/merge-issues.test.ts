import { describe, expect, it } from "vitest";
import { mergePods, mergeRules } from "../../src/cli/merge-issues.ts";
import type { FailureView, IssuedView, PodView, RuleView } from "../../src/inspect/ports.ts";

const at = (minute: number): string => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();
const issued = (minute: number): IssuedView => ({
  by: "renew",
  at: at(minute),
  until: at(minute + 60),
  spiffeIds: ["id"],
});
const failed = (minute: number): FailureView => ({
  by: "renew",
  at: at(minute),
  code: "UNAVAILABLE",
  message: "away",
});

function pod(content: Partial<PodView> = {}): PodView {
  return {
    kind: "Pod",
    namespace: "shop",
    name: "web",
    uid: "u",
    serviceAccount: "default",
    phase: "Running",
    entries: [],
    considered: [],
    ...content,
  };
}

describe("the answers of several replicas about a pod", () => {
  it("are the first one's, with the newest issue and the newest error of all", () => {
    const merged = mergePods(
      { replica: "a", view: pod({ lastIssued: issued(1), phase: "Pending" }) },
      [
        {
          replica: "b",
          view: pod({ lastIssued: issued(3), lastIssuedJwt: issued(4), lastError: failed(1) }),
        },
        {
          replica: "c",
          view: pod({ lastIssued: issued(2), lastIssuedJwt: issued(5), lastError: failed(2) }),
        },
      ],
    );
    expect(merged).toEqual(
      pod({
        phase: "Pending",
        lastIssued: { ...issued(3), replica: "b" },
        lastIssuedJwt: { ...issued(5), replica: "c" },
        lastError: { ...failed(2), replica: "c" },
      }),
    );
  });

  it("stay as they are when nobody issued anything", () => {
    expect(mergePods({ replica: "a", view: pod() }, [{ replica: "b", view: pod() }])).toEqual(
      pod(),
    );
  });

  it("do not mix two pods of one name", () => {
    const earlier = pod({ uid: "earlier", lastIssued: issued(9) });
    expect(mergePods({ replica: "a", view: pod() }, [{ replica: "b", view: earlier }])).toEqual(
      pod(),
    );
  });
});

it("merges the pods of a custom resource by name", () => {
  const rule = (pods: RuleView["pods"]): RuleView => ({
    kind: "ClusterSPIFFEID",
    name: "web",
    uid: "u",
    clause: "it is in effect",
    pods,
  });
  const one = { pod: "shop/one", outcome: "set", clause: "ok" } as const;
  const two = { pod: "shop/two", outcome: "set", clause: "ok" } as const;
  const merged = mergeRules(
    { replica: "a", view: rule([one, { ...two, lastIssued: issued(5) }]) },
    [
      {
        replica: "b",
        view: rule([
          { ...two, lastIssued: issued(4) },
          { ...one, lastError: failed(1) },
        ]),
      },
      { replica: "c", view: rule([]) },
    ],
  );
  expect(merged).toEqual(
    rule([
      { ...one, lastError: { ...failed(1), replica: "b" } },
      { ...two, lastIssued: { ...issued(5), replica: "a" } },
    ]),
  );
});
