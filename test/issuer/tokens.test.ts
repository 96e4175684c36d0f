import { beforeEach, describe, expect, it } from "vitest";
import { manualClock } from "../../src/core/clock.ts";
import type { ManualClock } from "../../src/core/clock.ts";
import { createTokenVerifier } from "../../src/issuer/tokens.ts";
import type { TokenVerifier } from "../../src/issuer/tokens.ts";
import { fakeTokenIssuer } from "../fakes/tokens.ts";
import type { FakeTokenIssuer } from "../fakes/tokens.ts";

const NOW = Date.UTC(2026, 0, 1);
let clock: ManualClock;
let api: FakeTokenIssuer;
let verifier: TokenVerifier;

beforeEach(async () => {
  clock = manualClock(NOW);
  api = await fakeTokenIssuer();
  verifier = createTokenVerifier({ audience: "signet", fetchKeys: api.keys, clock });
});

const valid = { nodeName: "node-a", expiresAt: NOW + 600_000 };

describe("createTokenVerifier", () => {
  it("reads the claims of a token that the API server signed", async () => {
    expect(await verifier.verify(await api.sign(valid))).toEqual({
      namespace: "shop",
      serviceAccount: "default",
      podName: "web",
      podUid: "uid-web",
      nodeName: "node-a",
      expiresAt: NOW + 600_000,
    });
  });

  it("refuses a token for another audience", async () => {
    const token = await api.sign({ ...valid, audience: "vault" });
    await expect(verifier.verify(token)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  });

  it("refuses a token of another issuer that has the same key ID", async () => {
    const other = await fakeTokenIssuer();
    await expect(verifier.verify(await other.sign(valid))).rejects.toMatchObject({
      code: "UNAUTHENTICATED",
    });
  });

  it("refuses an expired token, also one that it knew", async () => {
    const token = await api.sign(valid);
    await verifier.verify(token);
    await clock.advance(600_001);
    await expect(verifier.verify(token)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  });

  it("refuses a token whose claims were changed", async () => {
    const [header, , signature] = (await api.sign(valid)).split(".");
    const [, payload] = (await api.sign({ ...valid, podUid: "uid-other" })).split(".");
    await expect(verifier.verify(`${header}.${payload}.${signature}`)).rejects.toMatchObject({
      code: "UNAUTHENTICATED",
    });
  });

  it("refuses a token that is bound to no pod", async () => {
    const token = await api.sign({ ...valid, unbound: true });
    await expect(verifier.verify(token)).rejects.toThrow(/not bound to a pod/);
  });

  it.each(["", "abc", "a.b.c", "x".repeat(20_000)])("refuses what is no token", async (token) => {
    await expect(verifier.verify(token)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  });

  it("asks for the keys once, and again when a new key signs", async () => {
    await verifier.verify(await api.sign(valid));
    await verifier.verify(await api.sign({ ...valid, podUid: "uid-2" }));
    expect(api.fetches).toBe(1);
    await api.rotate();
    await clock.advance(10_000);
    await verifier.verify(await api.sign({ ...valid, podUid: "uid-3" }));
    expect(api.fetches).toBe(2);
  });

  it("asks for the keys every five minutes, and then no longer trusts one that was withdrawn", async () => {
    const stolen = await api.sign({ ...valid, podUid: "uid-2" });
    await verifier.verify(await api.sign(valid));
    await api.rotate();
    api.withdrawOldest();
    await clock.advance(300_000);
    await verifier.verify(await api.sign({ ...valid, podUid: "uid-3" }));
    await expect.poll(() => api.fetches).toBe(2);
    await expect(verifier.verify(stolen)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  });

  it("asks for the keys when the API server has another issuer", async () => {
    await verifier.verify(await api.sign(valid));
    api.rename("https://new.example.org");
    await clock.advance(10_000);
    expect((await verifier.verify(await api.sign({ ...valid, podUid: "uid-2" }))).podUid).toBe(
      "uid-2",
    );
  });

  it("takes a token of an API server whose clock is a little ahead", async () => {
    const token = await api.sign({ ...valid, notBefore: NOW + 20_000 });
    expect((await verifier.verify(token)).podUid).toBe("uid-web");
    const early = await api.sign({ ...valid, podUid: "uid-2", notBefore: NOW + 60_000 });
    await expect(verifier.verify(early)).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
  });

  it("does not ask for keys again and again because of forged key IDs", async () => {
    await verifier.verify(await api.sign(valid));
    const forger = await fakeTokenIssuer();
    await forger.rotate();
    for (let i = 0; i < 5; i += 1) {
      await expect(
        verifier.verify(await forger.sign({ ...valid, podUid: `u${i}` })),
      ).rejects.toMatchObject({ code: "UNAUTHENTICATED" });
    }
    expect(api.fetches).toBe(1);
  });

  it("goes on with the keys it has while newer ones are fetched, and when they cannot be had", async () => {
    let answer = api.keys;
    const slow = createTokenVerifier({ audience: "signet", clock, fetchKeys: () => answer() });
    const podUids = ["uid-a", "uid-b", "uid-c"];
    const tokens = await Promise.all(podUids.map((podUid) => api.sign({ ...valid, podUid })));
    await slow.verify(await api.sign(valid));
    const { promise, reject } = Promise.withResolvers<never>();
    answer = () => promise;
    await clock.advance(300_000);
    const verified = tokens.map(async (token) => (await slow.verify(token)).podUid);
    reject(new Error("down"));
    expect(await Promise.all(verified)).toEqual(podUids);
  });

  it("says UNAVAILABLE while the keys cannot be read, and recovers", async () => {
    let broken = true;
    const flaky = createTokenVerifier({
      audience: "signet",
      clock,
      fetchKeys: () => (broken ? Promise.reject(new Error("down")) : api.keys()),
    });
    const token = await api.sign(valid);
    await expect(flaky.verify(token)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    broken = false;
    expect((await flaky.verify(token)).podUid).toBe("uid-web");
  });
});
