import { once } from "node:events";
import { request as httpRequest } from "node:http";
import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SignetError } from "../../src/core/errors.ts";
import { silentLog } from "../../src/core/log.ts";
import type { PodIssues } from "../../src/inspect/ports.ts";
import { inspectServer } from "../../src/inspect/server.ts";
import type { InspectServer } from "../../src/inspect/server.ts";
import type { Explanation } from "../../src/registration/types.ts";
import { parseTrustDomain } from "../../src/spiffe/trust-domain.ts";
import {
  fakeInspectedRegistry,
  fakeIssueRecords,
  fakePreview,
} from "../fakes/inspected-registry.ts";
import type { FakeInspectedRegistry } from "../fakes/inspected-registry.ts";
import { fakeEntry, fakePod } from "../fakes/registry.ts";

let registry: FakeInspectedRegistry;
let server: InspectServer;
const records: Record<string, PodIssues> = {};

beforeEach(async () => {
  registry = fakeInspectedRegistry();
  server = inspectServer({
    port: 0,
    registry,
    issues: fakeIssueRecords(records),
    version: "1.2.3",
    trustDomain: parseTrustDomain("example.org"),
    defaultX509SvidTtl: 3600,
    log: silentLog(),
  });
  await server.start();
});

afterEach(() => server.stop());

interface Call {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
}

async function send(path: string, { method = "GET", headers = {}, body }: Call = {}) {
  const call = httpRequest({
    port: server.port(),
    host: "127.0.0.1",
    path,
    method,
    agent: false,
    headers: { host: "localhost", ...headers },
  });
  call.end(body);
  const [response] = (await once(call, "response")) as [IncomingMessage];
  return { response, status: response.statusCode, body: await text(response) };
}

async function get(path: string): Promise<unknown> {
  return JSON.parse((await send(path)).body);
}

function render(object: unknown, headers: Record<string, string> = {}) {
  return send("/v1/render", {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof object === "string" ? object : JSON.stringify(object),
  });
}

const API = { apiVersion: "spire.spiffe.io/v1alpha1" };
const web = { ...API, kind: "ClusterSPIFFEID", metadata: { name: "web" }, spec: { hint: "x" } };

const explanation: Explanation = {
  kind: "ClusterSPIFFEID",
  rule: "all",
  ruleUid: "uid-all",
  matched: false,
  selects: "pod",
  outcome: "masked",
  clause: "masked by web",
  spiffeId: "spiffe://example.org/x",
  maskedBy: "ClusterSPIFFEID web",
};

