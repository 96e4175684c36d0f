import { status as grpcStatus } from "@grpc/grpc-js";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import type { LogFields } from "../../src/core/log.ts";
import { bundlePem } from "../../src/spiffe/bundle.ts";
import { secretDiscovery } from "../../src/workload-api/sds.ts";
import type { SdsOptions } from "../../src/workload-api/sds.ts";
import { testDomain, testWorkload } from "../fakes/workload.ts";
import type { TestDomain, TestWorkload } from "../fakes/workload.ts";
import { envoyNode, sdsClient, shown } from "./sds-client.ts";
import type { SdsClient, WholeState } from "./sds-client.ts";
import { serve } from "./world.ts";
import type { World, WorldOptions } from "./world.ts";

const ID = "spiffe://example.org/web";
const quiet = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 60));

let domain: TestDomain;
let partner: TestDomain;
beforeAll(async () => {
  [domain, partner] = [await testDomain(), await testDomain("partner.test")];
});

let workload: TestWorkload;
let world: World;
let client: SdsClient;
let warnings: LogFields[];
const clients: SdsClient[] = [];
beforeEach(async () => {
  workload = testWorkload(domain, domain.state([await domain.svid("/web")], [partner]));
  await start();
});
afterEach(async () => {
  for (const each of clients.splice(0)) each.close();
  await world.close();
});

async function start(options: Partial<SdsOptions> = {}, more: WorldOptions = {}): Promise<void> {
  warnings = [];
  const log = { ...silentLog(), warn: (fields: LogFields) => void warnings.push(fields) };
  const sds = secretDiscovery({ clock: systemClock(), log, ...options });
  world = await serve(workload, { services: [sds], ...more });
  client = connect();
}

async function restart(options: Partial<SdsOptions>, more: WorldOptions = {}): Promise<void> {
  await world.close();
  await start(options, more);
}

function connect(): SdsClient {
  const made = sdsClient(world.volume.socket());
  clients.push(made);
  return made;
}

/** A stream that was told its secrets and has accepted them. */
async function subscribed(...resourceNames: string[]): Promise<WholeState> {
  const stream = client.stream();
  stream.say({ resourceNames, node: envoyNode() });
  await stream.until(1);
  accept(stream, resourceNames);
  return stream;
}

function accept(stream: WholeState, resourceNames: string[]): void {
  const last = stream.heard.at(-1);
  stream.say({
    resourceNames,
    versionInfo: last?.versionInfo ?? "",
    responseNonce: last?.nonce ?? "",
  });
}

async function renew(): Promise<Buffer> {
  const renewed = await domain.svid("/web");
  workload.set(domain.state([renewed], [partner]));
  return renewed.chain[0] as Buffer;
}

const leaf = (stream: WholeState, index = -1): string =>
  shown(stream.heard.at(index)?.resources[0]).chain ?? "";

