import type {
  ClusterSpiffeIdObject,
  NamespaceObject,
  NodeObject,
  PodObject,
} from "../../src/registration/index.ts";
import type { Labels, RuleInput } from "./universe.ts";
import { namespace, node, pod, rule } from "./universe.ts";

/**
 * A second, deliberately naive implementation of the rules, over a small universe: everything is computed from
 * scratch with nested loops. It shares no code with src/registration.
 */

export interface ModelPod {
  readonly id: number;
  readonly namespace: string;
  readonly scheduled: boolean;
  readonly phase: "Running" | "Succeeded";
  readonly labels: Labels;
}

export interface ModelRule {
  readonly id: number;
  readonly created: number;
  readonly deleted: number | undefined;
  readonly fallback: boolean;
  readonly foreign: boolean;
  readonly hint: string;
  readonly team: string | undefined;
  readonly podSelector: "all" | "app=a" | "app in a,b" | "app not in a" | "id exists";
  readonly template: "fixed" | "label" | "node" | "outside" | "broken";
}

export interface Model {
  readonly pods: Map<number, ModelPod>;
  readonly rules: Map<number, ModelRule & { generation: number }>;
  readonly namespaces: Map<string, Labels>;
  /** name → uid */
  readonly nodes: Map<string, string>;
}

export interface Expected {
  /** pod UID → its entries, one text each, in order */
  readonly entries: Map<string, string[]>;
  /** rule UID → everything its status depends on */
  readonly statuses: Map<string, ExpectedStatus>;
}

export interface ExpectedStatus {
  readonly generation: number;
  readonly reason: string;
  readonly stats: Record<string, number>;
  readonly failures: string[];
}

export const IGNORED = "kube-system";

const TEMPLATES: Record<ModelRule["template"], string> = {
  fixed: "spiffe://example.org/fixed",
  label: 'spiffe://example.org/{{ index .PodMeta.Labels "id" }}',
  node: "spiffe://example.org/on/{{ .NodeMeta.Name }}",
  outside: "spiffe://elsewhere.org/x",
  broken: "spiffe://example.org/{{ .PodMeta",
};

const SELECTORS: Record<ModelRule["podSelector"], object> = {
  all: {},
  "app=a": { matchLabels: { app: "a" } },
  "app in a,b": { matchExpressions: [{ key: "app", operator: "In", values: ["a", "b"] }] },
  "app not in a": { matchExpressions: [{ key: "app", operator: "NotIn", values: ["a"] }] },
  "id exists": { matchExpressions: [{ key: "id", operator: "Exists" }] },
};

export const nodeOf = (podId: number): string => `node-${podId % 2}`;
const time = (n: number): string => `2026-01-0${n + 1}T00:00:00Z`;

export function podObject(model: ModelPod): PodObject {
  const name = `pod-${model.id}`;
  const where = model.scheduled ? nodeOf(model.id) : undefined;
  return pod({
    name,
    namespace: model.namespace,
    node: where,
    labels: model.labels,
    phase: model.phase,
  });
}

export function ruleObject(model: ModelRule & { generation: number }): ClusterSpiffeIdObject {
  const input: RuleInput = {
    name: `rule-${9 - model.id}`,
    uid: `rule-uid-${model.id}`,
    created: time(model.created),
    generation: model.generation,
    fallback: model.fallback,
    hint: model.hint,
    spiffeIDTemplate: TEMPLATES[model.template],
    podSelector: SELECTORS[model.podSelector],
    ...(model.deleted === undefined ? {} : { deleted: time(model.deleted) }),
    ...(model.foreign ? { className: "foreign" } : {}),
    ...(model.team === undefined
      ? {}
      : { namespaceSelector: { matchLabels: { team: model.team } } }),
  };
  return rule(input);
}

export const namespaceObject = (name: string, labels: Labels): NamespaceObject =>
  namespace(name, labels);
export const nodeObject = (name: string, uid: string): NodeObject => node(name, uid);

interface Attempt {
  readonly rule: ModelRule;
  readonly id: string;
  readonly failure: string;
}

export function computeExpected(model: Model): Expected {
  const entries = new Map<string, string[]>();
  const statuses = new Map<string, ExpectedStatus>();
  const outcomes = new Map<number, { kind: string; pod: string; failure: string }[]>();
  for (const p of model.pods.values()) {
    const given = computePod(model, p, outcomes);
    entries.set(`uid-pod-${p.id}`, given);
  }
  for (const r of model.rules.values()) {
    if (!r.foreign)
      statuses.set(`rule-uid-${r.id}`, computeStatus(model, r, outcomes.get(r.id) ?? []));
  }
  return { entries, statuses };
}