describe("the inspect server", () => {
  it("says who it is, and its version in every answer", async () => {
    expect(await get("/v1/about")).toEqual({ version: "1.2.3", trustDomain: "example.org" });
    const { response, status } = await send("/nothing");
    expect([status, response.headers["signet-version"]]).toEqual([404, "1.2.3"]);
  });

  it("explains a pod", async () => {
    const pod = fakePod("web");
    registry.pods.push(pod);
    registry.all.push(fakeEntry(pod, { dnsNames: ["web.shop"], hint: "h" }));
    registry.explanations.push(explanation);
    records["uid-web"] = {
      issued: { by: "renew", at: 0, notAfter: 1000, spiffeIds: ["spiffe://example.org/x"] },
      failed: { by: "attest", at: 500, code: "NO_IDENTITY", message: "none" },
    };
    expect(await get("/v1/pods/shop/web")).toEqual({
      kind: "Pod",
      namespace: "shop",
      name: "web",
      uid: "uid-web",
      node: "node-a",
      serviceAccount: "default",
      phase: "Pending",
      considered: [explanation],
      entries: [
        {
          id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
          source: { kind: "ClusterSPIFFEID", name: "web" },
          namespace: "shop",
          pod: "web",
          podUid: "uid-web",
          node: "node-a",
          spiffeId: "spiffe://example.org/ns/shop/pod/web",
          parentId: "spiffe://example.org/spire/agent/k8s_psat/kind/uid-node-a",
          selectors: ["k8s:pod-uid:uid-web"],
          x509SvidTtl: 3600,
          jwtSvidTtl: 0,
          dnsNames: ["web.shop"],
          federatesWith: [],
          admin: false,
          downstream: false,
          hint: "h",
        },
      ],
      lastIssued: {
        by: "renew",
        at: "1970-01-01T00:00:00.000Z",
        until: "1970-01-01T00:00:01.000Z",
        spiffeIds: ["spiffe://example.org/x"],
      },
      lastError: {
        by: "attest",
        at: "1970-01-01T00:00:00.500Z",
        code: "NO_IDENTITY",
        message: "none",
      },
    });
  });

  it("explains a pod that has no node and no record", async () => {
    registry.pods.push({ metadata: { name: "new", namespace: "shop", uid: "uid-new" }, spec: {} });
    const view = (await get("/v1/pods/shop/new")) as object;
    expect(view).toMatchObject({ phase: "Unknown", entries: [], considered: [] });
    expect(Object.keys(view)).not.toEqual(
      expect.arrayContaining([expect.stringMatching(/^(node|lastIssued|lastError)$/)]),
    );
  });

  it("explains a custom resource with as many pods as are asked for", async () => {
    const pod = fakePod("web");
    registry.pods.push(pod);
    records["uid-web"] = { issued: { by: "attest", at: 0, notAfter: 1, spiffeIds: [] } };
    const entry = fakeEntry(pod, { x509SvidTtl: 60 });
    registry.rules.push({
      kind: "ClusterSPIFFEID",
      name: "web",
      uid: "uid-cr",
      status: undefined,
      clause: "it is of another class",
      pods: [
        { pod: "shop/web", outcome: "set", clause: "ok", entry },
        { pod: "shop/gone", outcome: "failed", clause: "no" },
      ],
    });
    expect(await get("/v1/clusterspiffeids/web")).toMatchObject({
      kind: "ClusterSPIFFEID",
      clause: "it is of another class",
      pods: [
        { pod: "shop/web", entry: { x509SvidTtl: 60, pod: "web" }, lastIssued: { by: "attest" } },
        { pod: "shop/gone", outcome: "failed" },
      ],
    });
    expect(await get("/v1/clusterspiffeids/web?pods=1")).toHaveProperty("pods.length", 1);
  });

  it.each(["pods/shop/web", "clusterspiffeids/web", "clusterstaticentries/web"])(
    "knows no %s",
    async (path) => {
      const { status, body } = await send(`/v1/${path}`);
      expect(status).toBe(404);
      expect(JSON.parse(body)).toMatchObject({
        code: "NOT_FOUND",
        message: expect.stringMatching(/knows no/) as string,
      });
    },
  );

  it("renders what is not applied, with nothing but its name and spec", async () => {
    const { status, body } = await render({ ...web, metadata: { name: "web", uid: "x" }, x: 1 });
    expect([status, JSON.parse(body)]).toEqual([200, fakePreview()]);
    expect(registry.previewed).toEqual([
      { kind: "ClusterSPIFFEID", object: { metadata: { name: "web" }, spec: { hint: "x" } } },
    ]);
  });

  it("checks a federated trust domain against its own", async () => {
    const { body } = await render({
      ...API,
      kind: "ClusterFederatedTrustDomain",
      metadata: { name: "self" },
      spec: {
        trustDomain: "example.org",
        bundleEndpointURL: "https://example.org/bundle",
        bundleEndpointProfile: { type: "https_web" },
      },
    });
    expect(JSON.parse(body)).toMatchObject({
      kind: "ClusterFederatedTrustDomain",
      name: "self",
      problems: [{ field: "spec.trustDomain" }],
    });
  });

  it.each([
    ["no JSON", "{", /not JSON/],
    ["no object", "1", /not an object/],
    ["another kind", { ...web, kind: "Secret" }, /only ClusterSPIFFEID/],
    ["another group", { ...web, apiVersion: "v1" }, /of spire.spiffe.io/],
    ["no name", { ...web, metadata: null }, /metadata.name is missing/],
  ])("refuses to render %s", async (_, object, message) => {
    const { status, body } = await render(object);
    expect([status, JSON.parse(body)]).toEqual([
      400,
      { code: "INVALID_ARGUMENT", message: expect.stringMatching(message) as string },
    ]);
    expect(registry.previewed).toEqual([]);
  });

  it("tells a failed preview by its code, and of a fault in itself no more than that", async () => {
    registry.previews = () => {
      throw new SignetError("UNAVAILABLE", "the API server is away");
    };
    expect(await render(web)).toMatchObject({ status: 503 });
    registry.previews = () => {
      throw new Error("secret state");
    };
    const { status, body } = await render(web);
    expect(status).toBe(500);
    expect(body).not.toMatch(/secret state/);
  });

  it("breaks off a preview that nobody waits for", async () => {
    let aborted = false;
    registry.previews = (_, signal) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          aborted = true;
          reject(new Error("left"));
        });
      });
    const socket = connect(server.port(), "127.0.0.1");
    const body = JSON.stringify(web);
    socket.write(
      `POST /v1/render HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await expect.poll(() => registry.previewed.length).toBe(1);
    socket.destroy();
    await expect.poll(() => aborted).toBe(true);
  });
});

describe("the list of entries", () => {
  const lines = async (query = ""): Promise<unknown[]> => {
    const { body } = await send(`/v1/entries${query}`);
    return body
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);
  };

  beforeEach(() => {
    const [one, two] = [fakePod("one", "node-a"), fakePod("two", "node-b")];
    const other = {
      ...fakePod("three"),
      metadata: { ...fakePod("three").metadata, namespace: "x" },
    };
    registry.pods.push(one, two, other);
    registry.all.push(
      fakeEntry(one),
      fakeEntry(two, { source: { kind: "ClusterStaticEntry", name: "web", uid: "u" } }),
      fakeEntry(other, { source: { kind: "ClusterSPIFFEID", name: "rest", uid: "v" } }),
    );
  });

  it.each([
    ["", ["one", "two", "three"]],
    ["?namespace=shop", ["one", "two"]],
    ["?node=node-a", ["one", "three"]],
    ["?source=web", ["one", "two"]],
    ["?source=ClusterSPIFFEID%2Fweb", ["one"]],
    ["?namespace=shop&node=node-b&source=web", ["two"]],
    ["?namespace=nowhere", []],
  ])("%s names its pods, then their number", async (query, pods) => {
    const all = await lines(query);
    expect(all.slice(0, -1)).toEqual(
      pods.map((pod) =>
        expect.objectContaining({ entry: expect.objectContaining({ pod }) as object }),
      ),
    );
    expect(all.at(-1)).toEqual({ end: { entries: pods.length } });
  });

  it("shows an entry whose pod is just going", async () => {
    registry.pods.length = 0;
    expect(await lines()).toContainEqual({
      entry: expect.objectContaining({ pod: "", podUid: "uid-one" }) as object,
    });
  });

  it("waits for a slow reader instead of holding a hundred thousand entries", async () => {
    let read = 0;
    const entry = fakeEntry(fakePod("one"));
    registry.entries = function* () {
      for (; read < 100_000; read += 1) yield entry;
    };
    const call = httpRequest({
      port: server.port(),
      host: "127.0.0.1",
      path: "/v1/entries",
      headers: { host: "localhost" },
    });
    call.end();
    const [response] = (await once(call, "response")) as [IncomingMessage];
    response.pause();
    for (let last = -1; last !== read;) {
      last = read;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    expect(read).toBeLessThan(50_000);
    const last = (await text(response)).trimEnd().split("\n").at(-1) ?? "";
    expect(JSON.parse(last)).toEqual({ end: { entries: 100_000 } });
  });

  it("breaks off without its last line when the registry fails", async () => {
    registry.entries = function* () {
      yield fakeEntry(fakePod("one"));
      throw new Error("changed");
    };
    await expect(lines()).rejects.toThrow(/hang up|aborted/);
  });
});

describe("the limits", () => {
  it("bind the server to the loopback interface", async () => {
    const outside = Object.values(networkInterfaces())
      .flat()
      .find((address) => address?.family === "IPv4" && !address.internal);
    expect(outside).toBeDefined();
    const socket = connect(server.port(), outside?.address);
    await expect(once(socket, "connect")).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  it("refuse a port that is taken", async () => {
    const second = inspectServer({
      port: server.port(),
      registry,
      issues: fakeIssueRecords(),
      version: "1",
      trustDomain: parseTrustDomain("example.org"),
      defaultX509SvidTtl: 1,
      log: silentLog(),
    });
    await expect(second.start()).rejects.toMatchObject({ code: "SYSTEM" });
  });

  it("refuse a body over 1.5 MiB, and take one of that size", async () => {
    const fill = (length: number): string => {
      const empty = JSON.stringify({ ...web, spec: { hint: "" } });
      return JSON.stringify({ ...web, spec: { hint: "x".repeat(length - empty.length) } });
    };
    expect(await render(fill(1.5 * 1024 * 1024))).toMatchObject({ status: 200 });
    expect(await render(fill(1.5 * 1024 * 1024 + 1))).toMatchObject({ status: 413 });
  });

  it("refuse headers over 8 KiB", async () => {
    const { status } = await send("/v1/about", { headers: { x: "x".repeat(9000) } });
    expect(status).toBe(431);
  });

  it("refuse strangers before their body is read", async () => {
    const { status } = await render(web, { host: "evil.example" });
    expect(status).toBe(403);
    expect(registry.previewed).toEqual([]);
  });

  it("let go of a request that does not come to its end", async () => {
    const socket = connect(server.port(), "127.0.0.1");
    socket.write("GET /v1/about HTTP/1.1\r\nhost: ");
    const answer = await text(socket);
    expect(answer).toMatch(/^HTTP\/1.1 408/);
  });

  it("drop more than 32 connections", async () => {
    const sockets = Array.from({ length: 33 }, () => connect(server.port(), "127.0.0.1"));
    await expect(
      Promise.race(sockets.map((socket) => once(socket, "close"))),
    ).resolves.toBeDefined();
    const open = sockets.filter((socket) => !socket.destroyed);
    expect(open).toHaveLength(32);
    for (const socket of sockets) socket.destroy();
  });
});
