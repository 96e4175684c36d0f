import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { SignetError } from "../../src/core/errors.ts";
import { createKubeClient, type KubeClient } from "../../src/kube/client.ts";
import { CONFIG_MAPS, LEASES, NODES, PODS } from "../../src/kube/resources.ts";
import type { ConfigMap, Lease, Pod } from "../../src/kube/types.ts";
import { startFakeApiServer, type FakeApiServer } from "../fakes/api-server.ts";
import { makeServerCertificate } from "../fakes/api-tls.ts";

let server: FakeApiServer;
let client: KubeClient;

beforeEach(async () => {
  server = await startFakeApiServer();
  client = createKubeClient({ config: server.config(), clock: systemClock() });
});

afterEach(async () => {
  await client.close();
  await server.close();
});

const configMap = (name: string, data: Record<string, string> = { a: "1" }) => ({
  metadata: { name, namespace: "shop" },
  data,
});

const apply = (manager: string, data: Record<string, string>, force = false) =>
  client.apply<ConfigMap>(CONFIG_MAPS, configMap("one", data), { fieldManager: manager, force });

async function failure(promise: Promise<unknown>): Promise<SignetError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(SignetError);
  return error as SignetError;
}

describe("verbs", () => {
  it("creates, reads, updates and removes an object", async () => {
    const created = await client.create<ConfigMap>(CONFIG_MAPS, configMap("one"));
    expect(created.metadata.uid).not.toBe("");
    const key = { namespace: "shop", name: "one" };
    const read = await client.get<ConfigMap>(CONFIG_MAPS, key);
    expect(read).toEqual(created);
    const updated = await client.update<ConfigMap>(CONFIG_MAPS, { ...read, data: { a: "2" } });
    expect(updated.metadata.resourceVersion).not.toBe(read.metadata.resourceVersion);
    await client.remove(CONFIG_MAPS, key, { uid: read.metadata.uid });
    expect(server.objects(CONFIG_MAPS)).toEqual([]);
  });

  it("patches with a merge patch and a JSON patch", async () => {
    await client.create<ConfigMap>(CONFIG_MAPS, configMap("one", { a: "1", b: "2" }));
    const key = { namespace: "shop", name: "one" };
    const merged = await client.patch<ConfigMap>(CONFIG_MAPS, key, {
      patch: { type: "merge", body: { data: { a: null, c: "3" } } },
    });
    expect(merged.data).toEqual({ b: "2", c: "3" });
    const patched = await client.patch<ConfigMap>(CONFIG_MAPS, key, {
      patch: { type: "json", body: [{ op: "replace", path: "/data/b", value: "9" }] },
    });
    expect(patched.data).toEqual({ b: "9", c: "3" });
  });

  it("writes a status only through its subresource", async () => {
    const pod = {
      metadata: { name: "web", namespace: "shop" },
      spec: {},
      status: { podIP: "1.2.3.4" },
    };
    const created = await client.create<Pod>(PODS, pod);
    expect(created.status).toBeUndefined();
    const written = await client.patch<Pod>(
      PODS,
      { namespace: "shop", name: "web" },
      { patch: { type: "merge", body: { status: { phase: "Running" } } }, subresource: "status" },
    );
    expect(written.status?.phase).toBe("Running");
    expect(written.metadata.generation).toBe(1);
  });

  it("lists pages, and gives the items the apiVersion and kind they lack on the wire", async () => {
    for (const name of ["a", "b", "c"]) server.put(CONFIG_MAPS, configMap(name));
    const first = await client.list<ConfigMap>(CONFIG_MAPS, { limit: 2 });
    const second = await client.list<ConfigMap>(CONFIG_MAPS, {
      limit: 2,
      continue: first.metadata.continue,
    });
    const items = [...first.items, ...second.items];
    expect(items.map((item) => item.metadata.name)).toEqual(["a", "b", "c"]);
    expect(items.every((item) => item.kind === "ConfigMap" && item.apiVersion === "v1")).toBe(true);
    expect(second.metadata.continue).toBeUndefined();
  });

  it("selects by namespace, label and field", async () => {
    server.put(CONFIG_MAPS, { metadata: { name: "a", namespace: "shop", labels: { app: "x" } } });
    server.put(CONFIG_MAPS, { metadata: { name: "b", namespace: "shop" } });
    server.put(CONFIG_MAPS, { metadata: { name: "a", namespace: "other", labels: { app: "x" } } });
    const list = await client.list(CONFIG_MAPS, {
      namespace: "shop",
      labelSelector: "app=x",
      fieldSelector: "metadata.name=a",
    });
    expect(list.items.map((item) => `${item.metadata.namespace}/${item.metadata.name}`)).toEqual([
      "shop/a",
    ]);
  });

  it("stores nothing on a dry run", async () => {
    await client.create<ConfigMap>(CONFIG_MAPS, configMap("one"), { dryRun: true });
    expect(server.objects(CONFIG_MAPS)).toEqual([]);
  });

  it("refuses an object without a namespace before it asks the server", async () => {
    const error = await failure(client.create(CONFIG_MAPS, { metadata: { name: "x" } }));
    expect(error.code).toBe("INVALID_ARGUMENT");
    expect(server.requests).toEqual([]);
  });
});

