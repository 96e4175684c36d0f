import * as fc from "fast-check";
import type { RegistrationIndex } from "../../../src/registration/index.ts";
import {
  IGNORED,
  POD_SELECTORS,
  TRUST_DOMAINS,
  WORKLOAD_SELECTORS,
  federatedObject,
  federatedUid,
  namespaceObject,
  nodeObject,
  podObject,
  ruleObject,
  ruleUid,
  sliceObject,
  staticObject,
  staticUid,
} from "./model.ts";
import type {
  Model,
  ModelFederated,
  ModelNamespace,
  ModelNode,
  ModelPod,
  ModelRule,
  ModelSlice,
  ModelStatic,
} from "./model.ts";

const PODS = 6;
const RULES = 5;
const STATICS = 5;
const FEDERATED = 3;
const SLICES = 4;
export const NAMESPACES = ["a", "b", IGNORED];
export const NODES = ["node-0", "node-1"];

type Ungraded<T> = Omit<T, "generation">;

/** Creation or change of an object, its removal, or a list that holds only some of what was there. */
export type Event =
  | { readonly kind: "pod"; readonly pod: ModelPod }
  | { readonly kind: "rule"; readonly rule: Ungraded<ModelRule> }
  | { readonly kind: "static"; readonly entry: Ungraded<ModelStatic> }
  | { readonly kind: "federated"; readonly federated: Ungraded<ModelFederated> }
  | { readonly kind: "slice"; readonly slice: ModelSlice }
  | { readonly kind: "namespace"; readonly namespace: ModelNamespace }
  | { readonly kind: "node"; readonly node: ModelNode }
  | { readonly kind: "remove"; readonly what: keyof Model; readonly at: number }
  /** Of the machine that had the name before. */
  | { readonly kind: "late node"; readonly node: ModelNode }
  | { readonly kind: "list"; readonly what: keyof Model; readonly without: number };

const some = fc.constantFrom;
const keys = <T extends object>(table: T) => some(...(Object.keys(table) as (keyof T)[]));

const pod: fc.Arbitrary<ModelPod> = fc.record({
  id: fc.nat(PODS - 1),
  namespace: some(...NAMESPACES),
  scheduled: some(true, true, true, true, false),
  phase: some("Running", "Running", "Running", "Running", "Succeeded"),
  labels: fc.record({ app: some("a", "b", "c"), id: some("1", "2", "") }, { requiredKeys: [] }),
});
const common = {
  created: fc.nat(2),
  deleted: some(undefined, undefined, undefined, 3, 4),
  foreign: some(false, false, false, false, true),
};
const federatesWith = fc.subarray<string>([...TRUST_DOMAINS]);
const rule: fc.Arbitrary<Ungraded<ModelRule>> = fc.record({
  id: fc.nat(RULES - 1),
  ...common,
  fallback: some(false, false, true),
  hint: some("", "x"),
  team: some(undefined, "red", "blue"),
  podSelector: keys(POD_SELECTORS),
  template: some("fixed", "fixed", "fixed", "label", "label", "node", "note", "outside", "broken"),
  workloadSelectors: some("none", "none", "none", ...(Object.keys(WORKLOAD_SELECTORS) as "app"[])),
  dnsNames: fc.boolean(),
  autoPopulate: fc.boolean(),
  federatesWith,
});
const entry: fc.Arbitrary<Ungraded<ModelStatic>> = fc.record({
  id: fc.nat(STATICS - 1),
  ...common,
  invalid: some(false, false, false, false, true),
  hint: some("", "x"),
  spiffeId: some("fixed", "own", "alias-x", "alias-y"),
  parent: some("n1", "n1", "n2", "alias-x", "alias-y", "nowhere", "server", "server", "server"),
  selectors: fc.nat(8),
  federatesWith,
});
const federated: fc.Arbitrary<Ungraded<ModelFederated>> = fc.record({
  id: fc.nat(FEDERATED - 1),
  ...common,
  invalid: some(false, false, false, true),
  trustDomain: some(...TRUST_DOMAINS),
  bundle: fc.boolean(),
});
const slice: fc.Arbitrary<ModelSlice> = fc.record({
  id: fc.nat(SLICES - 1),
  namespace: some("a", "b"),
  service: some("s1", "s1", "s2", "", "not.a-service"),
  endpoints: fc.array(
    fc.record({
      pod: fc.nat(PODS - 1),
      by: some("uid", "uid", "name"),
      elsewhere: some(false, false, false, true),
    }),
    { maxLength: 4 },
  ),
});
const namespace: fc.Arbitrary<ModelNamespace> = fc.record({
  name: some(...NAMESPACES),
  team: some("red", "blue", ""),
  note: some("", "n", "m"),
});
const node: fc.Arbitrary<ModelNode> = fc.record({
  name: some(...NODES),
  uid: some("n1", "n1", "n2"),
  zone: some("east", "west", ""),
});
const what = some<keyof Model>(
  ...(["pods", "rules", "statics", "federated", "slices", "nodes", "namespaces"] as const),
);

