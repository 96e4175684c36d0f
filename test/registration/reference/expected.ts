import { computeFederation } from "./federation.ts";
import { computeStatic, computeTemplate } from "./status.ts";
import {
  IGNORED,
  idOf,
  nodeOf,
  objectName,
  parentOf,
  podUid,
  ruleUid,
  selectorsOf,
  staticUid,
  federatedUid,
} from "./model.ts";
import type { Model, ModelPod, ModelRule, ModelStatic } from "./model.ts";
import { nodeIds } from "./nodes.ts";
import { preferred } from "./preference.ts";
import type { ExpectedStatus, Noted } from "./words.ts";

/**
 * A second, deliberately naive implementation of the rules: everything is computed from scratch with nested
 * loops. It shares no code with src/registration.
 */

export interface Expected {
  /** pod UID → its entries, one text each, in order */
  readonly entries: Map<string, string[]>;
  /** UID of a custom resource → everything its status depends on */
  readonly statuses: Map<string, ExpectedStatus>;
}

interface Attempt {
  readonly uid: string;
  readonly name: string;
  readonly created: number;
  readonly deleted: number | undefined;
  readonly template: boolean;
  readonly id: string;
  readonly parent: string;
  readonly selectors: readonly string[];
  readonly unmet: boolean;
  readonly dnsNames: readonly string[];
  readonly hint: string;
  readonly federatesWith: readonly string[];
  /** Empty when there is an entry. */
  readonly failure: string;
}

export function computeExpected(model: Model): Expected {
  const noted = new Map<string, Noted[]>();
  const entries = new Map<string, string[]>();
  for (const p of model.pods.values()) entries.set(podUid(p.id), computePod(model, p, noted));
  const statuses = new Map<string, ExpectedStatus>();
  for (const r of model.rules.values()) {
    const uid = ruleUid(r.id);
    if (!r.foreign) statuses.set(uid, computeTemplate(model, r, noted.get(uid) ?? []));
  }
  for (const s of model.statics.values()) {
    const uid = staticUid(s.id);
    if (!s.foreign) statuses.set(uid, computeStatic(model, s, noted.get(uid) ?? []));
  }
  for (const f of model.federated.values()) {
    if (!f.foreign) statuses.set(federatedUid(f.id), computeFederation(model, f));
  }
  return { entries, statuses };
}

function computePod(model: Model, p: ModelPod, noted: Map<string, Noted[]>): string[] {
  const note = (uid: string, kind: string, failure = ""): void => {
    const before = noted.get(uid) ?? [];
    noted.set(uid, [...before, { kind, pod: `${p.namespace}/pod-${p.id}`, failure }]);
  };
  const templates = [...model.rules.values()].filter((r) => selects(model, r, p));
  const statics = [...model.statics.values()].filter((s) => applies(model, s, p));
  if (p.phase === "Succeeded" || !p.scheduled) {
    const kind = p.phase === "Succeeded" ? "finished" : "unscheduled";
    for (const r of templates) note(ruleUid(r.id), kind);
    for (const s of statics) note(staticUid(s.id), kind);
    return [];
  }
  const first = templates.filter((r) => !r.fallback).map((r) => attempt(model, r, p));
  const fallbacks = templates.filter((r) => r.fallback);
  const keptOut = first.some((a) => a.failure === "");
  if (keptOut) for (const r of fallbacks) note(ruleUid(r.id), "skipped");
  const attempts = [
    ...first,
    ...(keptOut ? [] : fallbacks.map((r) => attempt(model, r, p))),
    ...statics.map(written),
  ];
  for (const a of attempts) if (a.failure !== "") note(a.uid, "failed", a.failure);
  const good = attempts.filter((a) => a.failure === "");
  const given = good.filter((a) => !good.some((b) => keyOf(a) === keyOf(b) && preferred(b, a)));
  for (const a of good) {
    if (!given.includes(a)) note(a.uid, "masked");
    else note(a.uid, a.unmet ? "unmet" : "set");
  }
  return given
    .filter((a) => !a.unmet)
    .toSorted(listed)
    .map(textOf);
}

