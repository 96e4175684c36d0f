import { setImmediate as immediate } from "node:timers/promises";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { manualClock } from "../../src/core/clock.ts";
import type { Clock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import type { ErrorCode } from "../../src/core/errors.ts";
import { silentLog } from "../../src/core/log.ts";
import type { WorkloadIdentity } from "../../src/csi/ports.ts";
import type { Issuing } from "../../src/agent/issuing.ts";
import { workloads } from "../../src/agent/workloads.ts";
import { identityOf, memoryVolumes, pod, volumeOf } from "./fixture.ts";

const BACKDATING = 10_000;

/** A clock of a node that can be set while its timers run on. */
function settableClock() {
  const timers = manualClock(1_800_000_000_000);
  let offset = 0;
  const clock: Clock = {
    now: () => timers.now() + offset,
    sleep: (ms, signal) => timers.sleep(ms, signal),
  };
  return {
    ...clock,
    /** Lets what was just changed reach its next sleep, then moves time on. */
    async advance(ms: number) {
      await immediate();
      await timers.advance(ms);
      await immediate();
    },
    set: (by: number) => {
      offset += by;
    },
  };
}

/** An issuer without a network: it answers after `answerMs`, unless `next` gives an error. */
function issuerOf(clock: Clock, options: { ttlMs: number; answerMs?: number }) {
  const issuer = {
    calls: 0,
    running: 0,
    most: 0,
    pods: [] as string[],
    next: (): ErrorCode | undefined => undefined,
    identity(podUid: string): WorkloadIdentity {
      const now = clock.now();
      const validity = { notBefore: now - BACKDATING, notAfter: now + options.ttlMs };
      const names = { spiffeId: `spiffe://test.local/${podUid}`, entryId: podUid, revision: "r1" };
      const svid = { ...names, ...validity, chain: [], hint: "", federatesWith: [] };
      return identityOf([svid]);
    },
    renew: (async ({ pod: { uid: podUid } }) => {
      issuer.calls += 1;
      issuer.pods.push(podUid);
      issuer.running += 1;
      issuer.most = Math.max(issuer.most, issuer.running);
      if (options.answerMs) await clock.sleep(options.answerMs);
      issuer.running -= 1;
      const error = issuer.next();
      if (error) throw new SignetError(error, "no");
      return issuer.identity(podUid);
    }) as Issuing["renew"],
    fileTokens: (() => Promise.resolve({ tokens: [], error: undefined })) as Issuing["fileTokens"],
  };
  return issuer;
}

function node(options: { ttlMs: number; answerMs?: number; random?: () => number }) {
  const clock = settableClock();
  const issuer = issuerOf(clock, options);
  const volumes = memoryVolumes();
  const tracked = workloads({
    issuing: issuer,
    sink: () => volumes,
    clock,
    random: options.random ?? Math.random,
    log: silentLog(),
    onChange: () => undefined,
    onPodLeft: () => undefined,
    count: () => undefined,
  });
  const stop = new AbortController();
  const add = (name: string): void => {
    const identity = issuer.identity(name);
    volumes.shown.set(name, identity);
    tracked.adopt(volumeOf(name, pod(name)), identity);
  };
  const ended = tracked.run(stop.signal);
  const end = async (): Promise<void> => {
    stop.abort();
    await clock.advance(60_000);
    await ended;
  };
  const expired = (): string[] =>
    [...volumes.shown]
      .filter(([, { svids }]) => (svids[0]?.notAfter ?? 0) <= clock.now())
      .map(([id]) => id);
  return { clock, issuer, volumes, tracked, add, end, expired };
}

const ttls = fc
  .double({ min: Math.log(10_000), max: Math.log(4 * 3_600_000), noNaN: true })
  .map((log) => Math.round(Math.exp(log)));

test("no SVID expires while the operator answers one call of three within a second", async () => {
  const runs = fc.tuple(ttls, fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 3 }));
  await fc.assert(
    fc.asyncProperty(runs, async ([ttlMs, answerMs, every]) => {
      const { clock, issuer, add, end, expired, volumes } = node({ ttlMs, answerMs });
      issuer.next = () => (issuer.calls % every === 0 ? undefined : "UNAVAILABLE");
      add("a");
      for (let step = 0; step < 40; step++) {
        await clock.advance(Math.round(ttlMs / 10));
        expect(expired()).toEqual([]);
      }
      expect(volumes.writes.length).toBeGreaterThanOrEqual(4);
      expect(volumes.writes.length).toBeLessThanOrEqual(24);
      await end();
    }),
    { numRuns: 25 },
  );
});

test("after the clock was set, all SVIDs are valid again within seconds, without a storm", async () => {
  const hour = 3_600_000;
  const jumps = fc.tuple(ttls, fc.integer({ min: -2 * hour, max: 24 * hour }));
  await fc.assert(
    fc.asyncProperty(jumps, async ([ttlMs, jump]) => {
      const { clock, issuer, add, end, expired } = node({ ttlMs, answerMs: 50 });
      for (const name of ["a", "b", "c"]) add(name);
      await clock.advance(1000);
      clock.set(jump);
      await clock.advance(10_200);
      expect(expired()).toEqual([]);
      await clock.advance(ttlMs);
      expect(expired()).toEqual([]);
      expect(issuer.calls).toBeLessThanOrEqual(3 * (10 + 10_000 / (ttlMs / 4)));
      await end();
    }),
    { numRuns: 40 },
  );
});

