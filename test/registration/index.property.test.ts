import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RegistrationIndex } from "../../src/registration/index.ts";
import type { Change } from "../../src/registration/index.ts";
import {
  IGNORED,
  computeExpected,
  namespaceObject,
  nodeObject,
  podObject,
  ruleObject,
} from "./reference.ts";
import type { Expected, Model, ModelPod, ModelRule } from "./reference.ts";
import { OPTIONS } from "./universe.ts";

const PODS = 14;
const RULES = 6;
const NAMESPACES = ["a", "b", IGNORED];
const NODES = ["node-0", "node-1"];

type Event =
  | { readonly kind: "pod"; readonly pod: ModelPod }
  | { readonly kind: "rule"; readonly rule: ModelRule }
  | { readonly kind: "namespace"; readonly name: string; readonly team: string }
  | { readonly kind: "node"; readonly name: string; readonly uid: string }
  | { readonly kind: "no pod" | "no rule"; readonly id: number }
  | { readonly kind: "no namespace" | "no node"; readonly name: string };

const some = fc.constantFrom;
const labels = fc.record(
  { app: some("a", "b", "c"), id: some("1", "2", "") },
  { requiredKeys: [] },
);
const podModel: fc.Arbitrary<ModelPod> = fc.record({
  id: fc.nat(PODS - 1),
  namespace: some(...NAMESPACES),
  scheduled: some(true, true, true, false),
  phase: some("Running", "Running", "Running", "Succeeded"),
  labels,
});
const ruleModel: fc.Arbitrary<ModelRule> = fc.record({
  id: fc.nat(RULES - 1),
  created: fc.nat(2),
  deleted: some(undefined, undefined, 3, 4),
  fallback: some(false, false, true),
  foreign: some(false, false, false, true),
  hint: some("", "x"),
  team: some(undefined, "red", "blue"),
  podSelector: some("all", "app=a", "app in a,b", "app not in a", "id exists"),
  template: some("fixed", "fixed", "label", "label", "node", "outside", "broken"),
});
const namespaceEvent = fc.record({
  kind: fc.constant("namespace" as const),
  name: some(...NAMESPACES),
  team: some("red", "blue", ""),
});
const nodeEvent = fc.record({
  kind: fc.constant("node" as const),
  name: some(...NODES),
  uid: some("n1", "n2"),
});
const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 14, arbitrary: podModel.map((pod): Event => ({ kind: "pod", pod })) },
  { weight: 10, arbitrary: ruleModel.map((rule): Event => ({ kind: "rule", rule })) },
  { weight: 2, arbitrary: namespaceEvent },
  { weight: 2, arbitrary: nodeEvent },
  fc.record({ kind: fc.constant("no pod" as const), id: fc.nat(PODS - 1) }),
  fc.record({ kind: fc.constant("no rule" as const), id: fc.nat(RULES - 1) }),
  fc.record({ kind: fc.constant("no namespace" as const), name: some(...NAMESPACES) }),
  fc.record({ kind: fc.constant("no node" as const), name: some(...NODES) }),
);
/** Mostly single events, sometimes many as one batch. */
const batch = fc.oneof(
  { weight: 5, arbitrary: event.map((e) => [e]) },
  { weight: 1, arbitrary: fc.array(event, { maxLength: 30, size: "max" }) },
);
const steps = fc.array(batch, { minLength: 20, maxLength: 60, size: "max" });

/** Otherwise most sequences would be over before anything can have an entry. */
const PRELUDE: Event[][] = [
  ...NAMESPACES.map((name): Event[] => [{ kind: "namespace", name, team: "red" }]),
  ...NODES.map((name): Event[] => [{ kind: "node", name, uid: "n1" }]),
];

function emptyModel(): Model {
  return { pods: new Map(), rules: new Map(), namespaces: new Map(), nodes: new Map() };
}

/** Creations and updates: to the model and to the index. */
function play(index: RegistrationIndex, model: Model, e: Event): void {
  if (e.kind === "pod") {
    model.pods.set(e.pod.id, e.pod);
    index.applyPod(podObject(e.pod));
  } else if (e.kind === "rule") {
    const rule = { ...e.rule, generation: (model.rules.get(e.rule.id)?.generation ?? 0) + 1 };
    model.rules.set(rule.id, rule);
    index.applyClusterSpiffeId(ruleObject(rule));
  } else if (e.kind === "namespace") {
    const teams = e.team === "" ? {} : { team: e.team };
    model.namespaces.set(e.name, teams);
    index.applyNamespace(namespaceObject(e.name, teams));
  } else if (e.kind === "node") {
    model.nodes.set(e.name, e.uid);
    index.applyNode(nodeObject(e.name, e.uid));
  } else {
    playRemoval(index, model, e);
  }
}

