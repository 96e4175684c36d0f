import { mkdtempSync, rmSync } from "node:fs";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import { decodeJwt } from "jose";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { manualClock, systemClock } from "../../src/core/clock.ts";
import type { ManualClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import type { Volume } from "../../src/csi/ports.ts";
import { rpcClient } from "../../src/rpc/client.ts";
import type { RpcClient } from "../../src/rpc/client.ts";
import { SpiffeWorkloadAPI } from "../../src/rpc/gen/spiffe/workload/workload_pb.js";
import type { X509SVIDResponse } from "../../src/rpc/gen/spiffe/workload/workload_pb.js";
import { createEndpoints } from "../../src/workload-api/endpoints.ts";
import { serverCredentials, testAuthority } from "../fakes/authority.ts";
import type { TestAuthority } from "../fakes/authority.ts";
import { fakeIssuer } from "../fakes/issuer.ts";
import type { FakeEntry } from "../fakes/issuer.ts";
import { testJwtAuthority } from "../fakes/jwt-authority.ts";
import type { TestJwtAuthority } from "../fakes/jwt-authority.ts";
import { HEADERS, read } from "../workload-api/world.ts";
import {
  advanceUntil,
  agentFiles,
  entry,
  OPERATOR_ID,
  pod,
  testAgent,
  TRUST_DOMAIN,
  until,
  volumeOf,
} from "./fixture.ts";

const MINUTE = 60_000;
const HOUR = 3_600_000;
const { method } = SpiffeWorkloadAPI;
let authority: TestAuthority;
let other: TestAuthority;
let key: TestJwtAuthority;
let nextKey: TestJwtAuthority;
let dir: string;
const cleanups: (() => Promise<void>)[] = [];

beforeAll(async () => {
  [authority, other] = [await testAuthority("first"), await testAuthority("second")];
  [key, nextKey] = [await testJwtAuthority("k1"), await testJwtAuthority("k2")];
});
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "served-"));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  rmSync(dir, { recursive: true, force: true });
});

/** An operator, an agent and Workload API sockets, with real connections between them. */
async function world({ start = true }: { start?: boolean } = {}) {
  const clock: ManualClock = manualClock(Date.now() + 10 * MINUTE);
  const server = await serverCredentials(authority, [OPERATOR_ID]);
  const operator = fakeIssuer({
    trustDomain: TRUST_DOMAIN,
    authority,
    jwtAuthority: key,
    server,
    now: () => clock.now(),
  });
  await operator.start();
  cleanups.push(() => operator.kill());
  const files = agentFiles(dir, [authority]);
  const agent = testAgent({ address: operator.address, files, clock });
  cleanups.push(() => agent.stop());
  const endpoints = createEndpoints({ clock: systemClock(), log: silentLog() });
  cleanups.push(() => endpoints.stop());
  if (start) {
    agent.start();
    await until(() => agent.status().synced, "synced");
  }
  const open = async (volumeId: string): Promise<RpcClient> => {
    const directory = mkdtempSync(join(dir, "v"));
    await endpoints.open(volumeId, directory, agent.source(volumeId));
    const client = rpcClient(`unix:${directory}/api.sock`, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
    });
    cleanups.push(async () => client.close());
    return client;
  };
  const publish = async (name: string, given: Partial<Volume> = {}) => {
    const volume = { ...volumeOf(`vol-${name}`, pod(`pod-${name}`)), ...given };
    const identity = await agent.identities.attest(volume, "pod-token", {
      deadline: clock.now() + 20_000,
      noWait: false,
      signal: new AbortController().signal,
    });
    agent.volumes.shown.set(volume.id, identity);
    agent.identities.adopt(volume, identity);
    return { volume, identity, client: await open(volume.id) };
  };
  return { clock, operator, agent, volumes: agent.volumes, endpoints, open, publish };
}

const x509 = (client: RpcClient) =>
  read((signal) => client.stream(method.fetchX509SVID, {}, { headers: HEADERS, signal }));
const x509Bundles = (client: RpcClient) =>
  read((signal) => client.stream(method.fetchX509Bundles, {}, { headers: HEADERS, signal }));
const fetchJwt = (client: RpcClient, audience = ["api"], spiffeId = "") =>
  client.unary(method.fetchJWTSVID, { audience, spiffeId }, { headers: HEADERS });
const leafOf = (response: X509SVIDResponse) =>
  new X509Certificate(response.svids[0]?.x509Svid ?? Buffer.alloc(0));
const federated = (name: string, ...federatesWith: string[]): FakeEntry => ({
  ...entry(name),
  federatesWith,
});