describe("server-side apply", () => {
  it("creates, and takes away what the manager no longer applies", async () => {
    await apply("signet", { a: "1", b: "2" });
    expect((await apply("signet", { a: "1" })).data).toEqual({ a: "1" });
  });

  it("keeps the fields of other managers", async () => {
    await apply("signet", { a: "1" });
    await apply("someone", { b: "2" });
    expect((await apply("signet", { a: "3" })).data).toEqual({ a: "3", b: "2" });
  });

  it("fails with CONFLICT on a field of another manager, and takes it with force", async () => {
    await apply("someone", { a: "1" });
    const error = await failure(apply("signet", { a: "2" }));
    expect(error.code).toBe("CONFLICT");
    expect(error.message).toContain('conflict with "someone": .data.a');
    expect((await apply("signet", { a: "2" }, true)).data).toEqual({ a: "2" });
  });

  it("merges conditions by type through the status subresource", async () => {
    server.put<Pod>(PODS, {
      metadata: { name: "web", namespace: "shop" },
      spec: {},
      status: { conditions: [{ type: "Ready", status: "True" }] },
    });
    const object = {
      metadata: { name: "web", namespace: "shop" },
      status: { conditions: [{ type: "Identity", status: "True" as const }] },
    };
    const applied = await client.apply<Pod>(PODS, object as Pod, {
      fieldManager: "signet",
      subresource: "status",
    });
    expect(applied.status?.conditions?.map((c) => c.type)).toEqual(["Ready", "Identity"]);
  });
});

describe("errors", () => {
  it("names verb, resource and object, and repeats the server's words", async () => {
    const error = await failure(client.get(CONFIG_MAPS, { namespace: "shop", name: "none" }));
    expect(error.code).toBe("NOT_FOUND");
    expect(error.message).toBe(
      'cannot get configmaps "shop/none": configmaps "none" not found (404 NotFound)',
    );
    expect(error.details).toEqual({ status: 404, reason: "NotFound" });
  });

  it("tells ALREADY_EXISTS from CONFLICT", async () => {
    const created = await client.create<ConfigMap>(CONFIG_MAPS, configMap("one"));
    const twice = await failure(client.create(CONFIG_MAPS, configMap("one")));
    expect(twice.code).toBe("ALREADY_EXISTS");
    await client.update<ConfigMap>(CONFIG_MAPS, { ...created, data: {} });
    const stale = await failure(
      client.update<ConfigMap>(CONFIG_MAPS, { ...created, data: { z: "" } }),
    );
    expect(stale.code).toBe("CONFLICT");
    const wrongUid = await failure(
      client.remove(CONFIG_MAPS, { namespace: "shop", name: "one" }, { uid: "other" }),
    );
    expect(wrongUid.code).toBe("CONFLICT");
  });

  it.each([
    [400, "INVALID_ARGUMENT"],
    [401, "UNAUTHENTICATED"],
    [403, "PERMISSION_DENIED"],
    [410, "FAILED_PRECONDITION"],
    [422, "INVALID_SPEC"],
    [429, "UNAVAILABLE"],
    [500, "UNAVAILABLE"],
    [503, "UNAVAILABLE"],
  ])("gives status %i the code %s", async (status, code) => {
    server.intercept = () => ({
      status,
      body: { kind: "Status", message: "no" },
      headers: { "retry-after": "7" },
    });
    const error = await failure(client.list(NODES));
    expect(error.code).toBe(code);
    expect(error.details).toMatchObject({ status, retryAfterSeconds: 7 });
  });

  it("keeps the text of an answer that is no Status", async () => {
    server.intercept = () => ({ status: 502, body: "<html>bad gateway</html>" });
    const error = await failure(client.list(NODES));
    expect(error.message).toBe("cannot list nodes: <html>bad gateway</html> (502)");
  });

  it("says MALFORMED when an answer is not JSON", async () => {
    server.intercept = () => ({ status: 200, body: "{" });
    expect((await failure(client.list(NODES))).code).toBe("MALFORMED");
  });

  it("refuses an answer over the limit", async () => {
    const small = createKubeClient({
      config: server.config(),
      clock: systemClock(),
      maxResponseBytes: 100,
    });
    server.put(CONFIG_MAPS, configMap("one"));
    expect((await failure(small.list(CONFIG_MAPS))).code).toBe("RESOURCE_EXHAUSTED");
    await small.close();
  });

  it("says UNAVAILABLE when no answer comes in time", async () => {
    server.intercept = () => "hang";
    const error = await failure(client.list(NODES, { timeoutMs: 50 }));
    expect(error.code).toBe("UNAVAILABLE");
    expect(error.message).toBe("cannot list nodes: no answer within 50 ms");
  });

  it("says CANCELLED when the caller's signal aborts", async () => {
    server.intercept = () => "hang";
    const stop = new AbortController();
    const pending = failure(client.list(NODES, { signal: stop.signal }));
    await vi.waitFor(() => expect(server.requests).toHaveLength(1));
    stop.abort();
    expect((await pending).code).toBe("CANCELLED");
  });

  it("says UNAVAILABLE when nobody listens", async () => {
    await server.close();
    const error = await failure(client.list(NODES));
    expect(error.code).toBe("UNAVAILABLE");
    expect(error.details["reason"]).toBe("ECONNREFUSED");
  });
});