function playRemoval(index: RegistrationIndex, model: Model, e: Event): void {
  if (e.kind === "no pod") {
    const pod = model.pods.get(e.id);
    model.pods.delete(e.id);
    if (pod) index.removePod(podObject(pod));
  } else if (e.kind === "no rule") {
    const rule = model.rules.get(e.id);
    model.rules.delete(e.id);
    if (rule) index.removeClusterSpiffeId(ruleObject(rule));
  } else if (e.kind === "no namespace") {
    model.namespaces.delete(e.name);
    index.removeNamespace(namespaceObject(e.name, {}));
  } else if (e.kind === "no node") {
    const uid = model.nodes.get(e.name);
    model.nodes.delete(e.name);
    if (uid !== undefined) index.removeNode(nodeObject(e.name, uid));
  }
}

/** What the index says, in the words of the reference. */
function observe(index: RegistrationIndex, expected: Expected) {
  const entries = new Map<string, string[]>();
  for (const uid of expected.entries.keys()) {
    const texts = index.entriesOfPod(uid).map((entry) => {
      const node = entry.parentId.split("/").at(-1);
      return `${entry.source.uid.replace("rule-uid-", "")} ${entry.spiffeId} ${node} ${entry.hint}`;
    });
    entries.set(uid, texts);
  }
  const statuses = new Map<string, unknown>();
  for (const uid of index.ruleUids()) {
    const status = index.statusOf(uid);
    if (!status) continue;
    const failures = status.failures.map((failure) => failure.pod);
    const { observedGeneration: generation, reason, stats } = status;
    statuses.set(uid, { generation, reason, stats, failures });
  }
  return { entries, statuses };
}

function inWordsOfIndex(expected: Expected) {
  const statuses = new Map<string, unknown>();
  for (const [uid, status] of expected.statuses) {
    statuses.set(uid, {
      ...status,
      failures: status.failures.map((failure) => failure.split(" ")[0]),
    });
  }
  return { entries: expected.entries, statuses };
}

function differing<T>(
  before: Map<string, T>,
  after: Map<string, T>,
  nothing: T | undefined,
): string[] {
  const keys = new Set([...before.keys(), ...after.keys()]);
  const text = (map: Map<string, T>, key: string) => JSON.stringify(map.get(key) ?? nothing);
  return [...keys].filter((key) => text(before, key) !== text(after, key)).toSorted();
}

describe("the index, after any sequence of events", () => {
  it("equals a computation from scratch, and reports exactly the difference", () => {
    let entriesSeen = 0;
    const run = (sequence: Event[][]): void => {
      const reported: Change[] = [];
      const index = new RegistrationIndex({ ...OPTIONS, ignoreNamespaces: ["^kube-"] }, (c) =>
        reported.push(c),
      );
      const model = emptyModel();
      let before = computeExpected(model);
      for (const batch of [...PRELUDE, ...sequence]) {
        reported.length = 0;
        const [only] = batch;
        if (batch.length === 1 && only) play(index, model, only);
        else index.batch(() => batch.forEach((e) => play(index, model, e)));
        const after = computeExpected(model);
        expect(observe(index, after)).toEqual(inWordsOfIndex(after));
        const pods = reported.flatMap((change) => [...change.pods.keys()]).toSorted();
        const rules = reported.flatMap((change) => [...change.rules]).toSorted();
        expect(pods).toEqual(differing(before.entries, after.entries, []));
        expect(rules).toEqual(differing(before.statuses, after.statuses, undefined));
        expect(reported.length).toBe(pods.length + rules.length > 0 ? 1 : 0);
        entriesSeen += [...after.entries.values()].flat().length;
        before = after;
      }
    };
    fc.assert(fc.property(steps, run), { numRuns: 150 });
    expect(entriesSeen, "the sequences reach states with entries").toBeGreaterThan(5000);
  }, 120_000);
});
