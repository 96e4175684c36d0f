import { setImmediate as immediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { manualClock } from "../../src/core/clock.ts";
import type { Clock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import { silentLog } from "../../src/core/log.ts";
import type { WorkloadIdentity } from "../../src/csi/ports.ts";
import type { Issuing } from "../../src/agent/issuing.ts";
import { workloads } from "../../src/agent/workloads.ts";
import { identityOf, memoryVolumes, pod, volumeOf } from "./fixture.ts";
import { BACKDATING_MS, binned, peakToMean, seeded } from "./simulation.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const YEAR = 365 * 24 * HOUR;
const START = 1_800_000_000_000;

/** The real workloads of one node; the operator's clock is right, the node's may be set. */
function node(options: { ttlMs: number; volumes: number; seed?: number }) {
  const trueTime = manualClock(START);
  const random = seeded(options.seed ?? 1);
  const world = {
    offset: 0,
    isAway: false,
    revision: "r1",
    calls: [] as number[],
    asked: [] as string[],
  };
  const clock: Clock = {
    now: () => trueTime.now() + world.offset,
    sleep: (ms, signal) => trueTime.sleep(ms, signal),
  };
  const identity = (name: string): WorkloadIdentity => {
    const now = trueTime.now();
    const names = {
      spiffeId: `spiffe://test.local/${name}`,
      entryId: name,
      revision: world.revision,
    };
    const validity = { notBefore: now - BACKDATING_MS, notAfter: now + options.ttlMs };
    return identityOf([{ ...names, ...validity, chain: [], hint: "", federatesWith: [] }]);
  };
  const renew: Issuing["renew"] = async ({ pod: { uid } }) => {
    world.calls.push(trueTime.now() - START);
    world.asked.push(uid);
    await trueTime.sleep(20);
    if (world.isAway) throw new SignetError("UNAVAILABLE", "away");
    return identity(uid);
  };
  const volumes = memoryVolumes();
  const tracked = workloads({
    issuing: { renew, fileTokens: () => Promise.resolve({ tokens: [], error: undefined }) },
    sink: () => volumes,
    clock,
    random,
    log: silentLog(),
    onChange: () => undefined,
    onPodLeft: () => undefined,
    count: () => undefined,
  });
  const names = Array.from({ length: options.volumes }, (_, i) => `pod-${i}`);
  const say = (): void => {
    tracked.beginSession();
    for (const name of names) {
      tracked.setEntries(name, [{ entryId: name, revision: world.revision }]);
    }
    tracked.synced();
  };
  say();
  for (const name of names) {
    const first = identity(name);
    volumes.shown.set(name, first);
    tracked.adopt(volumeOf(name, pod(name)), first);
  }
  const stop = new AbortController();
  const ended = tracked.run(stop.signal);
  /** Volumes that show an expired SVID, by the time that is right. */
  const expired = (): number =>
    [...volumes.shown.values()].filter(({ svids }) => (svids[0]?.notAfter ?? 0) <= trueTime.now())
      .length;
  return {
    world,
    volumes,
    say,
    expired,
    elapsed: () => trueTime.now() - START,
    advance: async (ms: number, steps = 1) => {
      for (let step = 0; step < steps; step++) {
        await immediate();
        await trueTime.advance(ms / steps);
        await immediate();
      }
    },
    /** Calls by bins of `size` ms from `from` to `to`. */
    distribution: (from: number, to: number, size: number): number[] => {
      const perSecond = Array.from({ length: Math.ceil((to - from) / SECOND) }, () => 0);
      for (const at of world.calls) {
        const second = Math.floor((at - from) / SECOND);
        if (perSecond[second] !== undefined) perSecond[second] += 1;
      }
      return binned(perSecond, size / SECOND);
    },
    end: async () => {
      stop.abort();
      await trueTime.advance(MINUTE);
      await ended;
    },
  };
}

const jumps = [HOUR, -HOUR, YEAR, -YEAR, 20 * SECOND, -20 * SECOND];
test.each(jumps)(
  "a clock that is set by %d ms lets no SVID expire for others, nor calls pile up",
  async (jump) => {
    for (const ttlMs of [MINUTE, HOUR]) {
      const { world, advance, expired, end } = node({ ttlMs, volumes: 20 });
      await advance(ttlMs * 0.3, 3);
      world.offset += jump;
      const before = world.calls.length;
      for (let step = 0; step < 40; step++) {
        await advance(ttlMs / 20);
        expect(expired()).toBe(0);
      }
      // Two lives are four half-lives. A clock that is wrong lets a node see less of each life, down to what is sure.
      const usual = 20 * 4;
      const calls = world.calls.length - before;
      expect(calls).toBeLessThan(usual * (jump >= ttlMs ? 4 : 2.5));
      await end();
    }
  },
);

test("after a reboot and after a changed entry, the renewals of a full node are spread", async () => {
  const { world, advance, distribution, say, end } = node({ ttlMs: HOUR, volumes: 110 });
  await advance(3 * HOUR, 30);
  const five = 5 * MINUTE;
  expect(Math.max(...distribution(0, HOUR, five))).toBeLessThan(40);
  expect(peakToMean(distribution(HOUR, 3 * HOUR, five))).toBeLessThan(2.5);
  world.revision = "r2";
  say();
  await advance(five);
  expect(world.calls.length).toBeGreaterThan(0);
  const [burst = 0] = distribution(3 * HOUR, 3 * HOUR + five, five);
  expect(burst).toBeGreaterThanOrEqual(110);
  await advance(2 * HOUR, 20);
  expect(peakToMean(distribution(3 * HOUR + five, 5 * HOUR + five, five))).toBeLessThan(2.5);
  await end();
});

test("a full node is well again within seconds after an outage, and expired SVIDs come first", async () => {
  for (const awayMs of [10 * MINUTE, 90 * MINUTE]) {
    const { world, volumes, advance, say, expired, end } = node({ ttlMs: HOUR, volumes: 110 });
    await advance(2 * HOUR, 20);
    world.isAway = true;
    const before = world.calls.length;
    await advance(awayMs, 20);
    const overdue = expired();
    expect(overdue > 0).toBe(awayMs > HOUR);
    // Each volume is tried once a minute in the end.
    expect(world.calls.length - before).toBeLessThan(110 * (1.05 * (awayMs / MINUTE) + 10));
    world.isAway = false;
    say();
    const returned = world.calls.length;
    await advance(5 * SECOND, 10);
    expect(expired()).toBe(0);
    expect(world.calls.length - returned).toBeLessThanOrEqual(120);
    expect(volumes.shown.size).toBe(110);
    await end();
  }
});

test("SVIDs of a year are renewed after half a year, and a machine that slept catches up", async () => {
  const { world, advance, expired, end } = node({ ttlMs: YEAR, volumes: 3 });
  world.offset += YEAR * 0.75;
  await advance(11 * SECOND);
  expect(new Set(world.asked)).toEqual(new Set(["pod-0", "pod-1", "pod-2"]));
  expect(world.calls).toHaveLength(3);
  await advance(10 * HOUR, 10);
  expect(world.calls).toHaveLength(3);
  expect(expired()).toBe(0);
  await end();
});