describe("connections", () => {
  it("keeps connections for calls one after the other", async () => {
    for (let call = 0; call < 50; call += 1) await client.list(NODES);
    expect(server.requests).toHaveLength(50);
    // A second one when a call begins while the one before is still being wound up.
    expect(server.connections).toBeLessThanOrEqual(2);
  });

  it("reads again when the connection breaks under a GET, but never writes twice", async () => {
    let broken = 0;
    server.intercept = () => (broken++ === 0 ? "reset" : undefined);
    await client.list(NODES);
    expect(server.requests).toHaveLength(2);
    broken = 0;
    expect((await failure(client.create(CONFIG_MAPS, configMap("one")))).code).toBe("UNAVAILABLE");
    expect(server.requests).toHaveLength(3);
  });

  it("sends the token of the moment", async () => {
    server.tokens = ["first"];
    let token = "first";
    const config = { ...server.config(), token: () => token };
    const rotating = createKubeClient({ config, clock: systemClock() });
    await rotating.list(NODES);
    server.tokens = ["second"];
    expect((await failure(rotating.list(NODES))).code).toBe("UNAUTHENTICATED");
    token = "second";
    await rotating.list(NODES);
    await rotating.close();
  });

  it("trusts a new CA from the next request on", async () => {
    let ca = (await makeServerCertificate()).ca;
    const config = { ...server.config(), ca: () => ca };
    const rotating = createKubeClient({ config, clock: systemClock() });
    expect((await failure(rotating.list(NODES))).code).toBe("UNAVAILABLE");
    ca = server.ca;
    await rotating.list(NODES);
    await rotating.close();
  });

  it("reads any path, below a proxy's prefix too", async () => {
    server.intercept = ({ path }) =>
      path === "/k8s/one/openid/v1/jwks" ? { status: 200, body: { keys: [] } } : undefined;
    const config = { ...server.config(), server: `${server.url}/k8s/one/` };
    const proxied = createKubeClient({ config, clock: systemClock() });
    expect(await proxied.raw("/openid/v1/jwks")).toEqual({ keys: [] });
    await proxied.close();
  });
});

it("keeps an update of a Lease without resourceVersion out, as the real server does", async () => {
  await client.create<Lease>(LEASES, { metadata: { name: "l", namespace: "shop" } });
  const blind = { metadata: { name: "l", namespace: "shop" }, spec: {} } as Lease;
  expect((await failure(client.update<Lease>(LEASES, blind))).code).toBe("INVALID_SPEC");
});
