import { applyPatch, type Operation } from "fast-json-patch";
import { resourceName } from "../../src/kube/resources.ts";
import type { KubeList, KubeObject } from "../../src/kube/types.ts";
import { recordUpdate, serverSideApply } from "./api-apply.ts";
import { ApiFailure, badRequest, expired, invalid, noResource } from "./api-failure.ts";
import { isJson, type Json } from "./api-fields.ts";
import { selectorMatcher } from "./api-selectors.ts";
import { keyOf, type ApiStore, type Table } from "./api-store.ts";

export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: unknown;
}

/** What a path names. */
export interface Target {
  readonly table: Table;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Pages that are still to be fetched, by continue token. */
export type Pages = Map<string, { readonly items: readonly KubeObject[]; readonly at: number }>;

/** Finds the table a path names. Throws the 404 of a missing resource. */
export function findTarget(store: ApiStore, path: string): Target {
  const segments = path.split("/").filter(Boolean).map(decodeURIComponent);
  const group = segments[0] === "api" ? "" : segments[1];
  const rest = segments.slice(segments[0] === "api" ? 2 : 3);
  const version = segments[segments[0] === "api" ? 1 : 2];
  const isScope = rest[0] === "namespaces" && rest.length > 2 && rest[2] !== "status";
  const [plural, name, subresource] = isScope ? rest.slice(2) : rest;
  const namespace = isScope ? rest[1] : undefined;
  const table = store.tables.get(group ? `${plural}.${group}` : (plural ?? ""));
  if (!table || table.resource.version !== version) throw noResource();
  return { table, namespace, name, subresource };
}

/** Answers everything but a watch. */
export function answer(store: ApiStore, pages: Pages, request: ApiRequest): Answer {
  const target = findTarget(store, request.path);
  switch (`${request.method} ${target.name === undefined ? "collection" : "object"}`) {
    case "GET object":
      return { status: 200, body: store.get(target.table, target.namespace, target.name ?? "") };
    case "GET collection":
      return { status: 200, body: list(store, pages, target, request.query) };
    case "POST collection":
      return { status: 201, body: create(store, target, request) };
    case "PUT object":
      return { status: 200, body: update(store, target, request) };
    case "PATCH object":
      return patch(store, target, request);
    case "DELETE object":
      return { status: 200, body: remove(store, target, request) };
    default:
      throw new ApiFailure(405, "MethodNotAllowed", "the server does not allow this method here");
  }
}

function list(
  store: ApiStore,
  pages: Pages,
  target: Target,
  query: URLSearchParams,
): KubeList<Json> {
  const limit = Number(query.get("limit") ?? 0);
  const token = query.get("continue");
  const page =
    token === null ? { items: select(target, query), at: store.resourceVersion } : pages.get(token);
  if (!page)
    throw expired(
      "The provided continue parameter is too old to display a consistent list result.",
    );
  const items = limit > 0 ? page.items.slice(0, limit) : page.items;
  const left = page.items.slice(items.length);
  const { kind, group, version } = target.table.resource;
  const next = `page-${page.at}-${left.length}`;
  if (left.length > 0) pages.set(next, { items: left, at: page.at });
  return {
    apiVersion: group ? `${group}/${version}` : version,
    kind: `${kind}List`,
    metadata: {
      resourceVersion: String(page.at),
      ...(left.length > 0 ? { continue: next, remainingItemCount: left.length } : {}),
    },
    // The real server leaves apiVersion and kind out of list items.
    items: items.map((item) => ({ ...item, apiVersion: undefined, kind: undefined })),
  };
}

export function select(target: Target, query: URLSearchParams): KubeObject[] {
  const matches = selectorMatcher(query.get("labelSelector"), query.get("fieldSelector"));
  return [...target.table.objects.values()]
    .filter((object) => inScope(target, object) && matches(object))
    .toSorted((a, b) => (keyOf(a.metadata) < keyOf(b.metadata) ? -1 : 1));
}

export function inScope(target: Target, object: KubeObject): boolean {
  return target.namespace === undefined || object.metadata.namespace === target.namespace;
}

function create(store: ApiStore, target: Target, request: ApiRequest): KubeObject {
  const body = parseObject(request.body);
  const { table, namespace } = target;
  if (table.resource.namespaced && namespace === undefined)
    throw badRequest("namespace is required");
  if (body.metadata.resourceVersion)
    throw badRequest("resourceVersion should not be set on objects to be created");
  const fresh = structuredClone(body);
  if (table.statusSubresource) delete (fresh as { status?: unknown }).status;
  recordUpdate(undefined, fresh, plainWriter(request));
  return isDryRun(request) ? fresh : store.create(table, fresh, namespace);
}

function update(store: ApiStore, target: Target, request: ApiRequest): KubeObject {
  const { table, namespace, name = "" } = target;
  const body = parseObject(request.body);
  const current = store.get(table, namespace, name);
  const unconditional = table.resource.group === "";
  if (!body.metadata.resourceVersion && !unconditional) {
    const why = "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update";
    throw invalid(resourceName(table.resource), name, why);
  }
  store.checkVersion(table, current, body.metadata);
  return write(store, target, request, { current, next: structuredClone(body) });
}

function patch(store: ApiStore, target: Target, request: ApiRequest): Answer {
  const type = String(request.headers["content-type"]);
  if (type === "application/apply-patch+yaml") return apply(store, target, request);
  const { table, namespace, name = "" } = target;
  const current = store.get(table, namespace, name);
  const next = patched(type, structuredClone(current), request.body);
  if (next.metadata.resourceVersion !== current.metadata.resourceVersion) {
    store.checkVersion(table, current, { resourceVersion: next.metadata.resourceVersion });
  }
  return { status: 200, body: write(store, target, request, { current, next }) };
}

function patched(type: string, object: KubeObject, body: unknown): KubeObject {
  if (type === "application/merge-patch+json") return mergePatch(object, body) as KubeObject;
  if (type !== "application/json-patch+json") {
    throw new ApiFailure(
      415,
      "UnsupportedMediaType",
      `the body of the request was in an unknown format: ${type}`,
    );
  }
  try {
    return applyPatch(object, body as Operation[], true).newDocument;
  } catch {
    throw new ApiFailure(
      422,
      "Invalid",
      "the server rejected our request due to an error in our request",
    );
  }
}

/** RFC 7396. */
function mergePatch(target: unknown, change: unknown): unknown {
  if (!isJson(change)) return change;
  const result: Json = isJson(target) ? { ...target } : {};
  for (const [name, value] of Object.entries(change)) {
    if (value === null) delete result[name];
    else result[name] = mergePatch(result[name], value);
  }
  return result;
}

function apply(store: ApiStore, target: Target, request: ApiRequest): Answer {
  const { table, namespace, name = "", subresource } = target;
  const manager = request.query.get("fieldManager");
  if (!manager)
    throw badRequest("PatchOptions.meta.k8s.io is invalid: fieldManager: Required value");
  const applied = parseObject(request.body);
  if (applied.metadata.managedFields) throw badRequest("metadata.managedFields must be nil");
  const force = request.query.get("force") === "true";
  const by = { manager, operation: "Apply", subresource, force } as const;
  const current = table.objects.get(keyOf({ namespace, name }));
  if (!current) {
    const empty = { metadata: { name } } as KubeObject;
    const fresh = serverSideApply(empty, scoped(table, applied, subresource), by);
    return { status: 201, body: isDryRun(request) ? fresh : store.create(table, fresh, namespace) };
  }
  store.checkVersion(table, current, applied.metadata);
  const next = serverSideApply(current, scoped(table, applied, subresource), by);
  return { status: 200, body: isDryRun(request) ? next : store.replace(table, current, next) };
}

/** Leaves of an applied object only what this endpoint may set. */
function scoped(table: Table, applied: KubeObject, subresource: string | undefined): Json {
  const { status, ...rest } = applied as unknown as Json;
  if (subresource === "status") return status === undefined ? {} : { status };
  return table.statusSubresource || status === undefined ? rest : { ...rest, status };
}

interface Write {
  readonly current: KubeObject;
  readonly next: KubeObject;
}

function write(store: ApiStore, target: Target, request: ApiRequest, change: Write): KubeObject {
  const { table, subresource } = target;
  const current = change.current as KubeObject & { status?: unknown };
  let next = change.next as KubeObject & { status?: unknown };
  if (subresource === "status") {
    next = { ...structuredClone(current), ...("status" in next ? { status: next.status } : {}) };
  } else if (table.statusSubresource) {
    if (current.status === undefined) delete next.status;
    else next.status = current.status;
  }
  recordUpdate(current, next, { ...plainWriter(request), subresource });
  return isDryRun(request) ? next : store.replace(table, current, next);
}

function remove(store: ApiStore, target: Target, request: ApiRequest): unknown {
  const { table, namespace, name = "" } = target;
  const current = store.get(table, namespace, name);
  const options = isJson(request.body) ? request.body : {};
  store.checkVersion(table, current, options["preconditions"] ?? {});
  if (isDryRun(request)) return current;
  const removed = store.remove(table, current);
  if (removed.metadata.finalizers?.length) return removed;
  return {
    kind: "Status",
    apiVersion: "v1",
    status: "Success",
    details: { name, uid: removed.metadata.uid },
  };
}

function plainWriter(request: ApiRequest) {
  const agent = String(request.headers["user-agent"] ?? "unknown").split("/")[0] ?? "unknown";
  return { manager: request.query.get("fieldManager") ?? agent, operation: "Update" } as const;
}

function isDryRun(request: ApiRequest): boolean {
  return request.query.get("dryRun") === "All";
}

function parseObject(body: unknown): KubeObject {
  if (!isJson(body) || !isJson(body["metadata"]))
    throw badRequest("the object provided is unrecognized");
  return body as unknown as KubeObject;
}