function attempt(model: Model, r: ModelRule, p: ModelPod): Attempt {
  const node = model.nodes.get(nodeOf(p.id));
  const namespace = model.namespaces.get(p.namespace);
  const app = p.labels["app"] ?? "";
  const selectors = {
    none: [],
    refused: [],
    "red team": ["k8s:ns-label:team:red"],
    app: [`k8s:pod-label:app:${app}`, "k8s:pod-label:app:a"],
  }[r.workloadSelectors];
  const unmet = {
    none: false,
    refused: false,
    "red team": namespace?.team !== "red",
    app: app !== "a",
  }[r.workloadSelectors];
  const id = {
    fixed: "spiffe://example.org/fixed",
    label: `spiffe://example.org/${p.labels["id"] ?? ""}`,
    node: `spiffe://example.org/on/${nodeOf(p.id)}`,
    note: `spiffe://example.org/note/${namespace?.note ?? ""}`,
    outside: "",
    broken: "",
  }[r.template];
  return {
    uid: ruleUid(r.id),
    name: objectName(r.id),
    created: r.created,
    deleted: r.deleted,
    template: true,
    id,
    parent: node ? parentOf(node.uid) : "",
    selectors: [`k8s:pod-uid:${podUid(p.id)}`, ...selectors],
    unmet,
    dnsNames: [
      ...(r.dnsNames ? [`pod-${p.id}.example`] : []),
      ...(r.autoPopulate ? serviceNames(model, p) : []),
    ],
    hint: r.hint,
    federatesWith: r.federatesWith,
    failure: failureOf(r, { node: node !== undefined, id }),
  };
}

function failureOf(r: ModelRule, { node, id }: { node: boolean; id: string }): string {
  if (!node) return "node";
  if (r.workloadSelectors === "refused") return "refused";
  if (r.template === "outside") return "outside";
  return id.endsWith("/") ? `slash ${id}` : "";
}

function written(s: ModelStatic): Attempt {
  return {
    uid: staticUid(s.id),
    name: objectName(s.id),
    created: s.created,
    deleted: s.deleted,
    template: false,
    id: idOf(s.spiffeId),
    parent: idOf(s.parent),
    selectors: selectorsOf(s),
    unmet: false,
    dnsNames: [],
    hint: s.hint,
    federatesWith: s.federatesWith,
    failure: "",
  };
}

/** Each Service of a slice in the pod's namespace that names the pod, in its four forms. */
function serviceNames(model: Model, p: ModelPod): string[] {
  const names = new Set<string>();
  for (const { namespace, service, endpoints } of model.slices.values()) {
    if (namespace !== p.namespace || (service !== "s1" && service !== "s2")) continue;
    if (!endpoints.some((endpoint) => endpoint.pod === p.id && !endpoint.elsewhere)) continue;
    names.add(service);
    names.add(`${service}.${namespace}`);
    names.add(`${service}.${namespace}.svc`);
    names.add(`${service}.${namespace}.svc.cluster.local`);
  }
  return [...names].toSorted();
}

function selects(model: Model, r: ModelRule, p: ModelPod): boolean {
  if (r.foreign || r.template === "broken" || p.namespace === IGNORED) return false;
  const namespace = model.namespaces.get(p.namespace);
  if (!namespace || (r.team !== undefined && r.team !== namespace.team)) return false;
  const app = p.labels["app"];
  if (r.podSelector === "app=a") return app === "a";
  if (r.podSelector === "app in a,b") return app === "a" || app === "b";
  if (r.podSelector === "app not in a") return app !== "a";
  return r.podSelector === "all" || p.labels["id"] !== undefined;
}

function applies(model: Model, s: ModelStatic, p: ModelPod): boolean {
  if (s.foreign || s.invalid || s.parent === "server" || !p.scheduled) return false;
  const namespace = model.namespaces.get(p.namespace);
  if (!namespace || !nodeIds(model, nodeOf(p.id)).includes(idOf(s.parent))) return false;
  const facts = new Set([
    `k8s:pod-uid:${podUid(p.id)}`,
    `k8s:ns:${p.namespace}`,
    `k8s:ns-label:team:${namespace.team}`,
    `k8s:node-name:${nodeOf(p.id)}`,
    "k8s:sa:till",
    ...Object.entries(p.labels).map(([key, value]) => `k8s:pod-label:${key}:${value}`),
  ]);
  return selectorsOf(s).every((selector) => facts.has(selector));
}

function keyOf(a: Attempt): string {
  return [a.id, a.parent, ...[...new Set(a.selectors)].toSorted()].join(" ");
}

function listed(a: Attempt, b: Attempt): number {
  if (a.created !== b.created) return a.created - b.created;
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.uid < b.uid ? -1 : 1;
}

export function textOf(
  entry: Pick<
    Attempt,
    "uid" | "id" | "parent" | "hint" | "dnsNames" | "selectors" | "federatesWith"
  >,
): string {
  const { uid, id, parent, hint, dnsNames, federatesWith } = entry;
  const selectors = [...new Set(entry.selectors)].toSorted();
  return JSON.stringify([uid, id, parent, hint, dnsNames, selectors, federatesWith.toSorted()]);
}
