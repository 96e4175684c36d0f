import { isDeepStrictEqual } from "node:util";
import type { KubeObject } from "../../src/kube/types.ts";
import { ApiFailure } from "./api-failure.ts";
import {
  decodeFields,
  encodeFields,
  leaves,
  mergeApplied,
  removeField,
  type FieldOwner,
  type FieldPath,
  type Json,
} from "./api-fields.ts";

export interface FieldManager {
  readonly manager: string;
  readonly operation: FieldOwner["operation"];
  readonly subresource?: string | undefined;
}

/** Server-side apply of `applied` on `live`. Throws 409 when another manager owns a field with another value. */
export function serverSideApply(
  live: KubeObject,
  applied: Json,
  options: FieldManager & { readonly force: boolean },
): KubeObject {
  const owners = (live.metadata.managedFields ?? []) as FieldOwner[];
  const mine = owners.find((owner) => isSameManager(owner, options));
  const others = owners.filter((owner) => owner !== mine);
  const wanted = leaves(applied);
  const current = leaves(live);
  const contested = [...wanted].filter(
    ([path, value]) => !isDeepStrictEqual(current.get(path), value),
  );
  const conflicts = others.flatMap((owner) =>
    contested.filter(([path]) => owns(owner, path)).map(([path]) => ({ owner, path })),
  );
  if (conflicts.length > 0 && !options.force) throw applyConflict(conflicts);
  const left = others.map((owner) => without(owner, new Set(conflicts.map((c) => c.path))));
  const merged = mergeApplied(structuredClone(live), applied) as KubeObject;
  for (const path of mine ? decodeFields(mine.fieldsV1) : []) {
    const kept = wanted.has(path) || left.some((owner) => owns(owner, path));
    if (!kept) removeField(merged as unknown as Json, path);
  }
  merged.metadata.managedFields = [
    ...left.filter(ownsSomething),
    ownership(merged, options, wanted.keys()),
  ];
  return merged;
}

/** After a plain write: the writer owns what it changed, and nobody else does any longer. */
export function recordUpdate(
  before: KubeObject | undefined,
  after: KubeObject,
  by: FieldManager,
): void {
  const owners = (before?.metadata.managedFields ?? []) as FieldOwner[];
  const old = leaves(before);
  const now = leaves(after);
  const changed = new Set<FieldPath>();
  for (const [path, value] of now) {
    if (!isDeepStrictEqual(old.get(path), value)) changed.add(path);
  }
  const gone = [...old.keys()].filter((path) => !now.has(path));
  const left = owners.map((owner) => without(owner, new Set([...changed, ...gone])));
  const mine = left.find((owner) => isSameManager(owner, by));
  const paths = [...(mine ? decodeFields(mine.fieldsV1) : []), ...changed];
  after.metadata.managedFields = [
    ...left.filter((owner) => owner !== mine && ownsSomething(owner)),
    ...(paths.length === 0 ? [] : [ownership(after, by, paths)]),
  ];
}

function ownership(object: KubeObject, by: FieldManager, paths: Iterable<FieldPath>): FieldOwner {
  return {
    manager: by.manager,
    operation: by.operation,
    ...(by.subresource === undefined ? {} : { subresource: by.subresource }),
    ...(object.apiVersion === undefined ? {} : { apiVersion: object.apiVersion }),
    time: `${new Date().toISOString().slice(0, 19)}Z`,
    fieldsType: "FieldsV1",
    fieldsV1: encodeFields(paths),
  };
}

function isSameManager(owner: FieldOwner, by: FieldManager): boolean {
  return (
    owner.manager === by.manager &&
    owner.operation === by.operation &&
    owner.subresource === by.subresource
  );
}

function owns(owner: FieldOwner, path: FieldPath): boolean {
  return decodeFields(owner.fieldsV1).has(path);
}

function without(owner: FieldOwner, paths: ReadonlySet<FieldPath>): FieldOwner {
  const kept = [...decodeFields(owner.fieldsV1)].filter((path) => !paths.has(path));
  return { ...owner, fieldsV1: encodeFields(kept) };
}

function ownsSomething(owner: FieldOwner): boolean {
  return Object.keys(owner.fieldsV1).length > 0;
}

function applyConflict(conflicts: { owner: FieldOwner; path: FieldPath }[]): ApiFailure {
  const causes = conflicts.map(({ owner, path }) => ({
    reason: "FieldManagerConflict",
    message: `conflict with "${owner.manager}"${owner.operation === "Update" ? ` using ${owner.apiVersion}` : ""}`,
    field: `.${(JSON.parse(path) as string[]).join(".")}`,
  }));
  const words = causes.map((cause) => `${cause.message}: ${cause.field}`).join(", ");
  return new ApiFailure(
    409,
    "Conflict",
    `Apply failed with ${causes.length} conflict${causes.length === 1 ? "" : "s"}: ${words}`,
    { causes },
  );
}
