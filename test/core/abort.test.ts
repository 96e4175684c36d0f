import { getEventListeners } from "node:events";
import { expect, test } from "vitest";
import { unlessAborted } from "../../src/core/abort.ts";

const reason = (): Error => new Error("gone");
const never = new Promise<string>(() => undefined);

test("an answer that comes in time is the answer, and leaves no listener", async () => {
  const { signal } = new AbortController();
  await expect(unlessAborted(Promise.resolve("yes"), signal, reason)).resolves.toBe("yes");
  await expect(unlessAborted(Promise.reject(new Error("no")), signal, reason)).rejects.toThrow(
    "no",
  );
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

test("an abort ends the wait, before it and during it", async () => {
  await expect(unlessAborted(never, AbortSignal.abort(), reason)).rejects.toThrow("gone");
  const stop = new AbortController();
  const waiting = unlessAborted(never, stop.signal, reason);
  stop.abort();
  await expect(waiting).rejects.toThrow("gone");
});