function computePod(
  model: Model,
  p: ModelPod,
  outcomes: Map<number, { kind: string; pod: string; failure: string }[]>,
): string[] {
  const note = (r: ModelRule, kind: string, failure = ""): void => {
    outcomes.set(r.id, [
      ...(outcomes.get(r.id) ?? []),
      { kind, pod: `${p.namespace}/pod-${p.id}`, failure },
    ]);
  };
  const selecting = [...model.rules.values()].filter((r) => usable(r) && selectsPod(model, r, p));
  if (p.phase === "Succeeded" || !p.scheduled) {
    for (const r of selecting) note(r, p.phase === "Succeeded" ? "finished" : "unscheduled");
    return [];
  }
  let attempts: Attempt[] = selecting.filter((r) => !r.fallback).map((r) => attempt(model, r, p));
  if (attempts.every((a) => a.failure !== "")) {
    attempts = [
      ...attempts,
      ...selecting.filter((r) => r.fallback).map((r) => attempt(model, r, p)),
    ];
  }
  for (const r of selecting) if (!attempts.some((a) => a.rule === r)) note(r, "skipped");
  const good = attempts.filter((a) => a.failure === "");
  for (const a of attempts) if (a.failure !== "") note(a.rule, "failed", a.failure);
  const winners = good.filter((a) => !good.some((b) => b.id === a.id && preferred(b.rule, a.rule)));
  for (const a of good) note(a.rule, winners.includes(a) ? "set" : "masked");
  return winners
    .toSorted((a, b) => a.rule.created - b.rule.created || b.rule.id - a.rule.id)
    .map((a) => `${a.rule.id} ${a.id} ${model.nodes.get(nodeOf(p.id))} ${a.rule.hint}`);
}

function attempt(model: Model, r: ModelRule, p: ModelPod): Attempt {
  const failed = (failure: string): Attempt => ({ rule: r, id: "", failure });
  if (!model.nodes.has(nodeOf(p.id))) return failed("node");
  if (r.template === "outside") return failed("outside");
  if (r.template === "node")
    return { rule: r, id: `spiffe://example.org/on/${nodeOf(p.id)}`, failure: "" };
  if (r.template === "fixed") return { rule: r, id: "spiffe://example.org/fixed", failure: "" };
  const label = p.labels["id"] ?? "";
  return label === ""
    ? failed("slash")
    : { rule: r, id: `spiffe://example.org/${label}`, failure: "" };
}

function preferred(a: ModelRule, b: ModelRule): boolean {
  if (a.id === b.id) return false;
  if (a.created !== b.created) return a.created < b.created;
  if (a.deleted !== b.deleted) {
    if (a.deleted === undefined) return true;
    return b.deleted !== undefined && a.deleted > b.deleted;
  }
  return a.id < b.id;
}

function usable(r: ModelRule): boolean {
  return !r.foreign && r.template !== "broken";
}

function selectsNamespace(r: ModelRule, labels: Labels | undefined): boolean {
  return labels !== undefined && (r.team === undefined || labels["team"] === r.team);
}

function selectsPod(model: Model, r: ModelRule, p: ModelPod): boolean {
  if (p.namespace === IGNORED) return false;
  if (!selectsNamespace(r, model.namespaces.get(p.namespace))) return false;
  const app = p.labels["app"];
  if (r.podSelector === "app=a") return app === "a";
  if (r.podSelector === "app in a,b") return app === "a" || app === "b";
  if (r.podSelector === "app not in a") return app !== "a";
  return r.podSelector === "all" || p.labels["id"] !== undefined;
}

function computeStatus(
  model: Model,
  r: ModelRule & { generation: number },
  noted: readonly { kind: string; pod: string; failure: string }[],
): ExpectedStatus {
  const number = (...kinds: string[]): number => noted.filter((n) => kinds.includes(n.kind)).length;
  const namespaces = [...model.namespaces].filter(
    ([, labels]) => usable(r) && selectsNamespace(r, labels),
  );
  const failures = noted.filter((n) => n.kind === "failed").map((n) => `${n.pod} ${n.failure}`);
  const broken = r.template === "broken";
  const fine = noted.length > 0 ? "EntriesRendered" : "NothingSelected";
  return {
    generation: r.generation,
    reason: broken ? "InvalidTemplate" : failures.length > 0 ? "RenderFailed" : fine,
    stats: {
      namespacesSelected: namespaces.length,
      namespacesIgnored: namespaces.filter(([name]) => name === IGNORED).length,
      podsSelected: noted.length,
      podEntryRenderFailures: failures.length,
      entriesMasked: number("masked"),
      entriesToSet: number("set"),
      entryFailures: 0,
      podsUnscheduled: number("unscheduled"),
      podsFinished: number("finished"),
    },
    failures: failures.toSorted().slice(0, 10),
  };
}
