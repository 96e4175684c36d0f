import { describe, expect, it } from "vitest";
import { manualClock, systemClock } from "../../src/core/clock.ts";

describe("manualClock", () => {
  it("wakes sleepers in the order of their times", async () => {
    const clock = manualClock(1000);
    const woken: string[] = [];
    const sleep = async (name: string, ms: number): Promise<void> => {
      await clock.sleep(ms);
      woken.push(`${name}@${clock.now()}`);
    };
    const all = Promise.all([sleep("late", 50), sleep("early", 10)]);
    expect(clock.sleeping).toBe(2);
    await clock.advance(100);
    await all;
    expect(woken).toEqual(["early@1010", "late@1050"]);
    expect(clock.now()).toBe(1100);
  });

  it("wakes a sleeper that fell asleep while time moved", async () => {
    const clock = manualClock();
    const done = (async () => {
      await clock.sleep(10);
      await clock.sleep(10);
      return clock.now();
    })();
    await clock.advance(30);
    expect(await done).toBe(20);
  });

  it("rejects with the signal's reason and forgets the sleeper", async () => {
    const clock = manualClock();
    const abort = new AbortController();
    const sleeping = clock.sleep(10, abort.signal);
    abort.abort(new Error("enough"));
    await expect(sleeping).rejects.toThrow("enough");
    expect(clock.sleeping).toBe(0);
  });
});

describe("systemClock", () => {
  it("ends a sleep when its signal aborts", async () => {
    const abort = new AbortController();
    const sleeping = systemClock().sleep(3_600_000, abort.signal);
    abort.abort();
    await expect(sleeping).rejects.toThrow("aborted");
  });
});