export const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 14, arbitrary: pod.map((pod): Event => ({ kind: "pod", pod })) },
  { weight: 10, arbitrary: rule.map((rule): Event => ({ kind: "rule", rule })) },
  { weight: 10, arbitrary: entry.map((entry): Event => ({ kind: "static", entry })) },
  { weight: 3, arbitrary: federated.map((federated): Event => ({ kind: "federated", federated })) },
  { weight: 5, arbitrary: slice.map((slice): Event => ({ kind: "slice", slice })) },
  { weight: 3, arbitrary: namespace.map((namespace): Event => ({ kind: "namespace", namespace })) },
  { weight: 4, arbitrary: node.map((node): Event => ({ kind: "node", node })) },
  { weight: 6, arbitrary: fc.record({ kind: some("remove" as const), what, at: fc.nat(7) }) },
  { weight: 1, arbitrary: node.map((node): Event => ({ kind: "late node", node })) },
  { weight: 2, arbitrary: fc.record({ kind: some("list" as const), what, without: fc.nat(255) }) },
);

/** Plays an event to the model and to the index. */
export function play(index: RegistrationIndex, model: Model, e: Event): void {
  switch (e.kind) {
    case "remove":
      remove(index, model, e);
      return;
    case "list":
      list(index, model, e);
      return;
    case "late node":
      if (model.nodes.get(e.node.name)?.uid === e.node.uid) model.nodes.delete(e.node.name);
      index.removeNode(nodeObject(e.node));
      return;
    default:
      apply(index, model, e);
  }
}

type Creation = Exclude<Event, { readonly kind: "remove" | "list" | "late node" }>;

function apply(index: RegistrationIndex, model: Model, e: Creation): void {
  const next = (former: { generation: number } | undefined) => (former?.generation ?? 0) + 1;
  switch (e.kind) {
    case "pod":
      model.pods.set(e.pod.id, e.pod);
      index.applyPod(podObject(e.pod));
      return;
    case "rule": {
      const rule = { ...e.rule, generation: next(model.rules.get(e.rule.id)) };
      model.rules.set(rule.id, rule);
      index.applyResource("ClusterSPIFFEID", ruleObject(rule));
      return;
    }
    case "static": {
      const entry = { ...e.entry, generation: next(model.statics.get(e.entry.id)) };
      model.statics.set(entry.id, entry);
      index.applyResource("ClusterStaticEntry", staticObject(entry));
      return;
    }
    case "federated": {
      const federated = { ...e.federated, generation: next(model.federated.get(e.federated.id)) };
      model.federated.set(federated.id, federated);
      index.applyResource("ClusterFederatedTrustDomain", federatedObject(federated));
      return;
    }
    case "slice":
      model.slices.set(`${e.slice.namespace} ${e.slice.id}`, e.slice);
      index.applyEndpointSlice(sliceObject(e.slice));
      return;
    case "namespace":
      model.namespaces.set(e.namespace.name, e.namespace);
      index.applyNamespace(namespaceObject(e.namespace));
      return;
    case "node":
      model.nodes.set(e.node.name, e.node);
      index.applyNode(nodeObject(e.node));
      return;
    default:
      e satisfies never;
  }
}

