import { describe, expect, it } from "vitest";
import { manualClock } from "../../src/core/clock.ts";
import type { ManualClock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import type { Preview } from "../../src/registration/types.ts";
import type { Previewer } from "../../src/webhook/ports.ts";
import { parseReview } from "../../src/webhook/review.ts";
import type { Verdict } from "../../src/webhook/review.ts";
import { resourceValidator } from "../../src/webhook/validate.ts";
import { recordingLog } from "../csi/fixtures.ts";
import { eventually } from "../controllers/cluster.ts";
import { outcomesOf, previewerOf, previewOf, problem, resourceReview, SHOP } from "./previews.ts";

interface Setting {
  readonly previewer?: Partial<Previewer>;
  readonly clock?: ManualClock;
  readonly log?: ReturnType<typeof recordingLog>;
}

type Review = Parameters<typeof resourceReview>;

/** Asks a validator about an object; by default one that is new, ours and valid. */
async function ask(
  object: Review[0],
  changes: Review[1] = {},
  { previewer = {}, clock = manualClock(), log = recordingLog() }: Setting = {},
): Promise<Verdict> {
  const validate = resourceValidator({ previewer: previewerOf(previewer), clock, log });
  return await validate(parseReview(JSON.stringify(resourceReview(object, changes))));
}

/** The warnings that an object is admitted with. */
async function warningsOf(...about: Parameters<typeof ask>): Promise<readonly string[]> {
  const verdict = await ask(...about);
  if ("refused" in verdict) throw new Error(verdict.refused.message);
  return verdict.warnings ?? [];
}

const TTL = problem("spec.ttl", '"soon" is not a duration');
const wrong: Setting = {
  previewer: { check: () => [TTL], checkFederatedTrustDomain: () => [TTL] },
};
const nothing: Partial<Previewer> = {
  preview: async () => previewOf({ outcomes: outcomesOf({}), namespacesSelected: 0 }),
};
const spec = { ttl: "soon" };
const admitted = (outcome: string, warnings: readonly string[] = []): Verdict => ({
  patch: [],
  outcome,
  warnings,
});
const SELECTS_NOTHING = `${SHOP}: selects no namespace now, and so gives nothing`;
const SUMMARY = `${SHOP}: would give an identity to 3 of 3 selected pods now in 2 namespaces`;

describe("a spec that can never work", () => {
  it.each(["ClusterSPIFFEID", "ClusterStaticEntry", "ClusterFederatedTrustDomain"])(
    "is refused for a new %s, with the field and what is wrong",
    async (kind) => {
      expect(await ask({ spec }, { kind }, wrong)).toEqual({
        refused: {
          group: "spire.spiffe.io",
          kind,
          name: "shop",
          message: `${kind} "shop" is invalid: spec.ttl: "soon" is not a duration`,
          causes: [{ field: "spec.ttl", message: '"soon" is not a duration' }],
        },
      });
    },
  );

  it("is refused in an update that changes the spec", async () => {
    const oldObject = { metadata: { name: "shop" }, spec: { ttl: "1h" } };
    const verdict = await ask({ spec }, { operation: "UPDATE", oldObject }, wrong);
    expect(verdict).toHaveProperty("refused");
  });

  it("is refused although the old one was wrong in another way", async () => {
    const oldObject = { metadata: { name: "shop" }, spec: { ttl: "later" } };
    const verdict = await ask({ spec }, { operation: "UPDATE", oldObject }, wrong);
    expect(verdict).toHaveProperty("refused");
  });

  it("is not tried against pods", async () => {
    let tried = 0;
    const preview = async (): Promise<Preview> => {
      tried += 1;
      return previewOf();
    };
    await ask({ spec }, {}, { previewer: { ...wrong.previewer, preview } });
    expect(tried).toBe(0);
  });

  it("is refused as well when only the dry run finds it", async () => {
    const preview = async (): Promise<Preview> => previewOf({ problems: [TTL] });
    expect(await ask({ spec }, {}, { previewer: { preview } })).toHaveProperty("refused");
  });

  it("is judged by its own checker and as the object that came", async () => {
    const seen: unknown[] = [];
    const previewer: Partial<Previewer> = {
      check: (kind, object) => (seen.push([kind, object]), []),
      checkFederatedTrustDomain: (of) => (seen.push(of), []),
    };
    await ask({ spec: { a: 1 } }, { kind: "ClusterStaticEntry" }, { previewer });
    await ask({ spec: { b: 2 } }, { kind: "ClusterFederatedTrustDomain" }, { previewer });
    expect(seen).toEqual([
      ["ClusterStaticEntry", { metadata: { name: "shop" }, spec: { a: 1 } }],
      { b: 2 },
    ]);
  });
});

describe("an object that is let through although it is wrong", () => {
  it("is one of another operator's class", async () => {
    const foreign = { spec: { ...spec, className: "other" } };
    expect(await ask(foreign, {}, wrong)).toEqual(admitted("of another class"));
    const ours = { spec: { ...spec, className: "signet" } };
    expect(await ask(ours, {}, wrong)).toHaveProperty("refused");
  });

  it("is one whose update leaves the spec as it was, in whatever order of keys", async () => {
    const old = { a: { x: 1, y: [2] }, b: 3 };
    const oldObject = { metadata: { name: "shop" }, spec: old };
    const object = {
      metadata: { name: "shop", labels: { a: "b" } },
      spec: { b: 3, a: { y: [2], x: 1 } },
    };
    const verdict = await ask(object, { operation: "UPDATE", oldObject }, wrong);
    expect(verdict).toEqual(admitted("spec unchanged"));
  });

  it("is one that is being deleted, so that its finalizers can go", async () => {
    const metadata = { name: "shop", deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: [] };
    const oldObject = { metadata: { name: "shop" }, spec: {} };
    const changes = { operation: "UPDATE", oldObject, dryRun: true };
    expect(await ask({ metadata, spec }, changes, wrong)).toEqual(admitted("being deleted"));
  });

  it.each([
    { operation: "DELETE" },
    { operation: "CONNECT" },
    { operation: "UPDATE", subResource: "status" },
  ])("is in a request that brings no spec: %o", async (changes) => {
    expect(await ask({ spec }, changes, wrong)).toEqual(admitted("not a new spec"));
  });
});

it("refuses to judge another kind", async () => {
  await expect(ask({ spec }, { kind: "ClusterThing" })).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    message: "cannot validate a ClusterThing",
  });
});

