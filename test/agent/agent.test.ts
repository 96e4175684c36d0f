import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { manualClock, systemClock } from "../../src/core/clock.ts";
import type { Clock, ManualClock } from "../../src/core/clock.ts";
import type { WorkloadIdentity } from "../../src/csi/ports.ts";
import { serverCredentials, testAuthority } from "../fakes/authority.ts";
import type { TestAuthority } from "../fakes/authority.ts";
import { fakeIssuer } from "../fakes/issuer.ts";
import type { FakeIssuer } from "../fakes/issuer.ts";
import {
  advanceUntil,
  agentFiles,
  bundleOf,
  volumeOf,
  entry,
  OPERATOR_ID,
  pod,
  tempDir,
  testAgent,
  TRUST_DOMAIN,
  until,
} from "./fixture.ts";

const MINUTE = 60_000;
const HOUR = 3_600_000;
let authority: TestAuthority;
let other: TestAuthority;
let dir: ReturnType<typeof tempDir>;
const cleanups: (() => Promise<void>)[] = [];

beforeAll(async () => {
  authority = await testAuthority("first");
  other = await testAuthority("second");
});
beforeEach(() => {
  dir = tempDir();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  dir[Symbol.dispose]();
});

/** An issuer and an agent with a clock that is ahead of the real one, so that calls do not run out of time. */
async function world<C extends Clock = ManualClock>(
  options: { clock?: C; ttlMs?: number; start?: boolean } = {},
) {
  const clock = options.clock ?? (manualClock(Date.now() + 10 * MINUTE) as Clock as C);
  const server = await serverCredentials(authority, [OPERATOR_ID]);
  const ttl = { ttlMs: options.ttlMs ?? HOUR, now: () => clock.now() };
  const operator = fakeIssuer({ trustDomain: TRUST_DOMAIN, authority, server, ...ttl });
  await operator.start();
  cleanups.push(() => operator.kill());
  const files = agentFiles(dir.path, [authority]);
  const agent = testAgent({ address: operator.address, files, clock });
  cleanups.push(() => agent.stop());
  if (options.start ?? true) {
    agent.start();
    await until(() => agent.status().synced, "synced");
  }
  const attest = (podUid: string) =>
    agent.identities.attest(volumeOf("volume", pod(podUid)), "pod-token", {
      deadline: clock.now() + 20_000,
      noWait: false,
      signal: new AbortController().signal,
    });
  const adopt = (volumeId: string, podUid: string, current?: WorkloadIdentity) => {
    if (current) agent.volumes.shown.set(volumeId, current);
    agent.identities.adopt(volumeOf(volumeId, pod(podUid)), current);
  };
  return { clock, operator, agent, volumes: agent.volumes, files, attest, adopt };
}

type World = Awaited<ReturnType<typeof world<ManualClock>>>;

/** Pod and volume with an identity, the usual start. */
async function withVolume(given: Pick<World, "operator" | "attest" | "adopt">, name: string) {
  given.operator.setEntries(`pod-${name}`, [entry(name)]);
  const identity = await given.attest(`pod-${name}`);
  given.adopt(`vol-${name}`, `pod-${name}`, identity);
  return identity;
}

const renewals = (operator: FakeIssuer, podUid?: string) =>
  operator.calls.filter(
    (call) => call.method === "renew" && (podUid === undefined || call.podUid === podUid),
  );

const leafOf = (identity: WorkloadIdentity | undefined) =>
  new X509Certificate(identity?.svids[0]?.chain[0] ?? Buffer.alloc(0));

function expectPair(identity: WorkloadIdentity | undefined): void {
  const key = identity?.privateKey ?? Buffer.alloc(0);
  const ours = createPublicKey(createPrivateKey({ key, format: "der", type: "pkcs8" }));
  expect(leafOf(identity).publicKey.equals(ours)).toBe(true);
}

/** Lets everything that was pushed arrive: a later push of another pod overtakes nothing. */
async function settle(given: World): Promise<void> {
  const marker = `marker-${given.operator.calls.length}-${Math.random()}`;
  given.adopt(marker, marker);
  given.operator.setEntries(marker, [entry("marker")]);
  await until(() => given.volumes.shown.has(marker), "marker pod got its identity");
  given.agent.identities.forget(marker);
}