const REMOVALS: {
  readonly [K in keyof Model]: (
    index: RegistrationIndex,
    object: Model[K] extends Map<unknown, infer V> ? V : never,
  ) => void;
} = {
  pods: (index, p) => index.removePod(podObject(p)),
  rules: (index, r) => index.removeResource("ClusterSPIFFEID", ruleUid(r.id)),
  statics: (index, s) => index.removeResource("ClusterStaticEntry", staticUid(s.id)),
  federated: (index, f) => index.removeResource("ClusterFederatedTrustDomain", federatedUid(f.id)),
  slices: (index, s) => index.removeEndpointSlice(sliceObject(s)),
  nodes: (index, n) => index.removeNode(nodeObject(n)),
  namespaces: (index, n) => index.removeNamespace(namespaceObject(n)),
};

const LISTS: {
  readonly [K in keyof Model]: (
    index: RegistrationIndex,
    objects: (Model[K] extends Map<unknown, infer V> ? V : never)[],
  ) => void;
} = {
  pods: (index, all) => index.replacePods(all.map(podObject)),
  rules: (index, all) => index.replaceResources("ClusterSPIFFEID", all.map(ruleObject)),
  statics: (index, all) => index.replaceResources("ClusterStaticEntry", all.map(staticObject)),
  federated: (index, all) =>
    index.replaceResources("ClusterFederatedTrustDomain", all.map(federatedObject)),
  slices: (index, all) => index.replaceEndpointSlices(all.map(sliceObject)),
  nodes: (index, all) => index.replaceNodes(all.map(nodeObject)),
  namespaces: (index, all) => index.replaceNamespaces(all.map(namespaceObject)),
};

/** The `at`th object of a kind goes. */
function remove(
  index: RegistrationIndex,
  model: Model,
  { what, at }: { readonly what: keyof Model; readonly at: number },
): void {
  const map = model[what] as Map<unknown, never>;
  const found = [...map].at(at % Math.max(map.size, 1));
  if (!found) return;
  map.delete(found[0]);
  REMOVALS[what](index, found[1]);
}

/** A new list arrives that lacks the objects whose bits are set. */
function list(
  index: RegistrationIndex,
  model: Model,
  { what, without }: { readonly what: keyof Model; readonly without: number },
): void {
  const map = model[what] as Map<unknown, never>;
  const gone = [...map.keys()].filter((_, at) => (without >> at) % 2 === 1);
  for (const key of gone) map.delete(key);
  LISTS[what](index, [...map.values()]);
}

/** A fresh index that was told the model's objects in an order that `seed` decides. */
export function tell(index: RegistrationIndex, model: Model, seed: number): void {
  const tellings: (() => void)[] = [
    ...[...model.pods.values()].map((p) => () => index.applyPod(podObject(p))),
    ...[...model.rules.values()].map(
      (r) => () => index.applyResource("ClusterSPIFFEID", ruleObject(r)),
    ),
    ...[...model.statics.values()].map(
      (s) => () => index.applyResource("ClusterStaticEntry", staticObject(s)),
    ),
    ...[...model.federated.values()].map(
      (f) => () => index.applyResource("ClusterFederatedTrustDomain", federatedObject(f)),
    ),
    ...[...model.slices.values()].map((s) => () => index.applyEndpointSlice(sliceObject(s))),
    ...[...model.nodes.values()].map((n) => () => index.applyNode(nodeObject(n))),
    ...[...model.namespaces.values()].map((n) => () => index.applyNamespace(namespaceObject(n))),
  ];
  for (const telling of shuffled(tellings, seed)) telling();
}

function shuffled<T>(list: readonly T[], seed: number): T[] {
  let state = seed;
  const keyed = list.map((value) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return { value, key: state };
  });
  return keyed.toSorted((a, b) => a.key - b.key).map(({ value }) => value);
}
