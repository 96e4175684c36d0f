import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { SPIRE_API_VERSION } from "../../src/api/resources.ts";
import type { StoredResource } from "../../src/controllers/resource-watch.ts";
import { nextStatus } from "../../src/controllers/status-object.ts";
import type { CustomResourceKind } from "../../src/registration/index.ts";
import { tryOut } from "./example-cluster.ts";
import type { Manifest } from "./example-cluster.ts";
import { code, table } from "./markdown.ts";

interface ReasonExample {
  readonly reason: string;
  /** Of the condition; Ready when left out. */
  readonly type?: string;
  readonly means: string;
  /** Of an object that has the reason. */
  readonly spec: unknown;
  /** Older objects that it takes, the first as the oldest. */
  readonly beside?: readonly Manifest[];
}

interface MistakeExample {
  readonly mistake: string;
  readonly spec: unknown;
}

type ByKind<T> = Readonly<Partial<Record<CustomResourceKind, readonly T[]>>>;

const REASONS = load<ReasonExample>("reasons.yaml");
const MISTAKES = load<MistakeExample>("mistakes.yaml");

/** Every reason of every condition, with a message that it really came with. */
export function conditionTable(kind: CustomResourceKind): string {
  const rows = (REASONS[kind] ?? []).map(({ reason, type = "Ready", means, spec, beside = [] }) => {
    const condition = conditionsOf(kind, spec, beside).find((found) => found.type === type);
    if (condition?.reason !== reason) {
      throw new Error(`reasons.yaml: the example of ${kind} ${reason} has ${condition?.reason}`);
    }
    return [code(type), condition.status, code(reason), means, condition.message];
  });
  return table(["condition", "is", "reason", "means", "message, for example"], rows);
}

/** The reasons that the document of a kind explains. */
export function explainedReasons(kind: CustomResourceKind): readonly string[] {
  return (REASONS[kind] ?? []).map(({ reason }) => reason);
}

/** Specs that do not work, with the message that says so. */
export function specMistakeTable(kind: CustomResourceKind): string {
  const rows = (MISTAKES[kind] ?? []).map(({ mistake, spec }) => {
    const ready = conditionsOf(kind, spec, []).find(({ type }) => type === "Ready");
    if (ready?.status !== "False") throw new Error(`mistakes.yaml: no mistake: ${mistake}`);
    return [mistake, code(ready.message)];
  });
  return table(["mistake", "message"], rows);
}

function conditionsOf(kind: CustomResourceKind, spec: unknown, beside: readonly Manifest[]) {
  const metadata = { name: "example" };
  const wanted = tryOut([...beside, { kind, metadata, spec }]).statuses.get(metadata.name);
  if (!wanted) throw new Error(`${kind} without a status: ${JSON.stringify(spec)}`);
  const created = "2026-01-01T00:00:00Z";
  const stored = { ...metadata, uid: "uid", resourceVersion: "1", creationTimestamp: created };
  const object: StoredResource = { apiVersion: SPIRE_API_VERSION, kind, metadata: stored, spec };
  return nextStatus(wanted, object, 0)?.conditions ?? [];
}

function load<T>(file: string): ByKind<T> {
  const text = readFileSync(join(import.meta.dirname, file), "utf8");
  return parse(text, { merge: true }) as ByKind<T>;
}