test("an attested pod gets a checked identity for a key made on the node", async () => {
  const { operator, attest } = await world();
  operator.setEntries("pod-web", [entry("web"), entry("web-2")]);
  const identity = await attest("pod-web");
  expect(identity.svids.map(({ spiffeId, revision }) => [spiffeId, revision])).toEqual([
    ["spiffe://test.local/web", "r1"],
    ["spiffe://test.local/web-2", "r1"],
  ]);
  expect(identity.bundle).toEqual(bundleOf([authority]));
  expectPair(identity);
});

test("an attest works before the agent is started", async () => {
  const { operator, attest } = await world({ start: false });
  operator.setEntries("pod-web", [entry("web")]);
  await expect(attest("pod-web")).resolves.toMatchObject({ svids: [{ entryId: "entry-web" }] });
});

test("an attest whose answer does not verify is UNAVAILABLE", async () => {
  const { operator, attest } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  operator.tamper = (response) => ({ ...response, svids: [] });
  await expect(attest("pod-web")).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("an SVID is renewed at half-life with a fresh key, again and again", async () => {
  const given = await world();
  const { clock, operator, volumes } = given;
  const first = await withVolume(given, "web");
  // A first renewal comes earlier, so that pods that start together part.
  await clock.advance(5 * MINUTE);
  await settle(given);
  expect(renewals(operator, "pod-web")).toHaveLength(0);
  await clock.advance(29 * MINUTE);
  await until(() => volumes.shown.get("vol-web") !== first, "first renewal");
  const second = volumes.shown.get("vol-web");
  expectPair(second);
  expect(second?.privateKey.equals(first.privateKey)).toBe(false);
  await clock.advance(34 * MINUTE);
  await until(() => volumes.shown.get("vol-web") !== second, "second renewal");
  expectPair(volumes.shown.get("vol-web"));
  expect(renewals(operator, "pod-web")).toHaveLength(2);
});

test("entries that changed are renewed at once, unchanged ones never", async () => {
  const given = await world();
  const { operator, volumes } = given;
  await withVolume(given, "web");
  await withVolume(given, "db");
  operator.setEntries("pod-web", [entry("web")]);
  await settle(given);
  expect(renewals(operator, "pod-web")).toHaveLength(0);
  operator.setEntries("pod-web", [entry("web", "r2")]);
  await until(() => volumes.shown.get("vol-web")?.svids[0]?.revision === "r2", "new revision");
  operator.setEntries("pod-web", [entry("web", "r2"), entry("web-2")]);
  await until(() => volumes.shown.get("vol-web")?.svids.length === 2, "second SVID");
  expect(renewals(operator, "pod-web")).toHaveLength(2);
  expect(renewals(operator, "pod-db")).toHaveLength(0);
});

test("a pod whose entries go keeps its files and is left alone", async () => {
  const given = await world();
  const { clock, operator, agent, volumes } = given;
  const first = await withVolume(given, "web");
  operator.setEntries("pod-web", []);
  await until(() => agent.status().withoutIdentity === 1, "no identity");
  await clock.advance(2 * HOUR);
  await settle(given);
  expect(renewals(operator, "pod-web")).toHaveLength(0);
  expect(volumes.shown.get("vol-web")).toBe(first);
});

test("a pod whose entries come back unchanged goes back to its schedule", async () => {
  const given = await world();
  const { clock, operator, agent, volumes } = given;
  const first = await withVolume(given, "web");
  operator.setEntries("pod-web", []);
  await until(() => agent.status().withoutIdentity === 1, "no identity");
  operator.setEntries("pod-web", [entry("web")]);
  await until(() => agent.status().withoutIdentity === 0, "identity again");
  await settle(given);
  expect(renewals(operator, "pod-web")).toHaveLength(0);
  await clock.advance(34 * MINUTE);
  await until(() => volumes.shown.get("vol-web") !== first, "renewal");
});

test("a pod that lost its entries while the operator was away has no identity after the sync", async () => {
  const given = await world();
  const { clock, operator, agent, volumes } = given;
  const first = await withVolume(given, "web");
  await withVolume(given, "db");
  await operator.kill();
  await until(() => !agent.status().connected, "disconnected");
  operator.setEntries("pod-web", []);
  await operator.start();
  await advanceUntil(clock, () => agent.status().synced, "synced again");
  expect(agent.status().withoutIdentity).toBe(1);
  expect(volumes.shown.get("vol-web")).toBe(first);
});

test("a reconnect renews nothing that is unchanged, and at once what changed meanwhile", async () => {
  const given = await world();
  const { clock, operator, agent, volumes } = given;
  await withVolume(given, "web");
  await withVolume(given, "db");
  await operator.kill();
  await until(() => !agent.status().connected, "disconnected");
  operator.setEntries("pod-db", [entry("db", "r2")]);
  await operator.start();
  await advanceUntil(clock, () => agent.status().synced, "synced again");
  await until(() => volumes.shown.get("vol-db")?.svids[0]?.revision === "r2", "new revision");
  await settle(given);
  expect(renewals(operator, "pod-db")).toHaveLength(1);
  expect(renewals(operator, "pod-web")).toHaveLength(0);
});

test("a pushed bundle is written to every volume beside the same SVID and key", async () => {
  const given = await world();
  const { clock, operator, volumes } = given;
  const first = await withVolume(given, "web");
  const second = await withVolume(given, "db");
  operator.setBundle({ authorities: [authority, other], sequence: 2 });
  const done = () =>
    ["vol-web", "vol-db"].every((id) => volumes.shown.get(id)?.bundle.sequence === 2);
  await advanceUntil(clock, done, "bundle written");
  expect(volumes.shown.get("vol-web")).toEqual({
    ...first,
    bundle: bundleOf([authority, other], 2),
  });
  expect(volumes.shown.get("vol-db")?.privateKey).toBe(second.privateKey);
  expect(volumes.writes).toHaveLength(2);
  expect(renewals(operator)).toHaveLength(0);
});

test("a bundle without the SVID's authority is written, and the SVID renewed under the new one", async () => {
  const given = await world();
  const { clock, operator, volumes } = given;
  await withVolume(given, "web");
  const pushedAt = clock.now();
  operator.setBundle({ authorities: [other], sequence: 2, signer: other });
  const authorityIs = () => leafOf(volumes.shown.get("vol-web")).issuer === "CN=second";
  await advanceUntil(clock, authorityIs, "renewed under the new authority");
  expect(clock.now() - pushedAt).toBeLessThan(MINUTE);
  expect(volumes.shown.get("vol-web")?.bundle.x509Authorities).toEqual([other.der]);
});

test("a pushed bundle that is empty or of another trust domain changes nothing", async () => {
  const given = await world();
  const { operator, volumes, clock } = given;
  await withVolume(given, "web");
  operator.setBundle({ authorities: [], sequence: 2 });
  operator.setBundle({ authorities: [authority], sequence: 3 });
  await settle(given);
  await clock.advance(5000);
  await settle(given);
  expect(volumes.writes.filter(({ volumeId }) => volumeId === "vol-web")).toEqual([]);
});

test("the agent follows an operator that moves to an authority it only heard of by push", async () => {
  const given = await world();
  const { clock, operator, agent } = given;
  operator.setBundle({ authorities: [authority, other], sequence: 2 });
  await settle(given);
  await operator.kill();
  await until(() => !agent.status().connected, "disconnected");
  operator.present(await serverCredentials(other, [OPERATOR_ID]));
  await operator.start();
  await advanceUntil(clock, () => agent.status().synced, "synced with the new authority");
  expect(operator.calls.filter(({ method }) => method === "watch")).toHaveLength(2);
});

test("renewals that fail while the operator is away are made up when it is back", async () => {
  const given = await world();
  const { clock, operator, agent, volumes } = given;
  const names = ["a", "b", "c", "d"];
  const firsts = new Map<string, WorkloadIdentity>();
  for (const name of names) firsts.set(name, await withVolume(given, name));
  await operator.kill();
  await until(() => !agent.status().connected, "disconnected");
  await clock.advance(35 * MINUTE);
  await until(() => agent.status().failing === names.length, "renewals failed");
  for (const name of names) expect(volumes.shown.get(`vol-${name}`)).toBe(firsts.get(name));
  await operator.start();
  const allRenewed = () =>
    names.every((name) => volumes.shown.get(`vol-${name}`) !== firsts.get(name));
  await advanceUntil(clock, allRenewed, "all renewed");
  expect(agent.status().failing).toBe(0);
  for (const identity of firsts.values()) {
    expect(identity.svids[0]?.notAfter).toBeGreaterThan(clock.now());
  }
});

test("short-lived SVIDs stay valid on the real clock through a restart of the operator", async () => {
  const given = await world({ clock: systemClock(), ttlMs: 6000 });
  const { operator, volumes } = given;
  const checkAlive = (): void => {
    for (const { svids } of volumes.shown.values()) {
      expect(svids[0]?.notAfter).toBeGreaterThan(Date.now());
    }
  };
  await withVolume(given, "web");
  await withVolume(given, "db");
  await until(() => (checkAlive(), renewals(operator).length >= 2), "first renewals");
  await operator.kill();
  await operator.start();
  const before = renewals(operator).length;
  await until(() => (checkAlive(), renewals(operator).length >= before + 4), "later renewals");
});

test("two volumes of one pod have their own keys", async () => {
  const given = await world();
  const { clock, operator, volumes, attest, adopt } = given;
  await withVolume(given, "web");
  adopt("vol-web-2", "pod-web", await attest("pod-web"));
  operator.setEntries("pod-web", [entry("web", "r2")]);
  const done = () => volumes.writes.length === 2;
  await advanceUntil(clock, done, "both renewed");
  const [one, two] = [volumes.shown.get("vol-web"), volumes.shown.get("vol-web-2")];
  expectPair(one);
  expectPair(two);
  expect(one?.privateKey.equals(two?.privateKey ?? Buffer.alloc(0))).toBe(false);
});

test("a volume without an identity gets one as soon as its pod has entries", async () => {
  const { operator, volumes, agent, adopt } = await world();
  adopt("vol-web", "pod-web");
  expect(agent.status()).toMatchObject({ volumes: 1, waiting: 1 });
  operator.setEntries("pod-web", [entry("web")]);
  await until(() => volumes.shown.has("vol-web"), "first identity");
  expectPair(volumes.shown.get("vol-web"));
  expect(agent.status()).toMatchObject({ volumes: 1, waiting: 0 });
});

test("a volume without an identity gets one when its pod's entries were known before", async () => {
  const given = await world();
  given.operator.setEntries("pod-web", [entry("web")]);
  await settle(given);
  given.adopt("vol-web", "pod-web");
  await until(() => given.volumes.shown.has("vol-web"), "first identity");
  expect(given.volumes.shown.get("vol-web")?.svids).toHaveLength(1);
});

test("a volume that is gone at the sink is forgotten", async () => {
  const given = await world();
  const { operator, volumes, agent } = given;
  await withVolume(given, "web");
  volumes.gone.add("vol-web");
  operator.setEntries("pod-web", [entry("web", "r2")]);
  await until(() => agent.status().volumes === 0, "forgotten");
  expect(volumes.writes).toEqual([]);
});

test("a forgotten volume is not renewed any more", async () => {
  const given = await world();
  await withVolume(given, "web");
  given.agent.identities.forget("vol-web");
  given.agent.identities.forget("vol-unknown");
  await given.clock.advance(2 * HOUR);
  await settle(given);
  expect(renewals(given.operator, "pod-web")).toHaveLength(0);
});

test.each(["POD_GONE", "PERMISSION_DENIED"] as const)(
  "a pod that the operator refuses with %s keeps its files and is seldom asked for",
  async (code) => {
    const given = await world();
    const { clock, operator, agent, volumes } = given;
    const first = await withVolume(given, "web");
    operator.refuse("pod-web", code);
    await clock.advance(34 * MINUTE);
    await until(() => agent.status().failing === 1, "refused");
    for (let minute = 0; minute < 20; minute++) {
      await clock.advance(MINUTE);
      await settle(given);
    }
    expect(renewals(operator, "pod-web").length).toBeLessThanOrEqual(10);
    expect(volumes.shown.get("vol-web")).toBe(first);
    operator.refuse("pod-web", undefined);
    operator.setEntries("pod-web", [entry("web", "r2")]);
    await until(() => volumes.shown.get("vol-web") !== first, "renewed after a new push");
  },
);

test("an answer that does not verify is not written, and asked for again", async () => {
  const given = await world();
  const { clock, operator, agent, volumes } = given;
  const first = await withVolume(given, "web");
  const honest = operator.tamper;
  operator.tamper = (response) => ({ ...response, svids: [] });
  operator.setEntries("pod-web", [entry("web", "r2")]);
  await until(() => agent.status().failing === 1, "refused the answer");
  expect(volumes.shown.get("vol-web")).toBe(first);
  operator.tamper = honest;
  const isRenewed = () => volumes.shown.get("vol-web")?.svids[0]?.revision === "r2";
  await advanceUntil(clock, isRenewed, "renewed");
});

test("a write that fails is tried again", async () => {
  const given = await world();
  const { clock, operator, agent, volumes } = given;
  await withVolume(given, "web");
  volumes.failure = new Error("no space left on device");
  operator.setEntries("pod-web", [entry("web", "r2")]);
  await until(() => agent.status().failing === 1, "write failed");
  volumes.failure = undefined;
  const isRenewed = () => volumes.shown.get("vol-web")?.svids[0]?.revision === "r2";
  await advanceUntil(clock, isRenewed, "renewed");
  expect(agent.status().failing).toBe(0);
});

test("a bundle that could not be written is written later", async () => {
  const given = await world();
  const { clock, operator, volumes } = given;
  await withVolume(given, "web");
  volumes.failure = new Error("no space left on device");
  operator.setBundle({ authorities: [authority, other], sequence: 2 });
  await advanceUntil(clock, () => volumes.failed > 0, "write failed");
  volumes.failure = undefined;
  const isWritten = () => volumes.shown.get("vol-web")?.bundle.sequence === 2;
  await advanceUntil(clock, isWritten, "bundle written");
  expect(volumes.shown.get("vol-web")?.bundle).toEqual(bundleOf([authority, other], 2));
});

test("an operator that disagrees with its own pushes is not asked in a loop", async () => {
  const given = await world();
  const { clock, operator, volumes } = given;
  await withVolume(given, "web");
  operator.revisionOf = () => "stale";
  operator.setEntries("pod-web", [entry("web", "r2")]);
  await until(() => volumes.shown.get("vol-web")?.svids[0]?.revision === "stale", "stale answer");
  for (let i = 0; i < 60; i++) {
    await clock.advance(1000);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const asked = renewals(operator, "pod-web").length;
  expect(asked).toBeGreaterThan(1);
  expect(asked).toBeLessThan(12);
});

test("the status says what readiness needs", async () => {
  const given = await world({ start: false });
  const { agent, clock } = given;
  const none = { connected: false, synced: false, bundleLoaded: true, volumes: 0 };
  expect(agent.status()).toMatchObject({ ...none, oldestRenewal: undefined });
  agent.start();
  await until(() => agent.status().synced, "synced");
  const identity = await withVolume(given, "web");
  expect(agent.status()).toMatchObject({
    connected: true,
    volumes: 1,
    failing: 0,
    oldestRenewal: clock.now(),
    earliestExpiry: identity.svids[0]?.notAfter,
  });
});

test("an agent without any bundle says so", () => {
  const files = agentFiles(dir.path, []);
  const agent = testAgent({ address: "127.0.0.1:1", files });
  expect(agent.status().bundleLoaded).toBe(false);
});

test("stop ends the session, and nothing is written afterwards", async () => {
  const given = await world();
  const { clock, operator, agent, volumes } = given;
  await withVolume(given, "web");
  await agent.stop();
  await until(() => operator.sessions === 0, "operator saw it go");
  await clock.advance(2 * HOUR);
  expect(volumes.writes).toEqual([]);
  expect(agent.status().connected).toBe(false);
});

test("stop does not wait for an operator that is not there", async () => {
  const given = await world();
  await given.operator.kill();
  await until(() => !given.agent.status().connected, "disconnected");
  await given.agent.stop();
  expect(given.agent.status().connected).toBe(false);
});
