import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { manualClock, type ManualClock } from "../../src/core/clock.ts";
import { createKubeClient, type KubeClient } from "../../src/kube/client.ts";
import { CONFIG_MAPS } from "../../src/kube/resources.ts";
import { isExpired } from "../../src/kube/status.ts";
import type { ConfigMap, WatchEvent } from "../../src/kube/types.ts";
import { startFakeApiServer, type FakeApiServer } from "../fakes/api-server.ts";

let server: FakeApiServer;
let client: KubeClient;
let clock: ManualClock;

beforeEach(async () => {
  server = await startFakeApiServer();
  clock = manualClock(1_700_000_000_000);
  client = createKubeClient({ config: server.config(), clock });
});

afterEach(async () => {
  await client.close();
  await server.close();
});

const put = (
  name: string,
  data: Record<string, string> = {},
  labels: Record<string, string> = {},
) => server.put<ConfigMap>(CONFIG_MAPS, { metadata: { name, namespace: "shop", labels }, data });

/** Collects the events of a watch; `ended` tells how it ended. */
function follow(options: { resourceVersion?: string; labelSelector?: string } = {}) {
  const events: WatchEvent[] = [];
  const stop = new AbortController();
  const resourceVersion = String(server.store.resourceVersion);
  const watch = { resourceVersion, timeoutSeconds: 300, ...options };
  const run = async (): Promise<unknown> => {
    try {
      for await (const event of client.watch(CONFIG_MAPS, watch, stop.signal)) events.push(event);
      return "regular end";
    } catch (error) {
      return error;
    }
  };
  return { events, stop, ended: run() };
}

const opened = () => vi.waitFor(() => expect(server.watches).toBe(1));
const summary = (events: WatchEvent[]) => events.map((e) => `${e.type} ${e.object.metadata.name}`);

it("brings additions, changes and removals in order, the past first", async () => {
  const resourceVersion = String(server.store.resourceVersion);
  put("a");
  const { events, ended } = follow({ resourceVersion });
  await opened();
  put("a", { x: "1" });
  server.delete(CONFIG_MAPS, { namespace: "shop", name: "a" });
  server.endWatches();
  expect(await ended).toBe("regular end");
  expect(summary(events)).toEqual(["ADDED a", "MODIFIED a", "DELETED a"]);
});

it("shows an object that leaves the selection as removed", async () => {
  put("a", {}, { app: "x" });
  const { events, ended } = follow({ labelSelector: "app=x" });
  await opened();
  put("a", {}, { app: "y" });
  server.endWatches();
  await ended;
  expect(summary(events)).toEqual(["DELETED a"]);
});

it("asks for bookmarks and brings them", async () => {
  const { events, ended } = follow();
  await opened();
  put("a");
  server.sendBookmarks();
  server.endWatches();
  await ended;
  expect(events.at(-1)).toMatchObject({
    type: "BOOKMARK",
    object: { metadata: { resourceVersion: String(server.store.resourceVersion) } },
  });
});

it("ends with the server's error when the resourceVersion is too old", async () => {
  put("a");
  server.compact();
  const error = await follow({ resourceVersion: "1" }).ended;
  expect(isExpired(error)).toBe(true);
});

it("ends with the server's error when that comes as an event", async () => {
  const { ended } = follow();
  await opened();
  const object = {
    kind: "Status",
    code: 410,
    reason: "Expired",
    message: "too old resource version",
  };
  server.corruptWatches(`${JSON.stringify({ type: "ERROR", object })}\n`);
  const error = await ended;
  expect(isExpired(error)).toBe(true);
  expect(error).toMatchObject({
    message: "cannot watch configmaps: too old resource version (410 Expired)",
  });
});

it.each([
  ["a line that is not JSON", "{]\n"],
  ["an event of no known type", '{"type":"WHAT","object":{"metadata":{"resourceVersion":"1"}}}\n'],
  ["an event without metadata", '{"type":"ADDED","object":{}}\n'],
])("ends with MALFORMED at %s", async (_, text) => {
  const { ended } = follow();
  await opened();
  server.corruptWatches(text);
  expect(await ended).toMatchObject({ code: "MALFORMED" });
});

it("ends with UNAVAILABLE when the connection breaks", async () => {
  const { ended } = follow();
  await opened();
  server.breakConnections();
  expect(await ended).toMatchObject({ code: "UNAVAILABLE" });
});

it("ends with UNAVAILABLE when the stream stops inside an event", async () => {
  const { ended } = follow();
  await opened();
  server.corruptWatches('{"type":"ADD');
  server.endWatches();
  expect(await ended).toMatchObject({ code: "UNAVAILABLE", details: { reason: "Truncated" } });
});

it("gives up a watch that outlives its time by half a minute", async () => {
  const { ended } = follow();
  await opened();
  await clock.advance(330_000);
  expect(await ended).toMatchObject({ code: "UNAVAILABLE", details: { reason: "Silent" } });
});

it("gives up a watch on which bookmarks stop coming long before its time is over", async () => {
  const { events, ended } = follow();
  await opened();
  server.sendBookmarks();
  await vi.waitFor(() => expect(events).toHaveLength(1));
  await clock.advance(181_000);
  expect(await ended).toMatchObject({ code: "UNAVAILABLE", details: { reason: "Silent" } });
});

it("stays as long as bookmarks come", async () => {
  const { events, ended } = follow();
  await opened();
  for (let minute = 1; minute <= 5; minute += 1) {
    await clock.advance(60_000);
    server.sendBookmarks();
    await vi.waitFor(() => expect(events).toHaveLength(minute));
  }
  expect(server.watches).toBe(1);
  server.endWatches();
  expect(await ended).toBe("regular end");
});

it("leaves no connection and no timer behind when the caller stops", async () => {
  const { stop, ended } = follow();
  await opened();
  stop.abort();
  expect(await ended).toMatchObject({ code: "CANCELLED" });
  await vi.waitFor(() => expect(server.watches).toBe(0));
  expect(clock.sleeping).toBe(0);
});
