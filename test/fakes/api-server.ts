import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { KubeConfig } from "../../src/kube/config.ts";
import * as resources from "../../src/kube/resources.ts";
import type { Resource } from "../../src/kube/resources.ts";
import type { KubeObject, NewObject } from "../../src/kube/types.ts";
import { ApiFailure } from "./api-failure.ts";
import { answer, findTarget, type ApiRequest, type Pages } from "./api-routes.ts";
import { ApiStore, keyOf } from "./api-store.ts";
import { makeServerCertificate } from "./api-tls.ts";
import { serveWatch, type OpenWatch, type WatchTimes } from "./api-watch.ts";

/**
 * What happens to a request instead of the ordinary answer: another answer, a connection reset before anything is
 * done, silence, or a write that is done while its answer is lost.
 */
export type Fault =
  | { readonly status: number; readonly body: unknown; readonly headers?: Record<string, string> }
  | "reset"
  | "hang"
  | "lose-answer";

export interface FakeApiServerOptions {
  /** The tokens that are let in; everyone when left out. */
  readonly tokens?: readonly string[];
  readonly times?: Partial<WatchTimes>;
}

export interface FakeApiServer extends AsyncDisposable {
  readonly url: string;
  /** PEM. */
  readonly ca: string;
  readonly store: ApiStore;
  /** Every request so far. */
  readonly requests: ApiRequest[];
  /** How many TCP connections were ever opened. */
  readonly connections: number;
  /** How many watches are open. */
  readonly watches: number;
  /** Decides about each request before it is served; may be replaced at any time. */
  intercept: (request: ApiRequest) => Fault | undefined;
  /** Tokens that are let in from now on. */
  tokens: readonly string[] | undefined;
  /** Takes over connections that ask for another protocol; without it they are cut. */
  upgrade: ((request: IncomingMessage, socket: Duplex, head: Buffer) => void) | undefined;
  /** Configuration for a client; `token` tells clients apart in `requests` and `breakConnections`. */
  config(token?: string): KubeConfig;
  /** Adds a resource, as installing a CRD does. */
  define(resource: Resource, options?: { readonly statusSubresource?: boolean }): void;
  undefine(resource: Resource): void;
  /** Creates or replaces an object past all checks, status included. */
  put<T extends KubeObject>(resource: Resource, object: NewObject<T>): T;
  delete(resource: Resource, key: resources.ObjectKey): void;
  objects<T extends KubeObject>(resource: Resource): T[];
  /** Forgets history and open pages: older watches and continue tokens get 410. */
  compact(): void;
  /** Ends all watches the regular way. */
  endWatches(): void;
  sendBookmarks(): void;
  /** Writes raw text into every open watch. */
  corruptWatches(text: string): void;
  /** Resets TCP connections: all, or those whose last request had this token. */
  breakConnections(token?: string): void;
  close(): Promise<void>;
}

const WITH_STATUS = new Set([
  resources.PODS,
  resources.NODES,
  resources.NAMESPACES,
  resources.DEPLOYMENTS,
]);
const MAX_BODY_BYTES = 8 * 1024 * 1024;

