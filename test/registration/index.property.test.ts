import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RegistrationIndex } from "../../src/registration/index.ts";
import type { Change, PreviewedPod } from "../../src/registration/index.ts";
import { NAMESPACES, NODES, event, play, tell } from "./reference/events.ts";
import type { Event } from "./reference/events.ts";
import { computeExpected } from "./reference/expected.ts";
import type { Expected } from "./reference/expected.ts";
import { emptyModel, nodeOf, podUid, ruleObject } from "./reference/model.ts";
import type { Model } from "./reference/model.ts";
import { observe } from "./reference/observed.ts";
import { OPTIONS } from "./universe.ts";

/** Mostly single events, sometimes many as one batch. */
const batch = fc.oneof(
  { weight: 5, arbitrary: event.map((e) => [e]) },
  { weight: 1, arbitrary: fc.array(event, { maxLength: 20, size: "max" }) },
);
const steps = fc.array(batch, { maxLength: 60, size: "max" });

/** Otherwise most sequences would be over before anything can have an entry. */
const PRELUDE: Event[][] = [
  ...NAMESPACES.map((name): Event[] => [
    { kind: "namespace", namespace: { name, team: "red", note: "" } },
  ]),
  ...NODES.map((name): Event[] => [{ kind: "node", node: { name, uid: "n1", zone: "east" } }]),
  ...[0, 1, 2, 3].map((id): Event[] => {
    const pod = {
      id,
      namespace: "a",
      scheduled: true,
      phase: "Running",
      labels: { app: "a", id: "1" },
    } as const;
    return [{ kind: "pod", pod }];
  }),
];

/** What all sequences together must have come to. */
const LEAST = {
  ...{
    entries: 1000,
    "entries of statics": 500,
    "entries with Services": 50,
    "entries by alias": 5,
  },
  ...{ masked: 15, missing: 1000, EntriesRendered: 1000, RenderFailed: 500, NothingSelected: 1000 },
  ...{ InvalidTemplate: 500, InvalidDuration: 500, EntryInEffect: 500, UnknownParent: 500 },
  ...{ Masked: 15, Duplicate: 100, InvalidUrl: 100, BundleFromSpec: 100, BundleNotFetched: 100 },
};

function newIndex(onChange?: (change: Change) => void): RegistrationIndex {
  return new RegistrationIndex({ ...OPTIONS, ignoreNamespaces: ["^kube-"] }, onChange);
}

function differing<T>(before: Map<string, T>, after: Map<string, T>, nothing?: T): string[] {
  const keys = new Set([...before.keys(), ...after.keys()]);
  const text = (map: Map<string, T>, key: string) => JSON.stringify(map.get(key) ?? nothing);
  return [...keys].filter((key) => text(before, key) !== text(after, key)).toSorted();
}

/** What was reported is the difference, at once, with the right node for each pod. */
function expectDifference(reported: readonly Change[], before: Expected, after: Expected): void {
  const pods = reported.flatMap((change) => [...change.pods.keys()]).toSorted();
  const rules = reported.flatMap((change) => [...change.rules]).toSorted();
  expect(pods).toEqual(differing(before.entries, after.entries, []));
  expect(rules).toEqual(differing(before.statuses, after.statuses));
  expect(reported.length).toBe(pods.length + rules.length > 0 ? 1 : 0);
  for (const { pods } of reported) {
    for (const [uid, node] of pods) expect(node).toBe(nodeOf(Number(uid.replace("uid-pod-", ""))));
  }
}

/** All other ways to ask give the same entries. */
function expectConsistent(index: RegistrationIndex, model: Model): void {
  const byPod = [...model.pods.keys()].flatMap((id) => index.entriesOfPod(podUid(id)));
  expect(new Set(index.entries())).toEqual(new Set(byPod));
  for (const name of NODES) {
    const there = [...model.pods.values()].filter((p) => p.scheduled && nodeOf(p.id) === name);
    const found = index.podsOfNode(name);
    expect(found.map(({ pod }) => pod.metadata.uid).toSorted()).toEqual(
      there.map(({ id }) => podUid(id)).toSorted(),
    );
    for (const { pod, entries } of found) {
      expect(entries).toBe(index.entriesOfPod(pod.metadata.uid));
      const matched = index.explainPod(pod.metadata.uid).filter((e) => e.matched);
      expect(matched.map(({ ruleUid }) => ruleUid)).toEqual(entries.map((e) => e.source.uid));
    }
  }
}