test("a workload gets the SVIDs that its files show, the default one first, with hints", async () => {
  const { operator, publish } = await world();
  operator.setEntries("pod-web", [{ ...entry("web"), hint: "internal" }, entry("web-2")]);
  const { identity, client } = await publish("web");
  const first = await x509(client).until(1);
  expect(first.svids.map(({ spiffeId, hint }) => [spiffeId, hint])).toEqual([
    ["spiffe://test.local/web", "internal"],
    ["spiffe://test.local/web-2", ""],
  ]);
  expect(Buffer.from(first.svids[0]?.x509SvidKey ?? "")).toEqual(identity.privateKey);
  expect(Buffer.from(first.svids[0]?.bundle ?? "")).toEqual(authority.der);
});

test("a renewal reaches the streams although its files cannot be written", async () => {
  const { clock, operator, volumes, agent, publish } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  const { identity, client } = await publish("web");
  const stream = x509(client);
  const first = await stream.until(1);
  volumes.failure = new Error("no space left on device");
  operator.setEntries("pod-web", [entry("web", "r2")]);
  const second = await stream.until(2);
  expect(leafOf(second).serialNumber).not.toBe(leafOf(first).serialNumber);
  const privateKey = Buffer.from(second.svids[0]?.x509SvidKey ?? "");
  expect(
    leafOf(second).checkPrivateKey(
      createPrivateKey({ key: privateKey, format: "der", type: "pkcs8" }),
    ),
  ).toBe(true);
  await until(() => agent.status().failing === 1, "write failed");
  expect(volumes.shown.get("vol-web")).toBe(identity);
  volumes.failure = undefined;
  const isWritten = () => volumes.shown.get("vol-web")?.privateKey.equals(privateKey);
  await advanceUntil(clock, isWritten, "written");
  expect(agent.status().failing).toBe(0);
  // One issue was enough for both.
  expect(operator.calls.filter((call) => call.method === "renew")).toHaveLength(1);
});

test("a pushed bundle reaches the streams at once, before the files", async () => {
  const { operator, volumes, publish } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  const { client } = await publish("web");
  const stream = x509(client);
  await stream.until(1);
  operator.setBundle({ authorities: [authority, other], sequence: 2 });
  const second = await stream.until(2);
  // The clock stands still, and files follow within a second.
  expect(volumes.writes).toEqual([]);
  expect(Buffer.from(second.svids[0]?.bundle ?? "")).toEqual(
    Buffer.concat([authority.der, other.der]),
  );
});

test("a workload sees the foreign bundles that its SVIDs federate with, as they change", async () => {
  const { clock, operator, volumes, publish } = await world();
  operator.setFederatedBundle("b.local", { authorities: [other], sequence: 1 });
  operator.setFederatedBundle("c.local", { authorities: [other], sequence: 1 });
  operator.setEntries("pod-web", [federated("web", "b.local", "d.local")]);
  const { identity, client } = await publish("web");
  expect(identity.federatedBundles.map(({ trustDomain }) => trustDomain)).toEqual(["b.local"]);
  const stream = x509Bundles(client);
  const named = async (count: number): Promise<string[]> =>
    Object.keys((await stream.until(count)).bundles).toSorted();
  expect(await named(1)).toEqual(["spiffe://b.local", "spiffe://test.local"]);
  operator.setFederatedBundle("d.local", { authorities: [other], sequence: 1 });
  expect(await named(2)).toEqual(["spiffe://b.local", "spiffe://d.local", "spiffe://test.local"]);
  operator.setFederatedBundle("b.local", undefined);
  expect(await named(3)).toEqual(["spiffe://d.local", "spiffe://test.local"]);
  operator.setFederatedBundle("d.local", { authorities: [authority, other], sequence: 2 });
  const { bundles } = await stream.until(4);
  expect(bundles["spiffe://d.local"]).toHaveLength(authority.der.length + other.der.length);
  const areWritten = () =>
    volumes.shown
      .get("vol-web")
      ?.federatedBundles.map((bundle) => bundle.sequence)
      .join() === "2";
  await advanceUntil(clock, areWritten, "files follow");
});

test("a volume that is taken over late gets the foreign bundles that were pushed before", async () => {
  const { clock, operator, agent, volumes, publish } = await world();
  operator.setFederatedBundle("b.local", { authorities: [other], sequence: 1 });
  operator.setEntries("pod-web", [federated("web", "b.local")]);
  const { volume, identity, client } = await publish("web");
  agent.identities.adopt(volume, { ...identity, federatedBundles: [] });
  const { bundles } = await x509Bundles(client).until(1);
  expect(Object.keys(bundles)).toContain("spiffe://b.local");
  await advanceUntil(clock, () => volumes.writes.length > 0, "written");
  expect(volumes.shown.get("vol-web")?.federatedBundles).toHaveLength(1);
});

