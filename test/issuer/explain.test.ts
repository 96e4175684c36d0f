import { expect, it } from "vitest";
import { explainAbsence } from "../../src/issuer/explain.ts";
import type { Explanation } from "../../src/registration/types.ts";

function explanation(rule: string, selects: Explanation["selects"], clause = "why"): Explanation {
  return {
    kind: "ClusterSPIFFEID",
    rule,
    ruleUid: `uid-${rule}`,
    matched: false,
    selects,
    clause,
  };
}

it("says that there is nothing where there is nothing", () => {
  expect(explainAbsence([])).toMatch(/no ClusterSPIFFEID/);
});

it("tells first what came closest to selecting the pod, and keeps the order otherwise", () => {
  const text = explainAbsence([
    explanation("far-1", "neither"),
    explanation("invalid", "untried"),
    explanation("near-1", "namespace"),
    explanation("failed", "pod"),
    explanation("far-2", "neither"),
    explanation("near-2", "namespace"),
  ]);
  expect(text.match(/(?<=ClusterSPIFFEID )[^:]+/g)).toEqual([
    "failed",
    "near-1",
    "near-2",
    "invalid",
    "far-1",
    "far-2",
  ]);
});

it("names the one that nearly selects the pod behind any number of others, within an event's length", () => {
  const others = Array.from({ length: 500 }, (_, at) =>
    explanation(`other-${at}`, "neither", "namespaceSelector does not match ".repeat(20)),
  );
  const text = explainAbsence([
    ...others,
    explanation("mine", "namespace", "it requires tier=gold"),
  ]);
  expect(text).toMatch(/^ClusterSPIFFEID mine: it requires tier=gold; ClusterSPIFFEID other-0: /);
  expect(text).toMatch(/…; and \d+ more$/);
  expect(text.length).toBeLessThan(960);
  const told = text.match(/ClusterSPIFFEID/g)?.length ?? 0;
  expect(text).toContain(`and ${501 - told} more`);
});
