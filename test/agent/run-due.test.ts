import { setImmediate as immediate } from "node:timers/promises";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { manualClock } from "../../src/core/clock.ts";
import { dueLoop } from "../../src/agent/run-due.ts";
import { LONGEST_SLEEP_MS } from "../../src/agent/schedule.ts";

const HOUR = 3_600_000;
const YEAR = 365 * 24 * HOUR;

interface Item {
  readonly name: string;
  dueAt: number;
  expiresAt: number;
  running: boolean;
}

/** A loop over items in memory; each work takes `workMs` and lets `done` plan the item anew. */
function setUp(options: { workMs?: number; done?: (item: Item, now: number) => void } = {}) {
  const timers = manualClock(YEAR);
  const world = {
    offset: 0,
    sleeps: [] as number[],
    begun: [] as string[],
    most: 0,
    hasEnded: false,
  };
  const clock = {
    now: () => timers.now() + world.offset,
    sleep: (ms: number, signal?: AbortSignal) => {
      world.sleeps.push(ms);
      return timers.sleep(ms, signal);
    },
  };
  const items: Item[] = [];
  const done = options.done ?? ((item: Item) => (item.dueAt = Infinity));
  const loop = dueLoop<Item>({
    clock,
    waiting: () => items.filter(({ running }) => !running).map((item) => ({ ...item, item })),
    async work(item) {
      item.running = true;
      world.begun.push(item.name);
      world.most = Math.max(world.most, items.filter(({ running }) => running).length);
      if (options.workMs) await timers.sleep(options.workMs);
      done(item, clock.now());
      item.running = false;
    },
  });
  const stop = new AbortController();
  const ended = loop.run(stop.signal).then(() => void (world.hasEnded = true));
  return {
    world,
    stop,
    add: (name: string, dueIn: number, expiresIn = dueIn * 2) => {
      const now = clock.now();
      items.push({ name, dueAt: now + dueIn, expiresAt: now + expiresIn, running: false });
      loop.wake();
    },
    advance: async (ms: number) => {
      await immediate();
      await timers.advance(ms);
      await immediate();
    },
    end: async () => {
      stop.abort();
      await immediate();
      await timers.advance(20_000);
      await ended;
    },
  };
}

test("what waits is started when it is due, by the time that passed, wherever the clock is set to", async () => {
  const sets = fc.array(fc.constantFrom(-YEAR, -HOUR, -20_000, 0), { minLength: 1, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(sets, async (jumps) => {
      const { world, add, advance, end } = setUp();
      add("a", 600_000);
      for (const jump of jumps) {
        await advance(123_000);
        world.offset += jump;
      }
      await advance(600_000 - 123_000 * jumps.length - 1000);
      expect(world.begun).toEqual([]);
      await advance(LONGEST_SLEEP_MS + 1000);
      expect(world.begun).toEqual(["a"]);
      await end();
    }),
    { numRuns: 40 },
  );
});

test("what is planned by a clock that was set back is not started early", async () => {
  const { world, add, advance, end } = setUp();
  add("before", HOUR);
  await advance(1000);
  world.offset -= YEAR;
  await advance(LONGEST_SLEEP_MS);
  add("after", HOUR);
  await advance(HOUR / 2);
  expect(world.begun).toEqual([]);
  await advance(HOUR / 2 - 20_000);
  expect(world.begun).toEqual([]);
  await advance(20_000);
  expect(world.begun).toEqual(["before", "after"]);
  await end();
});

test("what became due while the machine slept is started within 10 s, what expires first in front", async () => {
  const { world, add, advance, end } = setUp();
  add("later", HOUR, 3 * HOUR);
  add("sooner", HOUR + 1, 2 * HOUR);
  await advance(1000);
  world.offset += 30 * 24 * HOUR;
  await advance(LONGEST_SLEEP_MS);
  expect(world.begun).toEqual(["sooner", "later"]);
  await end();
});

test("an item that is due in a year makes no timer that would overflow", async () => {
  const { world, add, advance, end } = setUp();
  add("a", YEAR / 2);
  await advance(HOUR);
  expect(world.begun).toEqual([]);
  expect(Math.max(...world.sleeps)).toBe(LONGEST_SLEEP_MS);
  await end();
});

test("a node slows down while works take too long, and nothing that waits is forgotten", async () => {
  const retried = (item: Item, now: number): void => void (item.dueAt = now + 1);
  const { world, add, advance, end } = setUp({ workMs: 10_000, done: retried });
  for (let i = 0; i < 32; i++) add(`${i}`, 0, 100 + i);
  await advance(100);
  expect(world.begun).toHaveLength(16);
  await advance(10_000);
  expect(world.begun).toHaveLength(16 + 8);
  await advance(40_000);
  // Then 8, 4, 2 and 1 at a time.
  expect(world.begun.length).toBeLessThanOrEqual(16 + 8 + 4 + 2 + 1 + 1);
  await end();
});

test("works that bring what expires later, and works that leave nothing to do, keep the pace", async () => {
  for (const done of [
    (item: Item) => (item.dueAt = Infinity),
    (item: Item, now: number) => Object.assign(item, { dueAt: now + HOUR, expiresAt: now + YEAR }),
  ]) {
    const { world, add, advance, end } = setUp({ workMs: 500, done });
    for (let i = 0; i < 160; i++) add(`${i}`, 0, HOUR);
    await advance(5000);
    expect(world.most).toBe(16);
    expect(world.begun).toHaveLength(160);
    await end();
  }
});

test("works that fail at once leave a few at a time", async () => {
  const retried = (item: Item, now: number): void => void (item.dueAt = now + 100);
  const { world, add, advance, end } = setUp({ workMs: 10, done: retried });
  for (let i = 0; i < 100; i++) add(`${i}`, 0, HOUR);
  await advance(1000);
  world.begun.length = 0;
  await advance(1000);
  expect(world.begun.length).toBeLessThanOrEqual(4 * 100 + 4);
  expect(world.begun.length).toBeGreaterThan(300);
  await end();
});

test("the loop ends with the last work, and begins none after the signal", async () => {
  const finished: string[] = [];
  const done = (item: Item): void => {
    item.dueAt = Infinity;
    finished.push(item.name);
  };
  const { world, stop, add, advance } = setUp({ workMs: 5000, done });
  add("a", 0);
  add("b", 1000);
  await advance(10);
  stop.abort();
  await advance(4000);
  expect(world.hasEnded).toBe(false);
  await advance(1000);
  expect(world.hasEnded).toBe(true);
  expect(finished).toEqual(["a"]);
  expect(world.begun).toEqual(["a"]);
});
