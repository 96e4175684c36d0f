import * as fc from "fast-check";
import { afterEach, beforeEach, expect, it } from "vitest";
import { manualClock, type ManualClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { createQueue, type Queue, type QueueOptions } from "../../src/kube/queue.ts";

let clock: ManualClock;
let queue: Queue;
let runs: string[];

beforeEach(() => {
  clock = manualClock(1000);
  runs = [];
});

afterEach(() => queue.stop());

function start(options: Partial<QueueOptions> = {}): Queue {
  queue = createQueue({
    reconcile: async (key) => void runs.push(key),
    clock,
    log: silentLog(),
    random: () => 0.5,
    ...options,
  });
  queue.start();
  return queue;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A reconcile that ends when told to. */
function gate() {
  const open: PromiseWithResolvers<void>[] = [];
  return {
    open,
    reconcile: async (key: string): Promise<void> => {
      runs.push(key);
      const wait = Promise.withResolvers<void>();
      open.push(wait);
      await wait.promise;
    },
  };
}

it("runs a key once, however often it was added", async () => {
  start();
  queue.add("a");
  queue.add("a");
  queue.add("b");
  await turn();
  expect(runs).toEqual(["a", "b"]);
});

it("runs a key once more when it is added while it runs, and never twice at once", async () => {
  const { open, reconcile } = gate();
  start({ reconcile, workers: 4 });
  queue.add("a");
  await turn();
  queue.add("a");
  queue.add("a");
  await turn();
  expect(runs).toEqual(["a"]);
  open[0]?.resolve();
  await turn();
  expect(runs).toEqual(["a", "a"]);
  open[1]?.resolve();
  await turn();
  expect(queue.running).toBe(0);
});

it("runs a key once more when its own reconcile adds it, before it waits for anything", async () => {
  let running = 0;
  start({
    workers: 4,
    reconcile: async (key) => {
      running += 1;
      if (runs.length === 0) queue.add(key);
      runs.push(`${key}${running}`);
      await turn();
      running -= 1;
    },
  });
  queue.add("a");
  await turn();
  await turn();
  await turn();
  expect(runs).toEqual(["a1", "a1"]);
});

it("runs as many keys at once as it has workers", async () => {
  const { open, reconcile } = gate();
  start({ reconcile, workers: 2 });
  for (const key of ["a", "b", "c"]) queue.add(key);
  await turn();
  expect([queue.running, queue.length]).toEqual([2, 1]);
  open[0]?.resolve();
  await turn();
  expect(runs).toEqual(["a", "b", "c"]);
  for (const wait of open) wait.resolve();
});

it("tries a failing key again later and later, and starts over after a success", async () => {
  let fail = true;
  const times: number[] = [];
  start({
    backoff: { initialMs: 100, maxMs: 400, jitter: 0 },
    reconcile: async () => {
      times.push(clock.now());
      if (fail) throw new Error("not yet");
    },
  });
  queue.add("a");
  await turn();
  await clock.advance(1200);
  expect(times).toEqual([1000, 1100, 1300, 1700, 2100]);
  fail = false;
  await clock.advance(400);
  fail = true;
  queue.add("a");
  await turn();
  await clock.advance(100);
  expect(times.slice(-2)).toEqual([2600, 2700]);
});

it("runs a key again when its reconcile asks for it, but at once when it is added before", async () => {
  start({
    reconcile: async (key) => {
      runs.push(key);
      return runs.length < 3 ? { requeueAfterMs: 5000 } : undefined;
    },
  });
  queue.add("a");
  await turn();
  await clock.advance(4999);
  expect(runs).toHaveLength(1);
  await clock.advance(1);
  await turn();
  expect(runs).toHaveLength(2);
  queue.add("a");
  await turn();
  expect(runs).toHaveLength(3);
  await clock.advance(10_000);
  await turn();
  expect(runs).toHaveLength(3);
});

it("gives up on an error that is terminal until the key is added again", async () => {
  start({
    isTerminal: () => true,
    reconcile: async (key) => {
      runs.push(key);
      throw new Error("never");
    },
  });
  queue.add("a");
  await turn();
  await clock.advance(1_000_000);
  expect(runs).toHaveLength(1);
  queue.add("a");
  await turn();
  expect(runs).toHaveLength(2);
});

it("takes the shortest of several delays", async () => {
  start();
  queue.addAfter("a", 500);
  queue.addAfter("a", 100);
  queue.addAfter("a", 900);
  await clock.advance(100);
  await turn();
  await clock.advance(1000);
  await turn();
  expect(runs).toEqual(["a"]);
});

it("aborts and waits for what runs when stopped, and leaves no timer", async () => {
  let ended = false;
  start({
    reconcile: async (_key, signal) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      await turn();
      ended = true;
    },
  });
  queue.add("a");
  queue.add("b");
  queue.addAfter("c", 1000);
  await turn();
  await queue.stop();
  expect(ended).toBe(true);
  expect([queue.length, queue.running, clock.sleeping]).toEqual([0, 0, 0]);
});

it("runs every key after its last change, whatever the order", async () => {
  const step = fc.oneof(
    fc.record({ key: fc.constantFrom("a", "b", "c") }),
    fc.record({ advance: fc.integer({ min: 1, max: 300 }) }),
    fc.constant("turn" as const),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.infiniteStream(fc.boolean()),
      async (steps, fails) => {
        clock = manualClock(0);
        const changed = new Map<string, number>();
        const seen = new Map<string, number>();
        const active = new Set<string>();
        let overlapped = false;
        start({
          workers: 2,
          backoff: { initialMs: 10, maxMs: 50 },
          reconcile: async (key) => {
            overlapped ||= active.has(key);
            active.add(key);
            const version = changed.get(key) ?? 0;
            await turn();
            active.delete(key);
            if (fails.next().value === true) throw new Error("again");
            seen.set(key, version);
          },
        });
        for (const [index, action] of steps.entries()) {
          if (action === "turn") await turn();
          else if ("advance" in action) await clock.advance(action.advance);
          else {
            changed.set(action.key, index);
            queue.add(action.key);
          }
        }
        const done = () => queue.length + queue.running + clock.sleeping === 0;
        for (let rounds = 0; rounds < 500 && !done(); rounds += 1) {
          await turn();
          await clock.advance(60);
        }
        expect(seen).toEqual(changed);
        expect(overlapped).toBe(false);
        await queue.stop();
      },
    ),
    { numRuns: 100 },
  );
});
