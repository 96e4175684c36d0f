import { SignetError } from "../core/errors.ts";
import type {
  ApplyOptions,
  ListOptions,
  Patch,
  RemoveOptions,
  WatchOptions,
  WriteOptions,
} from "./verbs.ts";
import {
  apiVersionOf,
  resourceName,
  resourcePath,
  type ObjectKey,
  type Resource,
  type ResourceLocation,
} from "./resources.ts";
import type { TransportRequest } from "./transport.ts";
import type { ObjectMeta } from "./types.ts";

/** A verb as HTTP, still without its time limit. */
export type VerbRequest = Omit<TransportRequest, "timeoutMs" | "signal">;

interface Body {
  readonly metadata: Partial<ObjectMeta>;
}

const PATCH_TYPES: Readonly<Record<Patch["type"], string>> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
};

export function getRequest(resource: Resource, key: ObjectKey): VerbRequest {
  return {
    method: "GET",
    path: resourcePath(resource, key),
    what: describe("get", resource, key),
  };
}

export function listRequest(resource: Resource, options: ListOptions): VerbRequest {
  const { limit, continue: next, namespace, labelSelector, fieldSelector } = options;
  return {
    method: "GET",
    path: resourcePath(resource, { namespace }),
    query: { labelSelector, fieldSelector, limit, continue: next },
    what: describe("list", resource, { namespace }),
  };
}

export function watchRequest(resource: Resource, options: WatchOptions): VerbRequest {
  const { namespace, ...query } = options;
  return {
    method: "GET",
    path: resourcePath(resource, { namespace }),
    query: { ...query, watch: true, allowWatchBookmarks: true },
    what: describe("watch", resource, { namespace }),
  };
}

/** Throws INVALID_ARGUMENT when a namespaced object has no namespace. */
export function createRequest(resource: Resource, object: Body, write: WriteOptions): VerbRequest {
  const { name, namespace } = object.metadata;
  const { subresource } = write;
  if (resource.namespaced && namespace === undefined) {
    throw invalid(`cannot create ${resourceName(resource)}: the object has no metadata.namespace`);
  }
  const path = resourcePath(
    resource,
    subresource === undefined ? { namespace } : { namespace, name, subresource },
  );
  return {
    method: "POST",
    path,
    query: writeQuery(write),
    body: typed(resource, object),
    what: describe("create", resource, { namespace, name }),
  };
}

export function updateRequest(resource: Resource, object: Body, write: WriteOptions): VerbRequest {
  return {
    method: "PUT",
    path: resourcePath(resource, locate(resource, object, write)),
    query: writeQuery(write),
    body: typed(resource, object),
    what: describe("update", resource, object.metadata),
  };
}

export function patchRequest(
  resource: Resource,
  key: ObjectKey,
  change: { readonly patch: Patch } & WriteOptions,
): VerbRequest {
  return {
    method: "PATCH",
    path: resourcePath(resource, { ...key, subresource: change.subresource }),
    query: writeQuery(change),
    body: change.patch.body,
    contentType: PATCH_TYPES[change.patch.type],
    what: describe("patch", resource, key),
  };
}

export function applyRequest(resource: Resource, object: Body, apply: ApplyOptions): VerbRequest {
  const { fieldManager, force } = apply;
  return {
    method: "PATCH",
    path: resourcePath(resource, locate(resource, object, apply)),
    query: { ...writeQuery(apply), fieldManager, force },
    body: typed(resource, object),
    contentType: "application/apply-patch+yaml",
    what: describe("apply", resource, object.metadata),
  };
}

export function removeRequest(
  resource: Resource,
  key: ObjectKey,
  options: RemoveOptions,
): VerbRequest {
  const { uid, resourceVersion, propagationPolicy } = options;
  // JSON.stringify leaves out what is undefined.
  const preconditions =
    uid === undefined && resourceVersion === undefined ? undefined : { uid, resourceVersion };
  return {
    method: "DELETE",
    path: resourcePath(resource, key),
    body: { apiVersion: "v1", kind: "DeleteOptions", preconditions, propagationPolicy },
    what: describe("delete", resource, key),
  };
}

/** `get pods "ns/name"`, `list pods in namespace "ns"`, `list nodes`. */
function describe(verb: string, resource: Resource, at: ResourceLocation): string {
  const start = `${verb} ${resourceName(resource)}`;
  if (at.name !== undefined) {
    return `${start} "${at.namespace === undefined ? "" : `${at.namespace}/`}${at.name}"`;
  }
  return at.namespace === undefined ? start : `${start} in namespace "${at.namespace}"`;
}

function locate(resource: Resource, object: Body, write: WriteOptions): ResourceLocation {
  const { namespace, name } = object.metadata;
  if (name === undefined) {
    throw invalid(`cannot write ${resourceName(resource)}: the object has no metadata.name`);
  }
  return { namespace, name, subresource: write.subresource };
}

function typed(resource: Resource, object: Body): Body {
  return { apiVersion: apiVersionOf(resource), kind: resource.kind, ...object } as Body;
}

function writeQuery(write: WriteOptions): { readonly dryRun: string | undefined } {
  return { dryRun: write.dryRun === true ? "All" : undefined };
}

function invalid(message: string): SignetError {
  return new SignetError("INVALID_ARGUMENT", message);
}