describe("StreamSecrets", () => {
  it("tells what is named, without any header", async () => {
    const stream = await subscribed("default", "ROOTCA", "ALL", "spiffe://partner.test", ID);
    const secrets = stream.heard[0]?.resources.map(shown) ?? [];
    expect(secrets.map(({ name }) => name)).toEqual([
      "ALL",
      "ROOTCA",
      "default",
      ID,
      "spiffe://partner.test",
    ]);
    expect(secrets[1]?.spiffe).toEqual({ "example.org": bundlePem(domain.bundle) });
  });

  it("tells a rotation at once, and only who it concerns", async () => {
    const [svid, bundle] = [await subscribed("default"), await subscribed("ROOTCA")];
    const before = leaf(svid);
    for (let i = 2; i < 5; i += 1) {
      const started = performance.now();
      const der = await renew();
      await svid.until(i);
      expect(performance.now() - started).toBeLessThan(500);
      expect(leaf(svid)).toContain(der.toString("base64").slice(0, 64));
      accept(svid, ["default"]);
    }
    expect(leaf(svid)).not.toBe(before);
    const versions = svid.heard.map(({ versionInfo }) => versionInfo);
    expect(new Set(versions).size).toBe(4);
    expect(bundle.heard).toHaveLength(1);
  });

  it("tells a change of bundles at once", async () => {
    const stream = await subscribed("ALL");
    const { bundle: other } = await testDomain();
    const state = domain.state([await domain.svid("/web")]);
    const x509Authorities = [...domain.bundle.x509Authorities, ...other.x509Authorities];
    const bundle = { ...domain.bundle, x509Authorities };
    workload.set({ ...state, bundle });
    await stream.until(2);
    expect(shown(stream.heard[1]?.resources[0]).spiffe).toEqual({
      "example.org": bundlePem(bundle),
    });
  });

  it("is silent after a refusal, and tells it in the log, until there is something new", async () => {
    const stream = client.stream();
    stream.say({ resourceNames: ["default"], node: envoyNode() });
    await stream.until(1);
    for (let i = 0; i < 20; i += 1) {
      stream.say({
        resourceNames: ["default"],
        responseNonce: stream.heard[0]?.nonce ?? "",
        errorDetail: { code: 13, message: `cannot load it ${"x".repeat(1000)}` },
      });
    }
    await quiet();
    expect(stream.heard).toHaveLength(1);
    expect(warnings).toEqual([
      { spiffeId: ID, reason: expect.stringMatching(/^cannot load it x{485}$/) },
    ]);
    await renew();
    await stream.until(2);
  });

  it("logs only a few refusals of one socket", async () => {
    const stream = client.stream();
    stream.say({ resourceNames: ["default"], node: envoyNode() });
    for (let i = 1; i < 20; i += 1) {
      const { nonce: responseNonce } = await stream.until(i);
      stream.say({ resourceNames: ["default"], responseNonce, errorDetail: { message: "no" } });
      // What answers an older response would be ignored.
      await new Promise((resolve) => setTimeout(resolve, 10));
      await renew();
    }
    await stream.until(20);
    expect(warnings).toHaveLength(5);
  });

  it("takes other names later", async () => {
    const stream = await subscribed("default");
    accept(stream, ["default", "ROOTCA"]);
    const { resources } = await stream.until(2);
    expect(resources.map((resource) => shown(resource).name)).toEqual(["ROOTCA", "default"]);
  });

  it("ends with INVALID_ARGUMENT for names of others, at once and when they are no more the workload's", async () => {
    const stream = client.stream();
    stream.say({ resourceNames: ["default", "spiffe://example.org/other"], node: envoyNode() });
    expect(await stream.status).toMatchObject({
      code: grpcStatus.INVALID_ARGUMENT,
      details:
        'workload is not authorized for the requested identities ["spiffe://example.org/other"]',
    });
    const federated = await subscribed("spiffe://partner.test");
    workload.set(domain.state([await domain.svid("/web")]));
    expect(await federated.status).toMatchObject({ code: grpcStatus.INVALID_ARGUMENT });
  });

  it("ends with PERMISSION_DENIED without an identity, at once and when it goes", async () => {
    const stream = await subscribed("default");
    workload.set({ status: "none" });
    for (const each of [stream, client.stream()]) {
      each.say({ resourceNames: ["default"], node: envoyNode() });
      expect(await each.status).toMatchObject({
        code: grpcStatus.PERMISSION_DENIED,
        details: "no identity issued",
      });
    }
  });

  it("waits while nothing is known, whatever was told before", async () => {
    const [stream, late] = [await subscribed("default"), client.stream()];
    workload.set({ status: "unknown" });
    late.say({ resourceNames: ["default"], node: envoyNode() });
    await quiet();
    expect(late.heard).toHaveLength(0);
    await renew();
    await Promise.all([stream.until(2), late.until(1)]);
    expect(leaf(late)).toBe(leaf(stream));
  });

  it("ends with UNAVAILABLE when the agent ends, and leaves no listener behind", async () => {
    const streams = [await subscribed("default"), await subscribed("ALL")];
    expect(workload.listeners).toBe(2);
    await world.endpoint.close({ removeFiles: false });
    for (const stream of streams) {
      expect(await stream.status).toMatchObject({ code: grpcStatus.UNAVAILABLE });
    }
    expect(workload.listeners).toBe(0);
  });

  it("leaves no listener and no open call behind when the client goes", async () => {
    const stream = await subscribed("default");
    stream.cancel();
    await expect.poll(() => [workload.listeners, world.endpoint.calls]).toEqual([0, 0]);
  });

  it("answers a client that says no more, and then ends", async () => {
    const stream = client.stream();
    stream.say({ resourceNames: ["default"] });
    stream.end();
    expect(await stream.status).toMatchObject({ code: grpcStatus.OK });
    expect(stream.heard).toHaveLength(1);
  });

  it("refuses resources of another type", async () => {
    const stream = client.stream();
    stream.say({ typeUrl: "type.googleapis.com/envoy.config.listener.v3.Listener" });
    expect(await stream.status).toMatchObject({ code: grpcStatus.INVALID_ARGUMENT });
  });

  it("does not wait for a slow reader, who gets the newest when he reads on", async () => {
    const [slow, quick] = [await subscribed(), await subscribed("default")];
    slow.pause();
    const federated = await Promise.all(
      Array.from({ length: 60 }, (_, i) => testDomain(`td-${i}.test`)),
    );
    for (let i = 0; i < 40; i += 1) {
      const svids = [await domain.svid("/web"), await domain.svid(`/n-${i}`)];
      workload.set(domain.state(svids, federated));
      await quick.until(i + 2);
    }
    slow.resume();
    await expect
      .poll(() => slow.heard.at(-1)?.resources.map((resource) => shown(resource).name))
      .toContain("spiffe://example.org/n-39");
    expect(slow.heard.length).toBeLessThan(quick.heard.length);
  });

  it("counts every request as a call of its socket", async () => {
    await restart({}, { limits: { callBurst: 10, callsPerSecond: 1 } });
    const stream = await subscribed("default");
    for (let i = 0; i < 20; i += 1) accept(stream, ["default"]);
    expect(await stream.status).toMatchObject({ code: grpcStatus.RESOURCE_EXHAUSTED });
  });

  it("takes only so many streams on a socket", async () => {
    await restart({}, { limits: { openCalls: 2 } });
    await subscribed("default");
    await subscribed("ROOTCA");
    expect(await client.stream().status).toMatchObject({ code: grpcStatus.RESOURCE_EXHAUSTED });
  });
});

