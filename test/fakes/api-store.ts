import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { apiVersionOf, resourceName, type Resource } from "../../src/kube/resources.ts";
import type { KubeObject, NewObject, ObjectMeta } from "../../src/kube/types.ts";
import { alreadyExists, conflict, invalid, notFound } from "./api-failure.ts";

export interface Change {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: KubeObject;
  readonly previous?: KubeObject;
  readonly resourceVersion: number;
}

export interface Table {
  readonly resource: Resource;
  /** Whether `status` can only be written through its subresource. */
  readonly statusSubresource: boolean;
  readonly objects: Map<string, KubeObject>;
  readonly listeners: Set<(change: Change) => void>;
  history: Change[];
}

/** The objects of one cluster with one growing resourceVersion and a history to watch from. */
export class ApiStore {
  resourceVersion = 1000;
  /** Watches from an older resourceVersion than this are refused. */
  compactedTo = 0;
  readonly tables = new Map<string, Table>();

  define(resource: Resource, statusSubresource: boolean): void {
    const table = {
      resource,
      statusSubresource,
      objects: new Map(),
      listeners: new Set(),
      history: [],
    };
    this.tables.set(resourceName(resource), table as Table);
  }

  table(resource: Resource): Table {
    const table = this.tables.get(resourceName(resource));
    if (!table) throw new Error(`the fake API server does not know ${resourceName(resource)}`);
    return table;
  }

  get(table: Table, namespace: string | undefined, name: string): KubeObject {
    const object = table.objects.get(keyOf({ namespace, name }));
    if (!object) throw notFound(resourceName(table.resource), name);
    return object;
  }

  create(table: Table, body: NewObject, namespace: string | undefined): KubeObject {
    const { generateName } = body.metadata;
    const name = body.metadata.name ?? (generateName && generateName + randomUUID().slice(0, 5));
    const plural = resourceName(table.resource);
    if (!name)
      throw invalid(plural, "", "metadata.name: Required value: name or generateName is required");
    if (table.objects.has(keyOf({ namespace, name }))) throw alreadyExists(plural, name);
    const metadata: ObjectMeta = {
      ...structuredClone(body.metadata),
      name,
      uid: randomUUID(),
      generation: 1,
      creationTimestamp: `${new Date().toISOString().slice(0, 19)}Z`,
      resourceVersion: "",
    };
    if (namespace !== undefined) metadata.namespace = namespace;
    const { apiVersion = apiVersionOf(table.resource), kind = table.resource.kind } = body;
    return this.#commit(table, "ADDED", { ...structuredClone(body), apiVersion, kind, metadata });
  }

  /** Stores `next` in place of `current`; a write that changes nothing gives no new resourceVersion. */
  replace(table: Table, current: KubeObject, next: KubeObject): KubeObject {
    const { metadata } = next;
    const kept = current.metadata;
    next.apiVersion ??= current.apiVersion ?? apiVersionOf(table.resource);
    next.kind ??= table.resource.kind;
    metadata.uid = kept.uid;
    metadata.creationTimestamp = kept.creationTimestamp;
    metadata.resourceVersion = kept.resourceVersion;
    if (kept.deletionTimestamp) metadata.deletionTimestamp = kept.deletionTimestamp;
    metadata.generation =
      (kept.generation ?? 1) + (isDeepStrictEqual(body(current), body(next)) ? 0 : 1);
    if (isDeepStrictEqual(withoutManagers(current), withoutManagers(next))) return current;
    if (metadata.deletionTimestamp && !metadata.finalizers?.length) return this.#drop(table, next);
    return this.#commit(table, "MODIFIED", next, current);
  }

  remove(table: Table, current: KubeObject): KubeObject {
    const { metadata } = current;
    if (!metadata.finalizers?.length) return this.#drop(table, current);
    if (metadata.deletionTimestamp) return current;
    const next = structuredClone(current);
    next.metadata.deletionTimestamp = `${new Date().toISOString().slice(0, 19)}Z`;
    return this.#commit(table, "MODIFIED", next, current);
  }

  /** Refuses a write that was based on another version of the object. */
  checkVersion(table: Table, current: KubeObject, based: Partial<ObjectMeta>): void {
    const { name, uid, resourceVersion } = current.metadata;
    const plural = resourceName(table.resource);
    if (based.uid !== undefined && based.uid !== uid) {
      throw conflict(
        plural,
        name,
        `Precondition failed: UID in precondition: ${based.uid}, UID in object meta: ${uid}`,
      );
    }
    if (based.resourceVersion && based.resourceVersion !== resourceVersion) {
      throw conflict(
        plural,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
      );
    }
  }

  /** Forgets all history, as etcd compaction does. */
  compact(): void {
    this.compactedTo = this.resourceVersion;
    for (const table of this.tables.values()) table.history = [];
  }

  #drop(table: Table, current: KubeObject): KubeObject {
    table.objects.delete(keyOf(current.metadata));
    return this.#commit(table, "DELETED", structuredClone(current), current);
  }

  #commit(
    table: Table,
    type: Change["type"],
    object: KubeObject,
    previous?: KubeObject,
  ): KubeObject {
    this.resourceVersion += 1;
    object.metadata.resourceVersion = String(this.resourceVersion);
    if (type !== "DELETED") table.objects.set(keyOf(object.metadata), object);
    const change: Change = {
      type,
      object,
      resourceVersion: this.resourceVersion,
      ...(previous ? { previous } : {}),
    };
    table.history.push(change);
    for (const listener of table.listeners) listener(change);
    return object;
  }
}

export function keyOf(key: { namespace?: string | undefined; name: string }): string {
  return `${key.namespace ?? ""}/${key.name}`;
}

/** What counts for `generation`: everything but metadata and status. */
function body(object: KubeObject): unknown {
  return { ...object, metadata: undefined, status: undefined };
}

function withoutManagers(object: KubeObject): unknown {
  const { managedFields: _, generation: __, ...metadata } = object.metadata;
  return { ...object, metadata };
}
