import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog, type Log, type LogFields } from "../../src/core/log.ts";
import { Cache } from "../../src/kube/cache.ts";
import { createKubeClient, type KubeClient } from "../../src/kube/client.ts";
import { startReflector, type Reflector, type ReflectorOptions } from "../../src/kube/reflector.ts";
import { CONFIG_MAPS, NODES, type Resource } from "../../src/kube/resources.ts";
import type { ConfigMap, KubeObject } from "../../src/kube/types.ts";
import { startFakeApiServer, type FakeApiServer } from "../fakes/api-server.ts";

const WIDGETS: Resource = {
  group: "example.org",
  version: "v1",
  plural: "widgets",
  kind: "Widget",
  namespaced: true,
};

let server: FakeApiServer;
let client: KubeClient;
let cache: Cache<ConfigMap>;
let reflector: Reflector;
let logged: (LogFields & { level: string; message: string })[];

beforeEach(async () => {
  server = await startFakeApiServer();
  client = createKubeClient({ config: server.config(), clock: systemClock() });
  cache = new Cache<ConfigMap>({ log: silentLog() });
  logged = [];
});

afterEach(async () => {
  await reflector.stop();
  await client.close();
  await server.close();
});

function recordingLog(): Log {
  const log: Log = {
    debug: (fields, message) => void logged.push({ ...fields, level: "debug", message }),
    info: (fields, message) => void logged.push({ ...fields, level: "info", message }),
    warn: (fields, message) => void logged.push({ ...fields, level: "warn", message }),
    error: (fields, message) => void logged.push({ ...fields, level: "error", message }),
    child: () => log,
  };
  return log;
}

const metadataOnly = ({ metadata }: ConfigMap): ConfigMap => ({ metadata });

function refuseBad(raw: ConfigMap): ConfigMap {
  if (raw.data?.["bad"]) throw new Error("will not do");
  return raw;
}

function start(options: Partial<ReflectorOptions<ConfigMap>> = {}): Reflector {
  reflector = startReflector<ConfigMap>({
    client,
    resource: CONFIG_MAPS,
    handler: cache,
    clock: systemClock(),
    log: recordingLog(),
    random: () => 0.5,
    backoff: { initialMs: 5, maxMs: 20 },
    ...options,
  });
  return reflector;
}

const put = (name: string, data: Record<string, string> = {}) =>
  server.put<ConfigMap>(CONFIG_MAPS, { metadata: { name, namespace: "shop" }, data });
const remove = (name: string) => server.delete(CONFIG_MAPS, { namespace: "shop", name });
const versions = (objects: readonly KubeObject[]) =>
  Object.fromEntries(objects.map(({ metadata }) => [metadata.uid, metadata.resourceVersion]));
const settled = () =>
  vi.waitFor(
    () => expect(versions(cache.list())).toEqual(versions(server.objects(CONFIG_MAPS))),
    10_000,
  );
const watching = () => vi.waitFor(() => expect(server.watches).toBe(1), 10_000);
const count = (kind: "list" | "watch") =>
  server.requests.filter(({ query }) => (query.get("watch") === "true") === (kind === "watch"))
    .length;

it("lists in pages, then follows the watch", async () => {
  for (let i = 0; i < 25; i += 1) put(`c-${i}`);
  await start({ pageSize: 10 }).synced;
  expect(cache.size).toBe(25);
  expect(count("list")).toBe(3);
  await watching();
  put("new");
  remove("c-3");
  await settled();
  expect(count("list")).toBe(3);
});

it("keeps only what the projection leaves", async () => {
  put("a", { secret: "x" });
  await start({ project: metadataOnly }).synced;
  await watching();
  put("b", { secret: "y" });
  await settled();
  expect(cache.list().map((object) => Object.keys(object))).toEqual([["metadata"], ["metadata"]]);
});

