import { setImmediate as immediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { manualClock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import type { ErrorCode } from "../../src/core/errors.ts";
import { jwtCache } from "../../src/agent/jwt-cache.ts";
import type { JwtCacheLimits, JwtGrant } from "../../src/agent/jwt-answers.ts";
import type { IssuedJwt } from "../../src/agent/jwt-response.ts";
import { fingerprint } from "../../src/agent/workload.ts";
import type { Bundle, JwtAuthority } from "../../src/spiffe/bundle.ts";
import { bundleOf } from "./fixture.ts";

const MINUTE = 60_000;
const LIFE = 5 * MINUTE;
const START = 1_800_000_000_000;

const bundleWith = (...kids: string[]): Bundle => ({
  ...bundleOf([]),
  jwtAuthorities: kids.map((kid): JwtAuthority => ({ kid, kty: "EC" })),
});

/** A cache in front of an operator that answers when it is told to. */
function world(limits: Partial<JwtCacheLimits> = {}) {
  const timers = manualClock(START);
  const set = { by: 0 };
  const clock = { ...timers, now: () => timers.now() + set.by };
  const given = {
    set,
    asked: [] as string[],
    counts: [] as string[],
    failure: undefined as ErrorCode | undefined,
    revision: "r1",
    answerMs: 0,
    bundle: bundleWith("k1"),
    wanted: fingerprint([{ entryId: "web", revision: "r1" }]) as string | undefined,
    isGone: false,
  };
  const cache = jwtCache({
    clock,
    limits,
    random: () => 0.5,
    count: (event) => given.counts.push(event),
    async issue(podUid, { audiences, spiffeId }) {
      given.asked.push(`${podUid} ${spiffeId ?? "all"} ${audiences.join()}`);
      const now = clock.now();
      if (given.answerMs > 0) await clock.sleep(given.answerMs);
      else await Promise.resolve();
      if (given.failure) throw new SignetError(given.failure, "no");
      const token: IssuedJwt = {
        entryId: "web",
        revision: given.revision,
        spiffeId: "spiffe://test.local/web",
        token: `token-${given.asked.length}-${audiences.join()}`,
        keyId: "k1",
        hint: "",
        issuedAt: now,
        expiresAt: now + LIFE,
      };
      return [token];
    },
  });
  const grant = (): JwtGrant | undefined =>
    given.isGone ? undefined : { bundle: given.bundle, wanted: given.wanted };
  const fetch = async (
    audiences: readonly string[] = ["api"],
    {
      podUid = "pod",
      signal = new AbortController().signal,
      spiffeId = undefined as string | undefined,
    } = {},
  ): Promise<string> => {
    const tokens = await cache.fetch(podUid, { audiences, spiffeId }, { grant, signal });
    return tokens.map(({ token }) => token).join();
  };
  /** Moves time on after what was begun has come to its waits. */
  const advance = async (ms: number): Promise<void> => {
    await immediate();
    await timers.advance(ms);
    await immediate();
  };
  return Object.assign(given, { clock, cache, fetch, advance });
}

test("a token is fetched once, and handed out until half of its life", async () => {
  const given = world();
  const first = await given.fetch();
  await given.advance(LIFE / 2 - 1);
  expect(await given.fetch()).toBe(first);
  expect(given.asked).toHaveLength(1);
  await given.advance(1);
  expect(await given.fetch()).not.toBe(first);
  expect(given.counts).toEqual(["miss", "renewed", "hit", "renewed"]);
});

test("pods, identities, audiences and their order are told apart", async () => {
  const given = world();
  const tokens = new Set([
    await given.fetch(["a", "b"]),
    await given.fetch(["b", "a"]),
    await given.fetch(["a"]),
    await given.fetch(["a,b"]),
    await given.fetch(["a"], { podUid: "other" }),
    await given.fetch(["a"], { spiffeId: "spiffe://test.local/web" }),
  ]);
  expect(tokens.size).toBe(6);
  expect(given.asked).toEqual([
    "pod all a,b",
    "pod all b,a",
    "pod all a",
    "pod all a,b",
    "other all a",
    "pod spiffe://test.local/web a",
  ]);
});

test("callers who ask for the same at one time share one call", async () => {
  const given = world();
  given.answerMs = 100;
  const all = Array.from({ length: 20 }, () => given.fetch());
  await given.advance(100);
  expect(new Set(await Promise.all(all)).size).toBe(1);
  expect(given.asked).toHaveLength(1);
});

test("a caller who goes ends its own wait, and not that of others", async () => {
  const given = world();
  given.answerMs = 100;
  const leaving = new AbortController();
  const gone = given.fetch(["api"], { signal: leaving.signal });
  const stays = given.fetch();
  leaving.abort();
  await expect(gone).rejects.toMatchObject({ code: "CANCELLED" });
  await given.advance(100);
  await expect(stays).resolves.toMatch(/^token/);
  expect(given.asked).toHaveLength(1);
});

test("a living token is handed out while the operator fails, who is asked with growing pauses", async () => {
  const given = world();
  const first = await given.fetch();
  await given.advance(LIFE / 2);
  given.failure = "UNAVAILABLE";
  for (let second = 0; second < 60; second += 1) {
    expect(await given.fetch()).toBe(first);
    await given.advance(1000);
  }
  expect(given.asked.length).toBeGreaterThanOrEqual(4);
  expect(given.asked.length).toBeLessThanOrEqual(9);
  await given.advance(LIFE / 2 - MINUTE);
  await expect(given.fetch()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  given.failure = undefined;
  await expect(given.fetch()).resolves.not.toBe(first);
});

test("a living token is handed out within two seconds when the operator hangs, and the new one later", async () => {
  const given = world();
  const first = await given.fetch();
  await given.advance(LIFE / 2);
  given.answerMs = 9000;
  const second = given.fetch();
  await given.advance(2000);
  expect(await second).toBe(first);
  expect(given.counts.at(-1)).toBe("stale");
  await given.advance(7000);
  given.answerMs = 0;
  expect(await given.fetch()).not.toBe(first);
  expect(given.asked).toHaveLength(2);
});

test("a token that expires while a new one is awaited is not handed out", async () => {
  const given = world();
  await given.fetch();
  await given.advance(LIFE - 1000);
  given.answerMs = 9000;
  given.failure = "UNAVAILABLE";
  const late = given.fetch().catch((error: unknown) => error);
  await given.advance(9000);
  expect(await late).toMatchObject({ code: "UNAVAILABLE" });
});

test.each(["PERMISSION_DENIED", "POD_GONE"] as const)(
  "an operator who refuses the pod with %s ends its tokens",
  async (code) => {
    const given = world();
    await given.fetch();
    await given.advance(LIFE / 2);
    given.failure = code;
    await expect(given.fetch()).rejects.toMatchObject({ code });
    given.failure = "UNAVAILABLE";
    await expect(given.fetch()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  },
);

test("a changed entry, a key that left the bundle and a lost identity end a token", async () => {
  const given = world();
  const first = await given.fetch();
  given.bundle = bundleWith("k0", "k1");
  expect(await given.fetch()).toBe(first);
  given.wanted = fingerprint([{ entryId: "web", revision: "r2" }]);
  given.revision = "r2";
  const second = await given.fetch();
  expect(second).not.toBe(first);
  given.bundle = bundleWith("k2");
  given.failure = "UNAVAILABLE";
  await expect(given.fetch()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  given.bundle = bundleWith("k1");
  given.failure = undefined;
  await given.fetch();
  given.isGone = true;
  await expect(given.fetch()).rejects.toMatchObject({ code: "NO_IDENTITY" });
});

test("an entry that comes ends an answer for all identities, and none for one of them", async () => {
  const given = world();
  const one = { spiffeId: "spiffe://test.local/web" };
  await given.fetch();
  const kept = await given.fetch(["api"], one);
  const [web, more] = ["web", "more"].map((entryId) => ({ entryId, revision: "r1" }));
  given.wanted = fingerprint([web!, more!]);
  expect(await given.fetch()).toBe("token-3-api");
  expect(await given.fetch(["api"], one)).toBe(kept);
});

test("an answer for an entry as it was is handed out, and not kept", async () => {
  const given = world();
  given.wanted = fingerprint([{ entryId: "web", revision: "r2" }]);
  const first = await given.fetch();
  expect(await given.fetch()).not.toBe(first);
});

test("a pod's answers are bounded by number and size, and the one used longest ago goes first", async () => {
  const given = world({ answers: 3, bytes: 100_000 });
  for (const audience of ["a", "b", "c"]) await given.fetch([audience]);
  await given.fetch(["a"]);
  await given.fetch(["d"]);
  expect(given.asked).toHaveLength(4);
  await given.fetch(["a"]);
  expect(given.asked).toHaveLength(4);
  await given.fetch(["b"]);
  expect(given.asked).toHaveLength(5);
  const narrow = world({ answers: 100, bytes: 1000 });
  for (const audience of ["a".repeat(400), "b".repeat(400)]) await narrow.fetch([audience]);
  await narrow.fetch(["b".repeat(400)]);
  expect(narrow.asked).toHaveLength(2);
  await narrow.fetch(["a".repeat(400)]);
  expect(narrow.asked).toHaveLength(3);
});

test("a pod that asks for ever new tokens is slowed down, and others are not", async () => {
  const given = world({ callBurst: 3, callsPerSecond: 1 });
  for (const audience of ["a", "b", "c"]) await given.fetch([audience]);
  await expect(given.fetch(["d"])).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  await expect(given.fetch(["a"])).resolves.toMatch(/^token/);
  await expect(given.fetch(["d"], { podUid: "other" })).resolves.toMatch(/^token/);
  await given.advance(1000);
  await expect(given.fetch(["d"])).resolves.toMatch(/^token/);
});

test("a pod's calls that hang are bounded", async () => {
  const given = world({ calls: 2 });
  given.answerMs = 1000;
  const first = [given.fetch(["a"]), given.fetch(["b"])];
  await expect(given.fetch(["c"])).rejects.toMatchObject({ code: "RESOURCE_EXHAUSTED" });
  await given.advance(1000);
  await Promise.all(first);
  const later = given.fetch(["c"]);
  await given.advance(1000);
  await expect(later).resolves.toMatch(/^token/);
});

test("tokens of a pod that was dropped are fetched anew", async () => {
  const given = world();
  const first = await given.fetch();
  given.cache.drop("pod");
  expect(await given.fetch()).not.toBe(first);
});

test("a token is fetched anew after the clock was set back", async () => {
  const given = world();
  const first = await given.fetch();
  given.set.by = -500;
  expect(await given.fetch()).toBe(first);
  given.set.by = -3_600_000;
  expect(await given.fetch()).not.toBe(first);
});
