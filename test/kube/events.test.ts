import * as fc from "fast-check";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { manualClock, type ManualClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { createKubeClient, type KubeClient } from "../../src/kube/client.ts";
import { createEventRecorder, truncateUtf8 } from "../../src/kube/events.ts";
import type { EventRecorder, EventRecorderOptions } from "../../src/kube/events.ts";
import { LruMap } from "../../src/kube/lru.ts";
import { EVENTS } from "../../src/kube/resources.ts";
import { TokenBucket } from "../../src/kube/token-bucket.ts";
import type { KubeEvent } from "../../src/kube/types.ts";
import { startFakeApiServer, type FakeApiServer } from "../fakes/api-server.ts";

let server: FakeApiServer;
let client: KubeClient;
let clock: ManualClock;
let events: EventRecorder;

beforeEach(async () => {
  server = await startFakeApiServer();
  clock = manualClock(Date.UTC(2026, 0, 2, 3, 4, 5, 678));
  client = createKubeClient({ config: server.config(), clock });
  events = record();
});

afterEach(async () => {
  await client.close();
  await server.close();
});

function record(options: Partial<EventRecorderOptions> = {}): EventRecorder {
  const log = silentLog();
  return createEventRecorder({
    client,
    component: "signet",
    instance: "pod-1",
    clock,
    log,
    ...options,
  });
}

const pod = { apiVersion: "v1", kind: "Pod", name: "web", namespace: "shop", uid: "u1" };
const warning = { type: "Warning", reason: "NoIdentity", message: "nothing selects it" } as const;
const stored = () => server.objects<KubeEvent>(EVENTS);

it("writes an event that names its object and its source", async () => {
  events.record(pod, warning);
  await events.flush();
  expect(stored()).toHaveLength(1);
  expect(stored()[0]).toMatchObject({
    metadata: { namespace: "shop", name: expect.stringMatching(/^web\.[0-9a-f]{16}$/) },
    involvedObject: pod,
    ...warning,
    count: 1,
    firstTimestamp: "2026-01-02T03:04:05Z",
    lastTimestamp: "2026-01-02T03:04:05Z",
    source: { component: "signet" },
    reportingComponent: "signet",
    reportingInstance: "pod-1",
  });
});

it("raises the count of the same event instead of writing another", async () => {
  events.record(pod, warning);
  await events.flush();
  await clock.advance(10_000);
  events.record(pod, warning);
  events.record(pod, warning);
  events.record(pod, { ...warning, reason: "Other" });
  await events.flush();
  expect(stored().map((event) => event.count)).toEqual([3, 1]);
  expect(stored()[0]?.lastTimestamp).toBe("2026-01-02T03:04:15Z");
  expect(stored()[0]?.firstTimestamp).toBe("2026-01-02T03:04:05Z");
});

it("writes an event anew when the old one has expired", async () => {
  events.record(pod, warning);
  await events.flush();
  server.delete(EVENTS, { namespace: "shop", name: stored()[0]?.metadata.name ?? "" });
  events.record(pod, warning);
  await events.flush();
  expect(stored().map((event) => event.count)).toEqual([2]);
});

it("puts events of objects without a namespace into default", async () => {
  events.record({ apiVersion: "v1", kind: "Node", name: "node-a", uid: "u2" }, warning);
  await events.flush();
  expect(stored()[0]?.metadata.namespace).toBe("default");
});

it("stops talking about one object before it floods the cluster, and not about others", async () => {
  events = record({ perObject: { burst: 5, refillMs: 1000 } });
  for (let i = 0; i < 20; i += 1) events.record(pod, { ...warning, message: `message ${i}` });
  events.record({ ...pod, name: "db", uid: "u2" }, warning);
  await events.flush();
  expect(stored()).toHaveLength(6);
  expect(events.dropped).toBe(15);
});

it("spreads out many events over time", async () => {
  events = record({ overall: { burst: 2, refillMs: 1000 } });
  for (let i = 0; i < 3; i += 1) events.record({ ...pod, uid: `u${i}` }, warning);
  await vi.waitFor(() => expect(clock.sleeping).toBe(1));
  expect(stored()).toHaveLength(2);
  await clock.advance(1000);
  await events.flush();
  expect(stored()).toHaveLength(3);
});

it("tries again when the API server is away for a moment", async () => {
  let times = 0;
  server.intercept = () => (times++ === 0 ? { status: 503, body: "wait" } : undefined);
  events.record(pod, warning);
  await vi.waitFor(() => expect(clock.sleeping).toBe(1));
  await clock.advance(1000);
  await events.flush();
  expect(stored()).toHaveLength(1);
});

it("drops an event that the API server refuses, and goes on", async () => {
  server.intercept = ({ path }) =>
    path.includes("/gone/")
      ? { status: 403, body: { kind: "Status", message: "namespace is being terminated" } }
      : undefined;
  events.record({ ...pod, namespace: "gone", uid: "u9" }, warning);
  events.record(pod, warning);
  await events.flush();
  expect(stored()).toHaveLength(1);
  expect(events.dropped).toBe(1);
});

it("cuts messages at 1024 bytes and names at 253 characters", async () => {
  events.record({ ...pod, name: `${"a".repeat(236)}.b` }, { ...warning, message: "é".repeat(600) });
  await events.flush();
  const [event] = stored();
  expect(Buffer.byteLength(event?.message ?? "")).toBeLessThanOrEqual(1024);
  expect(event?.metadata.name).toMatch(/^a{236}\.[0-9a-f]{16}$/);
});

it("never cuts through a character, and cuts only what is too long", () => {
  const unit = fc.constantFrom("a", "é", "€", "😀");
  fc.assert(
    fc.property(fc.string({ unit }), fc.integer({ min: 3, max: 40 }), (text, max) => {
      const cut = truncateUtf8(text, max);
      expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(max);
      const tooLong = Buffer.byteLength(text) > max;
      expect(cut === text).toBe(!tooLong);
      expect(text.startsWith(tooLong ? cut.replace(/\.\.\.$/, "") : cut)).toBe(true);
      expect(cut.endsWith("...")).toBe(tooLong);
    }),
  );
});

it("lets through a burst and then one per refill", () => {
  const bucket = new TokenBucket({ burst: 2, refillMs: 100 }, 0);
  expect([bucket.take(0), bucket.take(0), bucket.take(0)]).toEqual([0, 0, 100]);
  expect(bucket.take(50)).toBe(50);
  expect(bucket.take(100)).toBe(0);
  expect([bucket.take(10_000), bucket.take(10_000), bucket.take(10_000)]).toEqual([0, 0, 100]);
});

it("forgets what was used longest ago", () => {
  const lru = new LruMap<string, number>(2);
  let made = 0;
  const get = (key: string): number => lru.getOrAdd(key, () => (made += 1));
  get("a");
  get("b");
  get("a");
  get("c");
  expect(get("a")).toBe(1);
  expect(lru.size).toBe(2);
  expect(get("b")).toBe(4);
});
