import type { Clock } from "../core/clock.ts";
import type { KubeConfig } from "./config.ts";
import * as requests from "./requests.ts";
import { apiVersionOf, type ObjectKey, type Resource } from "./resources.ts";
import { createTransport } from "./transport.ts";
import type { KubeList, KubeObject, NewObject, WatchEvent } from "./types.ts";
import type {
  ApplyOptions,
  CallOptions,
  ListOptions,
  Patch,
  RemoveOptions,
  WatchOptions,
  WriteOptions,
} from "./verbs.ts";
import { watchStream } from "./watch.ts";

export type * from "./verbs.ts";

/**
 * The API server's verbs. All throw SignetError with `details` {status, reason, retryAfterSeconds?}:
 * NOT_FOUND 404, ALREADY_EXISTS and CONFLICT 409, PERMISSION_DENIED 403, UNAUTHENTICATED 401, INVALID_SPEC 422,
 * FAILED_PRECONDITION 410 and 412, UNAVAILABLE 429, 5xx, time-outs and network failures, CANCELLED by the signal.
 */
export interface KubeClient {
  get<T extends KubeObject>(resource: Resource, key: ObjectKey, options?: CallOptions): Promise<T>;
  /** One page. Items carry `apiVersion` and `kind`, which the API server leaves out in lists. */
  list<T extends KubeObject>(resource: Resource, options?: ListOptions): Promise<KubeList<T>>;
  create<T extends KubeObject>(
    resource: Resource,
    object: NewObject<T>,
    options?: WriteOptions,
  ): Promise<T>;
  /** Replaces; CONFLICT when the object's resourceVersion is not the current one. */
  update<T extends KubeObject>(resource: Resource, object: T, options?: WriteOptions): Promise<T>;
  patch<T extends KubeObject>(
    resource: Resource,
    key: ObjectKey,
    change: { readonly patch: Patch } & WriteOptions,
  ): Promise<T>;
  /** Server-side apply: creates the object, or owns exactly these fields of it. */
  apply<T extends KubeObject>(
    resource: Resource,
    object: NewObject<T>,
    options: ApplyOptions,
  ): Promise<T>;
  remove(resource: Resource, key: ObjectKey, options?: RemoveOptions): Promise<void>;
  /** See `watchStream` for how it ends. Bookmarks are always asked for. */
  watch<T extends KubeObject>(
    resource: Resource,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>>;
  /** GET of any path that answers in JSON, e.g. `/openid/v1/jwks`. */
  raw(path: string, options?: CallOptions): Promise<unknown>;
  /** Breaks off whatever still runs. */
  close(): Promise<void>;
}

export interface KubeClientOptions {
  readonly config: KubeConfig;
  readonly clock: Clock;
  /** 30 s when left out. */
  readonly timeoutMs?: number;
  readonly userAgent?: string;
  /** 128 MiB when left out. */
  readonly maxResponseBytes?: number;
}

/** Makes a client with its own pool of connections: one per cluster and process is right. */
export function createKubeClient(options: KubeClientOptions): KubeClient {
  const { config, clock, timeoutMs = 30_000, userAgent = "signet" } = options;
  const { maxResponseBytes = 128 * 1024 * 1024 } = options;
  const transport = createTransport({ config, userAgent, maxResponseBytes });
  const send = async <T>(request: requests.VerbRequest, call: CallOptions = {}): Promise<T> =>
    (await transport.send({
      ...request,
      timeoutMs: call.timeoutMs ?? timeoutMs,
      signal: call.signal,
    })) as T;

  return {
    get: (resource, key, call) => send(requests.getRequest(resource, key), call),
    async list<T extends KubeObject>(resource: Resource, list: ListOptions = {}) {
      const answer = await send<KubeList<T>>(requests.listRequest(resource, list), list);
      return fillKinds(resource, answer);
    },
    create: async (resource, object, write = {}) =>
      send(requests.createRequest(resource, object, write), write),
    update: async (resource, object, write = {}) =>
      send(requests.updateRequest(resource, object, write), write),
    patch: async (resource, key, change) =>
      send(requests.patchRequest(resource, key, change), change),
    apply: async (resource, object, apply) =>
      send(requests.applyRequest(resource, object, apply), apply),
    async remove(resource, key, remove = {}) {
      await send(requests.removeRequest(resource, key, remove), remove);
    },
    watch: <T extends KubeObject>(resource: Resource, watch: WatchOptions, signal: AbortSignal) =>
      watchStream<T>({
        transport,
        clock,
        timeoutSeconds: watch.timeoutSeconds,
        request: { ...requests.watchRequest(resource, watch), timeoutMs, signal },
      }),
    raw: (path, call) => send({ method: "GET", path, what: `get ${path}` }, call),
    close: () => transport.close(),
  };
}

function fillKinds<T extends KubeObject>(resource: Resource, list: KubeList<T>): KubeList<T> {
  const apiVersion = apiVersionOf(resource);
  // A Go server writes an empty list as null.
  list.items ??= [];
  for (const item of list.items) {
    item.apiVersion ??= apiVersion;
    item.kind ??= resource.kind;
  }
  return list;
}