it("leaves out an object that cannot be projected, in the list and later", async () => {
  put("good");
  put("bad", { bad: "1" });
  await start({ project: refuseBad }).synced;
  expect(cache.list().map((object) => object.metadata.name)).toEqual(["good"]);
  await watching();
  put("good", { bad: "1" });
  put("bad", {});
  await vi.waitFor(() =>
    expect(cache.list().map((object) => object.metadata.name)).toEqual(["bad"]),
  );
  expect(logged.filter((line) => line.level === "error").map((line) => line["name"])).toEqual([
    "bad",
    "good",
  ]);
});

it("resumes after a regular end of the watch, without a list and without a warning", async () => {
  await start().synced;
  for (let round = 0; round < 3; round += 1) {
    await watching();
    put(`c-${round}`);
    await settled();
    server.endWatches();
    await vi.waitFor(() => expect(count("watch")).toBe(round + 2));
  }
  expect(count("list")).toBe(1);
  expect(logged.filter((line) => line.level === "warn")).toEqual([]);
});

it("resumes after a broken connection from the last event", async () => {
  await start().synced;
  await watching();
  put("a");
  await settled();
  server.breakConnections();
  put("b");
  remove("a");
  await settled();
  expect(count("list")).toBe(1);
  expect(logged.some((line) => line.level === "warn" && line["phase"] === "watch")).toBe(true);
});

it("resumes from a bookmark when the events before are compacted away", async () => {
  await start().synced;
  await watching();
  server.put(NODES, { metadata: { name: "other" } });
  server.sendBookmarks();
  const bookmarked = String(server.store.resourceVersion);
  server.compact();
  server.endWatches();
  await vi.waitFor(() => expect(count("watch")).toBe(2));
  expect(server.requests.at(-1)?.query.get("resourceVersion")).toBe(bookmarked);
  put("a");
  await settled();
  expect(count("list")).toBe(1);
});

it.each(["as an event of the watch", "as the status of the watch"])(
  "lists again after a 410 that comes %s, and shows only differences",
  async (way) => {
    put("stays");
    put("goes");
    await start().synced;
    const heard: string[] = [];
    cache.subscribe({
      applied: ({ metadata }) => heard.push(`+${metadata.name}`),
      removed: ({ metadata }) => heard.push(`-${metadata.name}`),
    });
    await watching();
    heard.length = 0;
    let down = true;
    const object = { kind: "Status", code: 410, reason: "Expired", message: "too old" };
    server.intercept = ({ query }) => (down && query.get("watch") ? "reset" : undefined);
    server.breakConnections();
    remove("goes");
    put("comes");
    server.compact();
    if (way.includes("event")) {
      const body = `${JSON.stringify({ type: "ERROR", object })}\n`;
      let once = true;
      server.intercept = ({ query }) => {
        if (!once || !query.get("watch")) return undefined;
        once = false;
        return { status: 200, body };
      };
    }
    down = false;
    await settled();
    expect(heard).toEqual(["-goes", "+comes"]);
    expect(count("list")).toBe(2);
  },
);

it("starts the list over when a continue token expires between two pages", async () => {
  for (let i = 0; i < 5; i += 1) put(`c-${i}`);
  let expire = true;
  server.intercept = ({ query }) => {
    if (query.get("continue") && expire) {
      expire = false;
      put("late");
      remove("c-0");
      server.compact();
    }
    return undefined;
  };
  await start({ pageSize: 2 }).synced;
  expect(versions(cache.list())).toEqual(versions(server.objects(CONFIG_MAPS)));
  expect(cache.get("late", "shop")).toBeDefined();
});

it("shows an object that was made anew under its name as removed and added", async () => {
  const old = put("a");
  await start().synced;
  const heard: string[] = [];
  cache.subscribe({
    applied: ({ metadata }, before) => heard.push(`+${metadata.uid}${before ? " changed" : ""}`),
    removed: ({ metadata }) => heard.push(`-${metadata.uid}`),
  });
  await watching();
  server.intercept = () => "reset";
  server.breakConnections();
  remove("a");
  const renewed = put("a");
  server.compact();
  server.intercept = () => undefined;
  await settled();
  expect(heard).toEqual([
    `+${old.metadata.uid}`,
    `-${old.metadata.uid}`,
    `+${renewed.metadata.uid}`,
  ]);
});

