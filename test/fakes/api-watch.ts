import type { ServerResponse } from "node:http";
import { ApiFailure, expired } from "./api-failure.ts";
import { inScope, select, type Target } from "./api-routes.ts";
import { selectorMatcher } from "./api-selectors.ts";
import type { ApiStore, Change } from "./api-store.ts";

/** One open watch. */
export interface OpenWatch {
  readonly target: Target;
  /** Writes raw bytes into the stream. */
  write(text: string): void;
  bookmark(): void;
  /** Ends the stream as the server does when the time is up. */
  end(): void;
}

export interface WatchTimes {
  /** Between bookmarks, in milliseconds. */
  readonly bookmarkMs: number;
  /** How long a second of `timeoutSeconds` lasts, in milliseconds. */
  readonly secondMs: number;
}

/** Serves a watch: the past from the history, then the present. Throws 410 or 504 for a wrong resourceVersion. */
export function serveWatch(
  store: ApiStore,
  target: Target,
  query: URLSearchParams,
  io: { readonly response: ServerResponse; readonly times: WatchTimes },
): OpenWatch {
  const { response, times } = io;
  const since = Number(query.get("resourceVersion") || 0);
  const write = (text: string): void => {
    if (!response.writableEnded) response.write(text);
  };
  const send = (event: unknown): void => write(`${JSON.stringify(event)}\n`);
  const matches = selectorMatcher(query.get("labelSelector"), query.get("fieldSelector"));
  const pass = (change: Change): void => {
    if (!inScope(target, change.object)) return;
    const now = change.type !== "DELETED" && matches(change.object);
    const before = change.previous !== undefined && matches(change.previous);
    if (now) send({ type: before ? "MODIFIED" : "ADDED", object: change.object });
    // An object that leaves the selection is deleted as far as this watch goes.
    else if (before)
      send({ type: "DELETED", object: { ...change.previous, metadata: change.object.metadata } });
  };

  checkVersion(store, since);
  response.writeHead(200, { "content-type": "application/json" });
  response.flushHeaders();
  if (since === 0) for (const object of select(target, query)) send({ type: "ADDED", object });
  else for (const change of target.table.history) if (change.resourceVersion > since) pass(change);
  target.table.listeners.add(pass);

  const bookmark = (): void => {
    if (query.get("allowWatchBookmarks") !== "true") return;
    const { kind } = target.table.resource;
    const resourceVersion = String(store.resourceVersion);
    send({
      type: "BOOKMARK",
      object: { kind, metadata: { resourceVersion, creationTimestamp: null } },
    });
  };
  const end = (): void => void response.end();
  const seconds = Number(query.get("timeoutSeconds") ?? 1800);
  const bookmarks = setInterval(bookmark, times.bookmarkMs);
  const timeout = setTimeout(end, seconds * times.secondMs);
  response.on("close", () => {
    clearInterval(bookmarks);
    clearTimeout(timeout);
    target.table.listeners.delete(pass);
  });
  return { target, write, bookmark, end };
}

function checkVersion(store: ApiStore, since: number): void {
  if (since > store.resourceVersion) {
    const words = `Too large resource version: ${since}, current: ${store.resourceVersion}`;
    throw new ApiFailure(504, "Timeout", words);
  }
  if (since !== 0 && since < store.compactedTo) {
    throw expired(`too old resource version: ${since} (${store.compactedTo})`);
  }
}