test("a foreign bundle that went while the operator was away goes with the sync", async () => {
  const { clock, operator, agent, publish } = await world();
  operator.setFederatedBundle("b.local", { authorities: [other], sequence: 1 });
  operator.setEntries("pod-web", [federated("web", "b.local")]);
  const { client } = await publish("web");
  const stream = x509Bundles(client);
  await stream.until(1);
  await operator.kill();
  await until(() => !agent.status().connected, "disconnected");
  operator.setFederatedBundle("b.local", undefined);
  await operator.start();
  await advanceUntil(clock, () => agent.status().synced, "synced again");
  expect(Object.keys((await stream.until(2)).bundles)).toEqual(["spiffe://test.local"]);
});

test("two pods that federate share one foreign bundle", async () => {
  const { operator, publish } = await world();
  operator.setFederatedBundle("b.local", { authorities: [other], sequence: 1 });
  for (const name of ["web", "db"])
    operator.setEntries(`pod-${name}`, [federated(name, "b.local")]);
  const [web, db] = [await publish("web"), await publish("db")];
  expect(web.identity.federatedBundles[0]).toBe(db.identity.federatedBundles[0]);
  expect(web.identity.bundle).toBe(db.identity.bundle);
});

test("before anything is known callers are told to come again, and a pod without entries is denied after the sync", async () => {
  const { agent, open } = await world({ start: false });
  agent.identities.adopt(volumeOf("vol-web", pod("pod-web")), undefined);
  const [known, unknown] = [await open("vol-web"), await open("vol-later")];
  await expect(x509(known).ended).resolves.toMatchObject({ code: "UNAVAILABLE" });
  agent.start();
  await until(() => agent.status().synced, "synced");
  await expect(x509(known).ended).resolves.toMatchObject({ code: "PERMISSION_DENIED" });
  agent.identities.adopt(volumeOf("vol-db", pod("pod-db")), undefined);
  const late = await open("vol-db");
  await expect(x509(late).ended).resolves.toMatchObject({ code: "PERMISSION_DENIED" });
  await expect(x509(unknown).ended).resolves.toMatchObject({ code: "UNAVAILABLE" });
});

test("a restarted agent serves what it took over before it hears of the operator", async () => {
  const before = await world();
  before.operator.setEntries("pod-web", [entry("web")]);
  const { identity, volume } = await before.publish("web");
  const after = await world({ start: false });
  after.agent.identities.adopt(volume, identity);
  const stream = x509(await after.open(volume.id));
  await stream.until(1);
  // The other operator knows no such pod.
  after.agent.start();
  await expect(stream.ended).resolves.toMatchObject({ code: "PERMISSION_DENIED" });
});