/** Starts a fake API server on a free port of 127.0.0.1, with every resource of `kube/resources.ts`. */
export async function startFakeApiServer(
  options: FakeApiServerOptions = {},
): Promise<FakeApiServer> {
  const tls = await makeServerCertificate();
  const store = new ApiStore();
  const pages: Pages = new Map();
  const requests: ApiRequest[] = [];
  const watches = new Set<OpenWatch>();
  const sockets = new Map<Socket, string | undefined>();
  const times = { bookmarkMs: 60_000, secondMs: 1000, ...options.times };
  let connections = 0;

  for (const resource of Object.values(resources)) {
    if (typeof resource === "object") store.define(resource, WITH_STATUS.has(resource));
  }

  const serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const request = await readRequest(incoming);
    const token = bearerOf(request);
    sockets.set(incoming.socket, token);
    requests.push(request);
    const fault = server.intercept(request);
    if (fault === "hang") return;
    if (fault === "reset") return void incoming.socket.destroy();
    if (typeof fault === "object")
      return respond(response, fault.status, fault.body, fault.headers);
    if (server.tokens && !server.tokens.includes(token ?? "")) {
      throw new ApiFailure(401, "Unauthorized", "Unauthorized");
    }
    if (request.query.get("watch") === "true") {
      const target = findTarget(store, request.path);
      const watch = serveWatch(store, target, request.query, { response, times });
      watches.add(watch);
      response.on("close", () => watches.delete(watch));
      return;
    }
    const result = answer(store, pages, request);
    if (fault === "lose-answer") return void incoming.socket.destroy();
    respond(response, result.status, result.body);
  };

  const https = createServer({ cert: tls.cert, key: tls.key }, (incoming, response) => {
    serve(incoming, response).catch((error: unknown) => {
      const failure =
        error instanceof ApiFailure ? error : new ApiFailure(500, "InternalError", String(error));
      respond(response, failure.status.code ?? 500, failure.status);
    });
  });
  https.on("upgrade", (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (server.upgrade) server.upgrade(incoming, socket, head);
    else socket.destroy();
  });
  https.on("secureConnection", (socket: Socket) => {
    connections += 1;
    sockets.set(socket, undefined);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => https.listen(0, "127.0.0.1", resolve));
  const url = `https://127.0.0.1:${(https.address() as AddressInfo).port}`;

  const server: FakeApiServer = {
    url,
    ca: tls.ca,
    store,
    requests,
    intercept: () => undefined,
    tokens: options.tokens,
    upgrade: undefined,
    get connections() {
      return connections;
    },
    get watches() {
      return watches.size;
    },
    config: (token = "test") => ({
      server: url,
      ca: () => tls.ca,
      token: () => token,
      namespace: "default",
    }),
    define: (resource, { statusSubresource = true } = {}) =>
      store.define(resource, statusSubresource),
    undefine: (resource) => void store.tables.delete(resources.resourceName(resource)),
    put: <T extends KubeObject>(resource: Resource, object: NewObject<T>) =>
      put(store, resource, object as NewObject) as T,
    delete(resource, key) {
      const table = store.table(resource);
      store.remove(table, store.get(table, key.namespace, key.name));
    },
    objects: <T extends KubeObject>(resource: Resource) =>
      [...store.table(resource).objects.values()] as T[],
    compact() {
      store.compact();
      pages.clear();
    },
    endWatches: () => watches.forEach((watch) => watch.end()),
    sendBookmarks: () => watches.forEach((watch) => watch.bookmark()),
    corruptWatches: (text) => watches.forEach((watch) => watch.write(text)),
    breakConnections(token) {
      for (const [socket, last] of sockets)
        if (token === undefined || last === token) socket.destroy();
    },
    async close() {
      for (const socket of sockets.keys()) socket.destroy();
      await new Promise((resolve) => https.close(resolve));
    },
    [Symbol.asyncDispose]: () => server.close(),
  };
  return server;
}

function put(store: ApiStore, resource: Resource, object: NewObject): KubeObject {
  const table = store.table(resource);
  const { namespace, name = "" } = object.metadata;
  const current = table.objects.get(keyOf({ namespace, name }));
  if (!current) return store.create(table, object, namespace);
  return store.replace(table, current, structuredClone(object) as KubeObject);
}

async function readRequest(incoming: IncomingMessage): Promise<ApiRequest> {
  const url = new URL(incoming.url ?? "/", "https://fake");
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new ApiFailure(413, "RequestEntityTooLarge", "body too large");
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString("utf8");
  return {
    method: incoming.method ?? "GET",
    path: url.pathname,
    query: url.searchParams,
    headers: incoming.headers,
    body: text === "" ? undefined : JSON.parse(text),
  };
}

function bearerOf(request: ApiRequest): string | undefined {
  return String(request.headers["authorization"] ?? "").match(/^Bearer (.+)$/)?.[1];
}

function respond(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): void {
  if (response.headersSent) {
    response.end();
    return;
  }
  const type = typeof body === "string" ? "text/plain" : "application/json";
  response.writeHead(status, { "content-type": type, ...headers });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}