test("a node with many pods renews at most 16 at once, what expires first in front", async () => {
  const { clock, issuer, tracked, end } = node({ ttlMs: 3_600_000, answerMs: 1000 });
  const names = Array.from({ length: 100 }, (_, i) => `pod-${i}`);
  for (const [i, name] of names.entries()) {
    const identity = issuer.identity(name);
    const [svid] = identity.svids;
    if (!svid) continue;
    // Past its half-life: an agent that was away for long.
    const notAfter = clock.now() + 60_000 + ((i * 37) % 100) * 1000;
    const old = { ...svid, notBefore: clock.now() - 3_000_000, notAfter };
    tracked.adopt(volumeOf(name, pod(name)), { ...identity, svids: [old] });
  }
  await clock.advance(20_000);
  expect(issuer.most).toBe(16);
  expect(issuer.calls).toBe(100);
  const order = names.toSorted(
    (a, b) => ((Number(a.slice(4)) * 37) % 100) - ((Number(b.slice(4)) * 37) % 100),
  );
  expect(new Set(issuer.pods.slice(0, 16))).toEqual(new Set(order.slice(0, 16)));
  expect(issuer.pods.at(-1)).toBe(order.at(-1));
  await end();
});

test("pods that started together are not renewed together", async () => {
  const { clock, issuer, add, end } = node({ ttlMs: 3_600_000 });
  for (let i = 0; i < 100; i++) add(`pod-${i}`);
  const perMinute: number[] = [];
  for (let minute = 0; minute < 34; minute++) {
    const before = issuer.calls;
    await clock.advance(60_000);
    perMinute.push(issuer.calls - before);
  }
  expect(new Set(issuer.pods).size).toBe(100);
  expect(issuer.calls).toBeLessThan(200);
  expect(Math.max(...perMinute)).toBeLessThan(20);
  await end();
});

test("NO_IDENTITY for a pod without known entries ends its renewals", async () => {
  const { clock, issuer, tracked, volumes, add, end } = node({ ttlMs: 60_000 });
  issuer.next = () => "NO_IDENTITY";
  add("a");
  const first = volumes.shown.get("a");
  await clock.advance(300_000);
  expect(issuer.calls).toBe(1);
  expect(tracked.summary()).toMatchObject({ volumes: 1, withoutIdentity: 1 });
  expect(volumes.shown.get("a")).toBe(first);
  await end();
});

test("NO_IDENTITY for a pod with known entries is tried again", async () => {
  const { clock, issuer, tracked, add, end } = node({ ttlMs: 60_000 });
  issuer.next = () => (issuer.calls < 3 ? "NO_IDENTITY" : undefined);
  tracked.setEntries("a", [{ entryId: "a", revision: "r1" }]);
  add("a");
  await clock.advance(60_000);
  expect(issuer.calls).toBeGreaterThanOrEqual(3);
  expect(tracked.summary()).toMatchObject({ withoutIdentity: 0, failing: 0 });
  await end();
});

test("entries that change while a renewal runs are renewed again", async () => {
  const { clock, issuer, tracked, add, end } = node({ ttlMs: 3_600_000, answerMs: 1000 });
  add("a");
  tracked.setEntries("a", [{ entryId: "a", revision: "r2" }]);
  await clock.advance(100);
  expect(issuer.calls).toBe(1);
  tracked.setEntries("a", [{ entryId: "a", revision: "r3" }]);
  await clock.advance(1000);
  expect(issuer.calls).toBe(2);
  await end();
});

test("entries that go while a renewal runs end the renewals", async () => {
  const { clock, issuer, tracked, add, end } = node({ ttlMs: 60_000, answerMs: 1000 });
  add("a");
  tracked.setEntries("a", [{ entryId: "a", revision: "r2" }]);
  await clock.advance(100);
  tracked.setEntries("a", []);
  await clock.advance(300_000);
  expect(issuer.calls).toBe(1);
  expect(tracked.summary().withoutIdentity).toBe(1);
  await end();
});

test("a renewal whose volume was forgotten on the way is not written", async () => {
  const { clock, tracked, volumes, add, end } = node({ ttlMs: 60_000, answerMs: 1000 });
  add("a");
  tracked.setEntries("a", [{ entryId: "a", revision: "r2" }]);
  await clock.advance(100);
  tracked.forget("a");
  await clock.advance(10_000);
  expect(volumes.writes).toEqual([]);
  await end();
});

test("a renewal whose volume was taken over anew on the way is not written", async () => {
  const { clock, tracked, volumes, add, end } = node({ ttlMs: 3_600_000, answerMs: 1000 });
  add("a");
  tracked.setEntries("a", [{ entryId: "a", revision: "r2" }]);
  await clock.advance(100);
  tracked.setEntries("a", [{ entryId: "a", revision: "r1" }]);
  add("a");
  await clock.advance(10_000);
  expect(volumes.writes).toEqual([]);
  await end();
});