it("removes nothing while the API server fails", async () => {
  put("a");
  await start().synced;
  await watching();
  server.intercept = () => ({ status: 500, body: "boom" });
  server.breakConnections();
  await vi.waitFor(() => expect(count("list")).toBeGreaterThan(3), 10_000);
  expect(cache.size).toBe(1);
  server.intercept = () => undefined;
  put("b");
  await settled();
});

it("survives garbage on the watch, and says so", async () => {
  await start().synced;
  await watching();
  server.corruptWatches("garbage\n");
  put("a");
  await settled();
  expect(logged.some((line) => String(line["error"]).includes("not JSON"))).toBe(true);
});

it("waits as long as the API server asks", async () => {
  let refused = 0;
  const slept: number[] = [];
  server.intercept = () =>
    refused++ === 0
      ? { status: 429, body: "slow down", headers: { "retry-after": "3" } }
      : undefined;
  const clock = {
    now: () => Date.now(),
    sleep: (ms: number) => Promise.resolve(void slept.push(ms)),
  };
  await start({ clock }).synced;
  expect(slept[0]).toBe(3000);
});

it("waits for a CRD that is not installed yet, and says so once", async () => {
  start({ resource: WIDGETS });
  await vi.waitFor(() => expect(count("list")).toBeGreaterThan(3), 10_000);
  expect(logged.filter((line) => line.level === "warn")).toHaveLength(1);
  server.define(WIDGETS);
  await reflector.synced;
  server.put(WIDGETS, { metadata: { name: "w", namespace: "shop" } });
  await vi.waitFor(() => expect(cache.size).toBe(1), 10_000);
});

it("counts as synced without an optional CRD", async () => {
  await start({ resource: WIDGETS, optional: true }).synced;
  expect(reflector.lastSync()).toBeUndefined();
});

it("goes on when its handler throws", async () => {
  const handler = {
    replace: () => undefined,
    apply: (object: ConfigMap) => {
      if (object.metadata.name === "bad") throw new Error("handler broke");
      cache.apply(object);
    },
    remove: () => undefined,
  };
  await start({ handler }).synced;
  await watching();
  put("bad");
  put("good");
  await vi.waitFor(() => expect(cache.get("good", "shop")).toBeDefined());
  expect(logged.some((line) => line["error"] === "handler broke")).toBe(true);
});

it("stops while it waits for an answer, and rejects what waits for it", async () => {
  server.intercept = () => "hang";
  start();
  await vi.waitFor(() => expect(server.requests).toHaveLength(1));
  await reflector.stop();
  await expect(reflector.synced).rejects.toMatchObject({ code: "CANCELLED" });
});

it("ends equal to the server through a storm of changes and failures", async () => {
  for (let i = 0; i < 20; i += 1) put(`c-${i}`);
  let dice = 1;
  const roll = (sides: number): number => {
    dice = (dice * 48271) % 2147483647;
    return dice % sides;
  };
  start({ pageSize: 7 });
  const trouble = [
    () => server.breakConnections(),
    () => server.endWatches(),
    () => server.compact(),
    () => server.corruptWatches("{"),
    () => server.sendBookmarks(),
  ];
  server.intercept = () => (roll(5) === 0 ? "reset" : undefined);
  for (let step = 0; step < 300; step += 1) {
    const name = `c-${roll(30)}`;
    if (
      cache.get(name, "shop") &&
      roll(2) === 0 &&
      server.store.table(CONFIG_MAPS).objects.has(`shop/${name}`)
    ) {
      remove(name);
    } else {
      put(name, { step: String(step) });
    }
    if (roll(8) === 0) trouble[roll(trouble.length)]?.();
    if (roll(4) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  server.intercept = () => undefined;
  await settled();
  expect(cache.size).toBe(server.objects(CONFIG_MAPS).length);
});
