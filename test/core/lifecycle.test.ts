import { expect, it } from "vitest";
import { serviceGroup } from "../../src/core/lifecycle.ts";
import type { Service } from "../../src/core/lifecycle.ts";
import { silentLog } from "../../src/core/log.ts";

function recorded(name: string, events: string[], failing: readonly string[] = []): Service {
  const act = (what: string): Promise<void> => {
    events.push(`${what} ${name}`);
    return failing.includes(what)
      ? Promise.reject(new Error(`cannot ${what} ${name}`))
      : Promise.resolve();
  };
  return { name, start: () => act("start"), stop: () => act("stop") };
}

it("starts in order and stops in the reverse order, once", async () => {
  const events: string[] = [];
  const group = serviceGroup([recorded("a", events), recorded("b", events)], silentLog());
  await group.start();
  await group.stop();
  await group.stop();
  expect(events).toEqual(["start a", "start b", "stop b", "stop a"]);
});

it("stops what was started when one fails to start", async () => {
  const events: string[] = [];
  const group = serviceGroup(
    [recorded("a", events), recorded("b", events, ["start"])],
    silentLog(),
  );
  await expect(group.start()).rejects.toThrow("cannot start b");
  expect(events).toEqual(["start a", "start b", "stop a"]);
});

it("stops the others when one fails to stop", async () => {
  const events: string[] = [];
  const group = serviceGroup([recorded("a", events), recorded("b", events, ["stop"])], silentLog());
  await group.start();
  await group.stop();
  expect(events).toEqual(["start a", "start b", "stop b", "stop a"]);
});