describe("warnings", () => {
  it("are none for an object that does what it should", async () => {
    expect(await ask({ spec })).toEqual(admitted("valid"));
  });

  it("name the object that the dry run is about", async () => {
    const verdict = await ask({ spec }, {}, { previewer: nothing });
    expect(verdict).toEqual(admitted("valid", [SELECTS_NOTHING]));
  });

  it("leave room for the sentence where the name is long", async () => {
    const metadata = { name: "n".repeat(253) };
    const warnings = await warningsOf({ metadata, spec }, {}, { previewer: nothing });
    const name = `${"n".repeat(63)}…`;
    expect(warnings).toEqual([SELECTS_NOTHING.replace("shop", name)]);
  });

  it("spare a static entry for nodes the remark that it selects no pod", async () => {
    const preview = async (): Promise<Preview> =>
      previewOf({ kind: "ClusterStaticEntry", outcomes: outcomesOf({}) });
    const kind = "ClusterStaticEntry";
    const alias = { spec: { parentID: "spiffe://example.org/spire/server" } };
    const entry = { spec: { parentID: "spiffe://example.org/node" } };
    expect(await ask(alias, { kind }, { previewer: { preview } })).toEqual(admitted("valid"));
    expect(await ask(entry, { kind }, { previewer: { preview } })).toEqual(
      admitted("valid", ["ClusterStaticEntry shop: no pod has all of its selectors now"]),
    );
  });

  it("tell what a valid object gives when the request is a dry run", async () => {
    const warnings = await warningsOf({ spec }, { dryRun: true });
    expect(warnings).toHaveLength(4);
    expect(warnings[0]).toBe(SUMMARY);
  });

  it.each([
    ["true", SUMMARY],
    ["false", undefined],
  ])("tell it with the annotation set to %j as well: %j", async (value, first) => {
    const metadata = { name: "shop", annotations: { "signet.dev/dry-run-summary": value } };
    const warnings = await warningsOf({ metadata, spec });
    expect(warnings[0]).toBe(first);
  });

  it("tell a dry run that changes nothing what there is to say, and never refuse it", async () => {
    const oldObject = { metadata: { name: "shop" }, spec };
    const changes = { operation: "UPDATE", oldObject, dryRun: true };
    expect(await ask({ spec }, changes, wrong)).toEqual(
      admitted("spec unchanged", [`${SHOP}: spec.ttl: "soon" is not a duration`]),
    );
    expect(await ask({ spec }, changes)).toMatchObject({ outcome: "valid" });
  });
});

describe("a dry run that does not end", () => {
  const notFinished = (why = ""): Verdict =>
    admitted("valid", [
      `${SHOP}: the dry run against live pods was not finished${why}; the status will tell what it gives`,
    ]);

  it("is given up after two seconds, and the object is admitted", async () => {
    const clock = manualClock();
    const log = recordingLog();
    let signal: AbortSignal | undefined;
    const preview: Previewer["preview"] = (_kind, _object, given) => {
      signal = given;
      return new Promise(() => undefined);
    };
    const verdict = ask({ spec }, {}, { previewer: { preview }, clock, log });
    await eventually(() => expect(clock.sleeping).toBe(1));
    await clock.advance(1999);
    expect(signal?.aborted).toBe(false);
    await clock.advance(1);
    expect(await verdict).toEqual(notFinished(" (it took longer than 2 s)"));
    expect(signal?.aborted).toBe(true);
    expect(log.lines.map(({ level }) => level)).toEqual(["warn"]);
  });

  it("leaves no timer behind when it does end", async () => {
    const clock = manualClock();
    await ask({ spec }, {}, { clock });
    await clock.advance(0);
    expect(clock.sleeping).toBe(0);
  });

  it("says why when that is known", async () => {
    const preview = async (): Promise<Preview> => {
      throw new SignetError("UNAVAILABLE", "pods are not known yet");
    };
    const verdict = await ask({ spec }, {}, { previewer: { preview } });
    expect(verdict).toEqual(notFinished(" (pods are not known yet)"));
  });

  it("says nothing of the inside when it breaks, at once or later", async () => {
    const broken: Previewer["preview"][] = [
      () => {
        throw new TypeError("a secret of the inside");
      },
      () => Promise.reject(new TypeError("a secret of the inside")),
    ];
    for (const preview of broken) {
      const clock = manualClock();
      const verdict = await ask({ spec }, {}, { previewer: { preview }, clock });
      expect(verdict).toEqual(notFinished());
      expect(clock.sleeping).toBe(0);
    }
  });
});
