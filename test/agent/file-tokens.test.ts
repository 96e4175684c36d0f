import { decodeJwt } from "jose";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { manualClock } from "../../src/core/clock.ts";
import type { ManualClock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import type { Volume, WorkloadIdentity } from "../../src/csi/ports.ts";
import { serverCredentials, testAuthority } from "../fakes/authority.ts";
import type { TestAuthority } from "../fakes/authority.ts";
import { fakeIssuer } from "../fakes/issuer.ts";
import { testJwtAuthority } from "../fakes/jwt-authority.ts";
import type { TestJwtAuthority } from "../fakes/jwt-authority.ts";
import {
  advanceUntil,
  agentFiles,
  entry,
  OPERATOR_ID,
  pod,
  tempDir,
  testAgent,
  TRUST_DOMAIN,
  until,
  volumeOf,
} from "./fixture.ts";

const MINUTE = 60_000;
const WEB = "spiffe://test.local/web";
let authority: TestAuthority;
let key: TestJwtAuthority;
let nextKey: TestJwtAuthority;
let dir: ReturnType<typeof tempDir>;
const cleanups: (() => Promise<void>)[] = [];

beforeAll(async () => {
  authority = await testAuthority("first");
  [key, nextKey] = [await testJwtAuthority("k1"), await testJwtAuthority("k2")];
});
beforeEach(() => {
  dir = tempDir();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  dir[Symbol.dispose]();
});

const volume: Volume = { ...volumeOf("vol-web", pod("pod-web")), jwtAudiences: ["api", "db"] };

/** An operator and an agent; the lifetime of SVIDs is 24 h, so that renewals are those of tokens. */
async function world() {
  const clock: ManualClock = manualClock(Date.now() + 10 * MINUTE);
  const server = await serverCredentials(authority, [OPERATOR_ID]);
  const operator = fakeIssuer({
    trustDomain: TRUST_DOMAIN,
    authority,
    jwtAuthority: key,
    server,
    ttlMs: 24 * 60 * MINUTE,
    now: () => clock.now(),
  });
  await operator.start();
  cleanups.push(() => operator.kill());
  operator.setEntries("pod-web", [entry("web")]);
  const agent = testAgent({
    address: operator.address,
    files: agentFiles(dir.path, [authority]),
    clock,
  });
  cleanups.push(() => agent.stop());
  agent.start();
  await until(() => agent.status().synced, "synced");
  const attest = (): Promise<WorkloadIdentity> =>
    agent.identities.attest(volume, "pod-token", {
      deadline: clock.now() + 20_000,
      noWait: false,
      signal: new AbortController().signal,
    });
  const publish = async () => {
    const identity = await attest();
    agent.volumes.shown.set(volume.id, identity);
    agent.identities.adopt(volume, identity);
    return identity;
  };
  const shown = () => agent.volumes.shown.get(volume.id);
  const asked = (method: string) => operator.calls.filter((call) => call.method === method).length;
  return { clock, operator, agent, attest, publish, shown, asked };
}

const audiencesOf = (identity: WorkloadIdentity | undefined): string[] =>
  (identity?.tokens ?? []).map(({ token }) => String(decodeJwt(token).aud));

test("the first identity comes with one token of the default identity for each audience", async () => {
  const { clock, operator, attest } = await world();
  operator.setEntries("pod-web", [entry("web"), entry("web-2")]);
  const { tokens } = await attest();
  expect(tokens.map(({ audience, spiffeId }) => [audience, spiffeId])).toEqual([
    ["api", WEB],
    ["db", WEB],
  ]);
  expect(tokens.map(({ token }) => decodeJwt(token).sub)).toEqual([WEB, WEB]);
  expect(tokens[0]?.expiresAt).toBeGreaterThan(clock.now() + 4 * MINUTE);
});

test("a volume without audiences asks for no token", async () => {
  const { agent, clock, asked } = await world();
  const { tokens } = await agent.identities.attest(volumeOf("plain", pod("pod-web")), "pod-token", {
    deadline: clock.now() + 20_000,
    noWait: false,
    signal: new AbortController().signal,
  });
  expect(tokens).toEqual([]);
  expect(asked("issueJwt")).toBe(0);
});

test.each(["PERMISSION_DENIED", "INVALID_ARGUMENT", "UNAVAILABLE"] as const)(
  "a pod whose token is answered with %s is tried again by kubelet",
  async (code) => {
    const { operator, attest } = await world();
    operator.tamperJwt = (answer, { audiences }) => {
      if (audiences.includes("db")) throw new SignetError(code, "not this one");
      return answer;
    };
    await expect(attest()).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringMatching(/JWT-SVID.*not this one/),
    });
  },
);

test("tokens are renewed at half of their life, beside the same SVID", async () => {
  const { clock, publish, shown, asked } = await world();
  const first = await publish();
  await clock.advance(2 * MINUTE);
  expect(asked("issueJwt")).toBe(2);
  await clock.advance(MINUTE);
  await until(() => shown() !== first, "renewed");
  const second = shown();
  expect(second?.svids).toBe(first.svids);
  expect(audiencesOf(second)).toEqual(["api", "db"]);
  expect(second?.tokens.map(({ token }) => token)).not.toEqual(
    first.tokens.map(({ token }) => token),
  );
  expect(asked("issueJwt")).toBe(4);
  expect(asked("renew")).toBe(0);
  await clock.advance(3 * MINUTE);
  await until(() => shown() !== second, "renewed again");
});

