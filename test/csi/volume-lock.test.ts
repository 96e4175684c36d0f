import * as fc from "fast-check";
import { expect, test } from "vitest";
import { isSignetError, SignetError } from "../../src/core/errors.ts";
import { createVolumeLock } from "../../src/csi/volume-lock.ts";
import type { Operation, VolumeLease } from "../../src/csi/volume-lock.ts";

const ABORTED = expect.objectContaining({ code: "ABORTED" }) as Error;

test.each<[Operation, Operation]>([
  ["publish", "publish"],
  ["unpublish", "publish"],
  ["unpublish", "unpublish"],
])("while a %s runs, a %s is told to try again", async (running, next) => {
  const lock = createVolumeLock();
  const lease = await lock.acquire("a", running);
  await expect(lock.acquire("a", next)).rejects.toThrow(ABORTED);
  expect(lease.signal.aborted).toBe(false);
  lease.release();
  (await lock.acquire("a", next)).release();
});

test("another volume is not in the way", async () => {
  const lock = createVolumeLock();
  const lease = await lock.acquire("a", "publish");
  (await lock.acquire("b", "publish")).release();
  expect(lease.signal.aborted).toBe(false);
});

test("an unpublish aborts a publish and waits for its end", async () => {
  const lock = createVolumeLock();
  const publish = await lock.acquire("a", "publish");
  let got = false;
  const unpublish = lock.acquire("a", "unpublish").then((lease) => {
    got = true;
    return lease;
  });
  await Promise.resolve();
  expect(publish.signal.aborted).toBe(true);
  expect(publish.signal.reason).toMatchObject({ code: "ABORTED" });
  expect(got).toBe(false);
  publish.release();
  (await unpublish).release();
});

test.each<Operation>(["publish", "unpublish", "write"])(
  "a %s waits for a write, and a write for it",
  async (other) => {
    const lock = createVolumeLock();
    for (const [first, second] of [["write", other] as const, [other, "write"] as const]) {
      const lease = await lock.acquire("a", first);
      const waiting = lock.acquire("a", second);
      lease.release();
      (await waiting).release();
      expect(lease.signal.aborted).toBe(false);
    }
  },
);

test("closing aborts what runs, waits for its end and refuses what comes", async () => {
  const lock = createVolumeLock();
  const lease = await lock.acquire("a", "publish");
  const reason = new SignetError("UNAVAILABLE", "stopping");
  const closed = lock.close(reason);
  expect(lease.signal.reason).toBe(reason);
  await expect(lock.acquire("b", "publish")).rejects.toBe(reason);
  lease.release();
  await closed;
});

test("no order of operations ever lets two run on one volume, and none waits for ever", async () => {
  const operation = fc.constantFrom<Operation>("publish", "unpublish", "write");
  const steps = fc.array(fc.record({ operation, turns: fc.nat({ max: 5 }) }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const lock = createVolumeLock();
      let inside = 0;
      const run = async (lease: VolumeLease, turns: number): Promise<void> => {
        inside++;
        expect(inside).toBe(1);
        for (let turn = 0; turn < turns; turn++) await Promise.resolve();
        inside--;
        lease.release();
      };
      const outcomes = await Promise.allSettled(
        all.map(async ({ operation: kind, turns }) => {
          for (let turn = 0; turn < turns; turn++) await Promise.resolve();
          await run(await lock.acquire("a", kind), turns);
        }),
      );
      for (const outcome of outcomes) {
        if (outcome.status === "fulfilled") continue;
        expect(isSignetError(outcome.reason, "ABORTED")).toBe(true);
      }
      expect(inside).toBe(0);
    }),
  );
});