test("an SVID that has expired is not served", async () => {
  const { clock, operator, agent, publish } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  const { client } = await publish("web");
  await x509(client).until(1);
  await operator.kill();
  await until(() => !agent.status().connected, "disconnected");
  await clock.advance(HOUR);
  await expect(x509(client).ended).resolves.toMatchObject({ code: "UNAVAILABLE" });
  await expect(fetchJwt(client)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("removal keep: the streams end with PERMISSION_DENIED, files stay, and all comes back with the entry", async () => {
  const { clock, operator, agent, volumes, publish } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  const { identity, client } = await publish("web");
  const stream = x509(client);
  await stream.until(1);
  await fetchJwt(client);
  operator.setEntries("pod-web", []);
  await expect(stream.ended).resolves.toMatchObject({ code: "PERMISSION_DENIED" });
  await expect(fetchJwt(client)).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
  await clock.advance(10 * MINUTE);
  expect(volumes.shown.get("vol-web")).toBe(identity);
  expect(volumes.cleared).toEqual([]);
  expect(agent.status().withoutIdentity).toBe(1);
  operator.setEntries("pod-web", [entry("web")]);
  await until(() => agent.status().withoutIdentity === 0, "identity again");
  expect(leafOf(await x509(client).until(1)).serialNumber).toBeDefined();
});

test("removal while a volume is published ends its streams within seconds", async () => {
  const { clock, operator, agent, publish, open } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  const { volume, identity } = await publish("web");
  operator.setEntries("pod-web", []);
  await until(() => agent.status().withoutIdentity === 1, "removed");
  const late = { ...volume, id: "vol-late" };
  agent.identities.adopt(late, identity);
  const stream = x509(await open(late.id));
  await stream.until(1);
  const from = clock.now();
  await advanceUntil(clock, () => agent.status().withoutIdentity === 2, "noticed");
  expect(clock.now() - from).toBeLessThan(10_000);
  await expect(stream.ended).resolves.toMatchObject({ code: "PERMISSION_DENIED" });
});

test("an entry that is named after its volume is published costs no renewal", async () => {
  const { clock, operator, agent, publish } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  const { volume, identity } = await publish("web");
  operator.setEntries("pod-web", []);
  await until(() => agent.status().withoutIdentity === 1, "removed");
  agent.identities.adopt(volume, identity);
  operator.setEntries("pod-web", [entry("web")]);
  operator.setEntries("pod-other", [entry("other")]);
  await publish("other");
  await clock.advance(10_000);
  expect(agent.counted("renewed")).toBe(0);
});

test("removal remove: the files are cleared, however often it takes, and shown anew with the entry", async () => {
  const { clock, operator, agent, volumes, publish } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  const { identity, client } = await publish("web", { removal: "remove" });
  const stream = x509(client);
  await stream.until(1);
  volumes.failure = new Error("no space left on device");
  operator.setEntries("pod-web", []);
  await expect(stream.ended).resolves.toMatchObject({ code: "PERMISSION_DENIED" });
  await until(() => volumes.failed === 1, "clear failed");
  expect(volumes.shown.has("vol-web")).toBe(true);
  volumes.failure = undefined;
  await advanceUntil(clock, () => volumes.cleared.length === 1, "cleared");
  // Nothing of it comes back by itself.
  operator.setBundle({ authorities: [authority, other], sequence: 2 });
  await clock.advance(2 * HOUR);
  expect(volumes.shown.has("vol-web")).toBe(false);
  expect(volumes.cleared).toHaveLength(1);
  operator.setEntries("pod-web", [entry("web")]);
  await until(() => volumes.shown.has("vol-web"), "shown again");
  const shown = volumes.shown.get("vol-web");
  expect(shown?.privateKey.equals(identity.privateKey)).toBe(false);
  expect(Buffer.from((await x509(client).until(1)).svids[0]?.x509SvidKey ?? "")).toEqual(
    shown?.privateKey,
  );
  expect(agent.status().withoutIdentity).toBe(0);
});

test("a session that breaks, and one that is not synced, remove nothing", async () => {
  const { clock, operator, agent, volumes, publish } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  const { client } = await publish("web", { removal: "remove" });
  const stream = x509(client);
  await stream.until(1);
  await operator.kill();
  await until(() => !agent.status().connected, "disconnected");
  operator.refuse("pod-web", "NO_IDENTITY");
  await operator.start();
  await advanceUntil(clock, () => agent.status().synced, "synced again");
  await clock.advance(40 * MINUTE);
  expect(volumes.cleared).toEqual([]);
  expect(stream.seen).toHaveLength(1);
});

test("tokens are had for each identity or for one, from the cache the second time", async () => {
  const { operator, agent, publish } = await world();
  operator.setEntries("pod-web", [{ ...entry("web"), hint: "internal" }, entry("web-2")]);
  const { client } = await publish("web");
  const both = await fetchJwt(client, ["api", "db"]);
  expect(both.svids.map(({ spiffeId, hint }) => [spiffeId, hint])).toEqual([
    ["spiffe://test.local/web", "internal"],
    ["spiffe://test.local/web-2", ""],
  ]);
  expect(decodeJwt(both.svids[1]?.svid ?? "")).toMatchObject({
    sub: "spiffe://test.local/web-2",
    aud: ["api", "db"],
  });
  expect(await fetchJwt(client, ["api", "db"])).toEqual(both);
  const one = await fetchJwt(client, ["api"], "spiffe://test.local/web-2");
  expect(one.svids.map(({ spiffeId }) => spiffeId)).toEqual(["spiffe://test.local/web-2"]);
  expect(agent.counted("jwt-hit")).toBe(1);
  expect(agent.counted("jwt-miss")).toBe(2);
  const asked = operator.calls.filter((call) => call.method === "issueJwt");
  expect(asked.map(({ spiffeId }) => spiffeId)).toEqual(["", "spiffe://test.local/web-2"]);
  const foreign = fetchJwt(client, ["api"], "spiffe://test.local/admin");
  await expect(foreign).rejects.toMatchObject({ code: "PERMISSION_DENIED" });
});

test("a token of a key that left the bundle is replaced, with those of a rotated key", async () => {
  const { operator, publish } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  const { client } = await publish("web");
  const first = await fetchJwt(client);
  const rotated = { authorities: [authority], jwtSigner: nextKey };
  operator.setBundle({ ...rotated, jwtAuthorities: [key, nextKey], sequence: 2 });
  const bundles = read((signal) =>
    client.stream(method.fetchJWTBundles, {}, { headers: HEADERS, signal }),
  );
  await bundles.until(1);
  expect(await fetchJwt(client)).toEqual(first);
  operator.setBundle({ ...rotated, jwtAuthorities: [nextKey], sequence: 3 });
  const lastKeys = () =>
    Buffer.from(bundles.seen.at(-1)?.bundles["spiffe://test.local"] ?? "").toString();
  await until(() => !lastKeys().includes('"k1"'), "key gone");
  expect(await fetchJwt(client)).not.toEqual(first);
});

test("an answer that does not verify is not handed out", async () => {
  const { operator, publish } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  const { client } = await publish("web");
  operator.tamperJwt = async ({ svids = [] }) => ({
    svids: await Promise.all(
      svids.map(async (svid) => ({
        ...svid,
        token: await nextKey.sign(decodeJwt(svid.token ?? ""), { kid: "k1" }),
      })),
    ),
  });
  await expect(fetchJwt(client)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test.each(["ec-p384", "rsa-2048"] as const)(
  "a volume that asks for %s gets such keys, also in renewals",
  async (keyType) => {
    const { operator, volumes, publish } = await world();
    operator.setEntries("pod-web", [entry("web")]);
    const { identity } = await publish("web", { keyType });
    operator.setEntries("pod-web", [entry("web", "r2")]);
    await until(() => volumes.shown.get("vol-web") !== identity, "renewed");
    for (const shown of [identity, volumes.shown.get("vol-web")]) {
      const key = createPrivateKey({
        key: shown?.privateKey ?? Buffer.alloc(0),
        format: "der",
        type: "pkcs8",
      });
      const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {};
      expect(namedCurve ?? modulusLength).toBe(keyType === "ec-p384" ? "secp384r1" : 2048);
    }
  },
);

test("a token of an identity that the X509-SVIDs do not show yet is held back", async () => {
  const { clock, operator, publish } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  const { client } = await publish("web");
  operator.tamperJwt = async ({ svids = [] }) => {
    const sub = "spiffe://test.local/soon";
    const exp = Math.floor(clock.now() / 1000) + 300;
    const token = await key.sign({ sub, aud: ["api"], exp });
    return { svids: [...svids, { ...svids[0], spiffeId: sub, token }] };
  };
  const { svids } = await fetchJwt(client);
  expect(svids.map(({ spiffeId }) => spiffeId)).toEqual(["spiffe://test.local/web"]);
});

test("a source gives no tokens for a pod that lost its identity", async () => {
  const { operator, agent, publish } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  const { volume } = await publish("web");
  const ask = () =>
    agent.source(volume.id).fetchJwtSvids({
      audiences: ["api"],
      spiffeId: undefined,
      signal: new AbortController().signal,
    });
  await expect(ask()).resolves.toHaveLength(1);
  operator.setEntries("pod-web", []);
  await until(() => agent.status().withoutIdentity === 1, "no identity");
  await expect(ask()).rejects.toMatchObject({ code: "NO_IDENTITY" });
});

test("the first answer for a pod tells its address before any push", async () => {
  const { operator, agent, publish } = await world({ start: false });
  operator.setPodIp("pod-web", "fd00::7");
  operator.setEntries("pod-web", [entry("web")]);
  await publish("web");
  expect(agent.identities.addressOf("pod-web")).toBe("fd00::7");
});

test("the address of a pod is known from its answers and from pushes", async () => {
  const { operator, agent, publish } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  await publish("web");
  expect(agent.identities.addressOf("pod-web")).toBeUndefined();
  operator.setPodIp("pod-web", "10.0.0.7");
  await until(() => agent.identities.addressOf("pod-web") === "10.0.0.7", "address pushed");
  operator.setPodIp("pod-web", "not an address");
  await publish("web");
  expect(agent.identities.addressOf("pod-web")).toBe("10.0.0.7");
});

test("a volume that is forgotten leaves no listener and no token behind", async () => {
  const { operator, agent, endpoints, publish } = await world();
  operator.setEntries("pod-web", [entry("web")]);
  const { client, volume } = await publish("web");
  const stream = x509(client);
  await stream.until(1);
  await endpoints.close(volume.id);
  await expect(stream.ended).resolves.toMatchObject({ code: "UNAVAILABLE" });
  agent.identities.forget(volume.id);
  expect(agent.source(volume.id).current()).toEqual({ status: "unknown" });
  expect(endpoints.summary()).toEqual({ sockets: 0, connections: 0, calls: 0 });
});
