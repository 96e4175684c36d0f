import { afterEach, describe, expect, it } from "vitest";
import { followLive } from "../../src/controllers/follow.ts";
import { manualClock } from "../../src/core/clock.ts";
import { liveValue } from "../../src/core/live.ts";
import { eventually } from "./cluster.ts";

const HOUR = 3_600_000;
const stopping: AbortController[] = [];
afterEach(() => stopping.splice(0).forEach((controller) => controller.abort()));

/** Follows a live value; `acts` lists what was acted on, `answer` decides how it goes. */
function follow(answer: (value: string) => Promise<boolean> = () => Promise.resolve(true)) {
  const value = liveValue("first");
  const clock = manualClock();
  const stop = new AbortController();
  stopping.push(stop);
  const acts: string[] = [];
  const done = followLive(value, { clock, everyMs: HOUR, signal: stop.signal }, (seen) => {
    acts.push(seen);
    return answer(seen);
  });
  const asleep = () => eventually(() => expect(clock.sleeping).toBe(1));
  return { value, clock, stop, acts, done, asleep };
}

describe("followLive", () => {
  it("acts at once, and again as soon as the value changes", async () => {
    const { value, acts, asleep } = follow();
    await asleep();
    expect(acts).toEqual(["first"]);
    value.set("second");
    await eventually(() => expect(acts).toEqual(["first", "second"]));
  });

  it("acts every so often although nothing changed", async () => {
    const { clock, acts, asleep } = follow();
    await asleep();
    await clock.advance(HOUR - 1);
    expect(acts).toHaveLength(1);
    await clock.advance(1);
    await asleep();
    expect(acts).toEqual(["first", "first"]);
  });

  it("tries again after a second when it did not work", async () => {
    const outcomes = [false, true];
    const { clock, acts, asleep } = follow(() => Promise.resolve(outcomes.shift() ?? true));
    await asleep();
    await clock.advance(1000);
    await asleep();
    expect(acts).toHaveLength(2);
    await clock.advance(1000);
    expect(acts).toHaveLength(2);
  });

  it("never acts twice at once, and does not miss a change that came meanwhile", async () => {
    const gate = Promise.withResolvers<boolean>();
    const { value, acts, asleep } = follow((seen) =>
      seen === "first" ? gate.promise : Promise.resolve(true),
    );
    await eventually(() => expect(acts).toEqual(["first"]));
    value.set("second");
    value.set("third");
    expect(acts).toEqual(["first"]);
    gate.resolve(true);
    await asleep();
    expect(acts).toEqual(["first", "third"]);
  });

  it("ends when it is told to and no longer listens", async () => {
    const { value, acts, stop, done, asleep } = follow();
    await asleep();
    stop.abort();
    await done;
    value.set("second");
    expect(acts).toEqual(["first"]);
  });
});