describe("DeltaSecrets", () => {
  it("tells what is named, what is not there, and what changes", async () => {
    const stream = client.delta();
    stream.say({ resourceNamesSubscribe: ["default", "spiffe://late.test"], node: envoyNode() });
    const first = await stream.until(1);
    expect(first.resources.map(({ name }) => name)).toEqual(["default"]);
    expect(first.removedResources).toEqual(["spiffe://late.test"]);
    stream.say({ responseNonce: first.nonce });
    const late = await testDomain("late.test");
    workload.set(domain.state([await domain.svid("/web")], [late]));
    const second = await stream.until(2);
    expect(second.resources.map(({ name }) => name)).toEqual(["default", "spiffe://late.test"]);
    expect(shown(second.resources[1]?.resource).spiffe).toEqual({
      "late.test": bundlePem(late.bundle),
    });
  });

  it("spares a client that comes back what it holds", async () => {
    const stream = client.delta();
    stream.say({ resourceNamesSubscribe: ["default", "ROOTCA"], node: envoyNode() });
    const { resources } = await stream.until(1);
    stream.cancel();
    await renew();
    const again = connect().delta();
    again.say({
      resourceNamesSubscribe: ["default", "ROOTCA"],
      node: envoyNode(),
      initialResourceVersions: Object.fromEntries(
        resources.map(({ name, version }) => [name, version]),
      ),
    });
    expect((await again.until(1)).resources.map(({ name }) => name)).toEqual(["default"]);
  });

  it("ends as StreamSecrets does when the identity goes", async () => {
    const stream = client.delta();
    stream.say({ resourceNamesSubscribe: ["default"], node: envoyNode() });
    await stream.until(1);
    workload.set({ status: "none" });
    expect(await stream.status).toMatchObject({ code: grpcStatus.PERMISSION_DENIED });
  });
});

describe("FetchSecrets", () => {
  it("answers once, without a nonce", async () => {
    const { resources, nonce, versionInfo } = await client.fetch({ node: envoyNode() });
    expect(resources.map((resource) => shown(resource).name)).toEqual([
      "spiffe://example.org",
      "spiffe://partner.test",
      ID,
    ]);
    expect(nonce).toBe("");
    expect((await client.fetch({ node: envoyNode() })).versionInfo).toBe(versionInfo);
  });

  it("fails with the codes of the streams", async () => {
    const other = { resourceNames: ["spiffe://example.org/other"] };
    await expect(client.fetch(other)).rejects.toMatchObject({ code: grpcStatus.INVALID_ARGUMENT });
    await expect(client.fetch({ resourceNames: ["ALL"] })).rejects.toMatchObject({
      code: grpcStatus.INVALID_ARGUMENT,
      details: expect.stringContaining("disable_spiffe_cert_validation"),
    });
    workload.set({ status: "none" });
    await expect(client.fetch({})).rejects.toMatchObject({ code: grpcStatus.PERMISSION_DENIED });
    workload.set({ status: "unknown" });
    await expect(client.fetch({})).rejects.toMatchObject({ code: grpcStatus.UNAVAILABLE });
  });
});

describe("the service", () => {
  it("takes the names and the validator that it is configured with", async () => {
    await restart({
      names: { bundle: "", allBundles: "ROOTCA" },
      disableSpiffeCertValidation: true,
    });
    const on = envoyNode(40, { disable_spiffe_cert_validation: false });
    const { resources } = await client.fetch({ resourceNames: ["ROOTCA"], node: on });
    expect(Object.keys(shown(resources[0]).spiffe ?? {})).toEqual(["example.org", "partner.test"]);
    const plain = await client.fetch({
      resourceNames: ["spiffe://example.org"],
      node: envoyNode(),
    });
    expect(shown(plain.resources[0]).trustedCa).toBe(bundlePem(domain.bundle));
  });

  it("refuses names of which two are the same", () => {
    const options = { clock: systemClock(), log: silentLog() };
    expect(() => secretDiscovery({ ...options, names: { bundle: "ALL" } })).toThrow(/ambiguous/);
    expect(() =>
      secretDiscovery({ ...options, names: { bundle: "", allBundles: "" } }),
    ).not.toThrow();
  });
});