/** Another replica comes to the same, whatever it heard first. */
function expectSameOnAnother(index: RegistrationIndex, model: Model, seed: number): void {
  const other = newIndex();
  tell(other, model, seed);
  for (const id of model.pods.keys()) {
    expect(other.entriesOfPod(podUid(id))).toEqual(index.entriesOfPod(podUid(id)));
  }
  for (const uid of computeExpected(model).statuses.keys()) {
    expect(other.statusOf(uid)).toEqual(index.statusOf(uid));
  }
}

/** Counts how often each thing of interest was seen, so that a run that reaches nothing does not pass. */
function note(seen: Map<string, number>, { entries, statuses }: Expected): void {
  const add = (what: string, by: number): void => {
    seen.set(what, (seen.get(what) ?? 0) + by);
  };
  const texts = [...entries.values()].flat();
  add("entries", texts.length);
  add("entries of statics", texts.filter((text) => text.includes("static-uid")).length);
  add("entries with Services", texts.filter((text) => text.includes(".svc")).length);
  add("entries by alias", texts.filter((text) => /^(\S*,){2}"\S*alias/.test(text)).length);
  for (const { reason, stats, missing } of statuses.values()) {
    add(reason, 1);
    add("masked", stats?.["entriesMasked"] ?? 0);
    add("missing", missing?.length ?? 0);
  }
}

describe("the index, after any sequence of events", () => {
  it("equals a computation from scratch, reports exactly the difference, and does not depend on the order", () => {
    const seen = new Map<string, number>();
    const run = (sequence: Event[][], seed: number): void => {
      const reported: Change[] = [];
      const index = newIndex((change) => reported.push(change));
      const model = emptyModel();
      let before = computeExpected(model);
      for (const batch of [...PRELUDE, ...sequence]) {
        reported.length = 0;
        const [only] = batch;
        if (batch.length === 1 && only) play(index, model, only);
        else index.batch(() => batch.forEach((e) => play(index, model, e)));
        const after = computeExpected(model);
        expect(observe(index, model)).toEqual(after);
        expectDifference(reported, before, after);
        note(seen, after);
        before = after;
      }
      expectConsistent(index, model);
      expectSameOnAnother(index, model, seed);
    };
    fc.assert(fc.property(steps, fc.nat(), run), { numRuns: 300 });
    for (const [what, least] of Object.entries(LEAST)) {
      expect(seen.get(what), what).toBeGreaterThan(least);
    }
  }, 120_000);

  it("is what a preview said before a ClusterSPIFFEID was applied", () => {
    let compared = 0;
    const run = (sequence: Event[][]): void => {
      const index = newIndex();
      const model = emptyModel();
      for (const e of [...PRELUDE, ...sequence].flat()) {
        if (e.kind !== "rule" || !comparable(model, e)) {
          play(index, model, e);
          continue;
        }
        const object = ruleObject({ ...e.rule, generation: 1 });
        const { outcomes, ...preview } = index.preview("ClusterSPIFFEID", object, {
          maxTried: 1000,
          maxShown: 1000,
        });
        play(index, model, e);
        const told = index.explainRule("ClusterSPIFFEID", object.metadata.name, 1000);
        if (preview.foreign || preview.problems.length > 0) continue;
        compared += 1;
        expect(told?.status?.stats).toMatchObject({
          namespacesSelected: preview.namespacesSelected,
          namespacesIgnored: preview.namespacesIgnored,
          podsSelected: preview.podsSelected,
          podEntryRenderFailures: outcomes.failed,
          entriesMasked: outcomes.masked,
          entriesToSet: outcomes.set + outcomes.unmet,
          podsUnscheduled: outcomes.unscheduled,
          podsFinished: outcomes.finished,
        });
        expect(new Set(preview.pods.map(essence))).toEqual(new Set(told?.pods.map(essence)));
      }
    };
    fc.assert(fc.property(steps, run), { numRuns: 100 });
    expect(compared).toBeGreaterThan(50);
  }, 60_000);
});

/** Without what a preview alone says: that an object would mask another. */
function essence({ pod, outcome, clause, entry }: PreviewedPod): PreviewedPod {
  return { pod, outcome, clause, ...(entry ? { entry } : {}) };
}

/** A preview takes the age of what is there, and knows nothing of objects that leave. */
function comparable(model: Model, { rule }: Extract<Event, { readonly kind: "rule" }>): boolean {
  const former = model.rules.get(rule.id);
  if (rule.deleted !== undefined) return false;
  return former === undefined || former.created === rule.created;
}