test("a token that cannot be renewed stays, its neighbour is renewed, and SVIDs do not wait for it", async () => {
  const { clock, operator, agent, publish, shown } = await world();
  const first = await publish();
  operator.tamperJwt = (answer, { audiences }) => {
    if (audiences.includes("db")) throw new SignetError("UNAVAILABLE", "not now");
    return answer;
  };
  await clock.advance(3 * MINUTE);
  await until(() => shown() !== first, "neighbour renewed");
  expect(shown()?.tokens[0]?.token).not.toBe(first.tokens[0]?.token);
  expect(shown()?.tokens[1]).toEqual(first.tokens[1]);
  operator.setEntries("pod-web", [entry("web", "r2")]);
  await until(() => shown()?.svids[0]?.revision === "r2", "SVID renewed");
  expect(shown()?.tokens[1]).toEqual(first.tokens[1]);
  operator.tamperJwt = (answer) => answer;
  const isRenewed = () => shown()?.tokens[1]?.token !== first.tokens[1]?.token;
  await advanceUntil(clock, isRenewed, "token renewed");
  expect(agent.counted("tokens-failed")).toBeGreaterThan(0);
});

test("a token call that hangs holds up neither SVIDs nor bundles", async () => {
  const { clock, operator, publish, shown, asked } = await world();
  await publish();
  const hanging = Promise.withResolvers<never>();
  hanging.promise.catch(() => undefined);
  operator.tamperJwt = () => hanging.promise;
  await clock.advance(3 * MINUTE);
  await until(() => asked("issueJwt") === 4, "tokens asked for");
  operator.setEntries("pod-web", [entry("web", "r2")]);
  await until(() => shown()?.svids[0]?.revision === "r2", "SVID renewed");
  expect(asked("issueJwt")).toBe(4);
  hanging.reject(new SignetError("UNAVAILABLE", "over"));
});

test("a default identity that changes gets tokens of its own", async () => {
  const { clock, operator, publish, shown } = await world();
  await publish();
  operator.setEntries("pod-web", [entry("other")]);
  const isOfOther = () => shown()?.tokens.every(({ spiffeId }) => spiffeId.endsWith("/other"));
  await advanceUntil(clock, () => shown()?.svids[0]?.entryId === "entry-other", "SVID changed");
  await advanceUntil(clock, isOfOther, "tokens changed");
  expect(shown()?.tokens).toHaveLength(2);
});

test("a refusal of tokens for an identity that is not the default any more puts off no others", async () => {
  const { clock, operator, publish, shown, asked } = await world();
  await publish();
  const hanging = Promise.withResolvers<never>();
  operator.tamperJwt = () => hanging.promise;
  await clock.advance(3 * MINUTE);
  await until(() => asked("issueJwt") === 4, "tokens asked for");
  operator.setEntries("pod-web", [entry("other")]);
  await until(() => shown()?.svids[0]?.entryId === "entry-other", "SVID changed");
  operator.tamperJwt = (answer) => answer;
  const changedAt = clock.now();
  hanging.reject(new SignetError("PERMISSION_DENIED", "pod has no such identity"));
  const isOfOther = () => shown()?.tokens.every(({ spiffeId }) => spiffeId.endsWith("/other"));
  await advanceUntil(clock, isOfOther, "tokens changed");
  expect(clock.now() - changedAt).toBeLessThan(10_000);
});

test("tokens of a key that left the bundle are renewed at once", async () => {
  const { clock, operator, publish, shown } = await world();
  const first = await publish();
  operator.setBundle({
    authorities: [authority],
    jwtAuthorities: [nextKey],
    jwtSigner: nextKey,
    sequence: 2,
  });
  const isRenewed = () => shown()?.tokens[0]?.token !== first.tokens[0]?.token;
  await advanceUntil(clock, isRenewed, "renewed");
  expect(clock.now()).toBeLessThan((first.tokens[0]?.issuedAt ?? 0) + 2 * MINUTE);
});

test("tokens that were lost are fetched as soon as the volume is taken over", async () => {
  const { clock, agent, attest, shown } = await world();
  const identity = await attest();
  agent.identities.adopt(volume, { ...identity, tokens: identity.tokens.slice(0, 1) });
  await advanceUntil(clock, () => shown()?.tokens.length === 2, "tokens fetched");
  expect(audiencesOf(shown())).toEqual(["api", "db"]);
});

test("a volume that waited for its identity gets it together with its tokens", async () => {
  const { operator, agent, shown } = await world();
  operator.setEntries("pod-web", []);
  agent.identities.adopt(volume, undefined);
  operator.setEntries("pod-web", [entry("web")]);
  await until(() => shown() !== undefined, "shown");
  expect(audiencesOf(shown())).toEqual(["api", "db"]);
  expect(agent.volumes.writes).toHaveLength(1);
});

test("a pod without identity gets no new tokens", async () => {
  const { clock, operator, agent, publish, asked } = await world();
  await publish();
  operator.setEntries("pod-web", []);
  await until(() => agent.status().withoutIdentity === 1, "no identity");
  await clock.advance(30 * MINUTE);
  expect(asked("issueJwt")).toBe(2);
});
