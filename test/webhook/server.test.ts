import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import type { RequestOptions } from "node:https";
import { connect } from "node:tls";
import type { TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { liveValue } from "../../src/core/live.ts";
import type { LiveSource, TlsMaterial } from "../../src/core/live.ts";
import { silentLog } from "../../src/core/log.ts";
import type { Log, LogFields } from "../../src/core/log.ts";
import { podInjector } from "../../src/webhook/admit.ts";
import type { Previewer } from "../../src/webhook/ports.ts";
import { webhookServer } from "../../src/webhook/server.ts";
import type { WebhookServer } from "../../src/webhook/server.ts";
import { resourceValidator } from "../../src/webhook/validate.ts";
import { applyAdditions } from "./apply-patch.ts";
import { selfSigned } from "./certificates.ts";
import { DRIVER, pod } from "./pods.ts";
import { outcomesOf, previewerOf, previewOf, problem, resourceReview, SHOP } from "./previews.ts";
import { reviewOf } from "./reviews.ts";

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly commonName: string | undefined;
}

let material: LiveSource<TlsMaterial>;
let lines: { level: string; fields: LogFields; message: string }[];
let server: WebhookServer;
/** What the validator asks; a test may put another in its place. */
let previewer: Previewer;

function at(level: string) {
  return (fields: LogFields, message: string) => void lines.push({ level, fields, message });
}

function recordingLog(): Log {
  const levels = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  return { ...silentLog(), ...levels };
}

beforeEach(async () => {
  material = liveValue(await selfSigned("first"));
  lines = [];
  previewer = previewerOf();
  const current: Previewer = {
    ownsClass: (...given) => previewer.ownsClass(...given),
    check: (...given) => previewer.check(...given),
    checkFederatedTrustDomain: (...given) => previewer.checkFederatedTrustDomain(...given),
    preview: (...given) => previewer.preview(...given),
  };
  const log = recordingLog();
  server = webhookServer({
    port: 0,
    host: "127.0.0.1",
    tls: material,
    admitters: {
      "/mutate": podInjector({ driverName: DRIVER }),
      "/validate": resourceValidator({ previewer: current, clock: systemClock(), log }),
      "/broken": () => {
        throw new TypeError("a secret of the inside");
      },
    },
    log,
  });
  await server.start();
});

afterEach(async () => {
  await server.stop();
});

async function call(
  options: RequestOptions,
  body?: string | Buffer,
  agent: Agent | false = false,
): Promise<Answer> {
  const target = { host: "127.0.0.1", port: server.port(), rejectUnauthorized: false, agent };
  const outgoing = request({ ...target, ...options });
  outgoing.end(body);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const commonName = (response.socket as TLSSocket).getPeerCertificate().subject?.CN;
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return {
    status: response.statusCode ?? 0,
    text: Buffer.concat(chunks).toString("utf8"),
    commonName: Array.isArray(commonName) ? commonName[0] : commonName,
  };
}

const mutate = (body: string | Buffer): Promise<Answer> =>
  call({ method: "POST", path: "/mutate?timeout=5s" }, body);

const validate = (...about: Parameters<typeof resourceReview>): Promise<Answer> =>
  call({ method: "POST", path: "/validate" }, JSON.stringify(resourceReview(...about)));

/** The protocol that was agreed on, or the code of the failure. */
async function handshake(version: "TLSv1.1" | "TLSv1.2" | "TLSv1.3"): Promise<string> {
  const socket = connect({
    host: "127.0.0.1",
    port: server.port(),
    rejectUnauthorized: false,
    minVersion: version,
    maxVersion: version,
    ciphers: "DEFAULT@SECLEVEL=0",
  });
  const outcome = await once(socket, "secureConnect").then(
    () => socket.getProtocol() ?? "none",
    (error: Error & { code: string }) => error.code,
  );
  socket.destroy();
  return outcome;
}

describe("webhook server", () => {
  it("answers a review with a patch for the pod, under the same uid", async () => {
    const given = pod({});
    const { status, text } = await mutate(JSON.stringify(reviewOf(given)));
    expect(status).toBe(200);
    const { response } = JSON.parse(text) as {
      response: { uid: string; allowed: boolean; patchType: string; patch: string };
    };
    expect(response).toMatchObject({
      uid: "705ab4f5-6393-11e8-b7cc-42010a800002",
      allowed: true,
      patchType: "JSONPatch",
    });
    const patch = JSON.parse(Buffer.from(response.patch, "base64").toString()) as unknown[];
    expect(applyAdditions(given, patch)).toMatchObject({
      spec: { volumes: [{ csi: { driver: DRIVER } }] },
    });
  });

  it("refuses a pod with a wrong annotation by a message, not by an HTTP error", async () => {
    const given = pod({ annotations: { "signet.dev/containers": "nobody" } });
    const { status, text } = await mutate(JSON.stringify(reviewOf(given)));
    expect(status).toBe(200);
    expect(JSON.parse(text)).toMatchObject({
      response: {
        allowed: false,
        status: { code: 400, message: expect.stringContaining('no container "nobody"') as string },
      },
    });
  });

  it("refuses a custom resource field by field", async () => {
    previewer = previewerOf({ check: () => [problem("spec.ttl", '"soon" is not a duration')] });
    const { status, text } = await validate({ spec: { ttl: "soon" } });
    expect(status).toBe(200);
    expect((JSON.parse(text) as { response: unknown }).response).toEqual({
      uid: "705ab4f5-6393-11e8-b7cc-42010a800002",
      allowed: false,
      status: {
        code: 422,
        reason: "Invalid",
        message: 'ClusterSPIFFEID "shop" is invalid: spec.ttl: "soon" is not a duration',
        details: {
          group: "spire.spiffe.io",
          kind: "ClusterSPIFFEID",
          name: "shop",
          causes: [
            {
              reason: "FieldValueInvalid",
              field: "spec.ttl",
              message: '"soon" is not a duration',
            },
          ],
        },
      },
    });
    expect(lines.filter(({ message }) => message === "object refused")).toEqual([
      {
        level: "debug",
        message: "object refused",
        fields: { namespace: "", name: "shop", kind: "ClusterSPIFFEID", fields: ["spec.ttl"] },
      },
    ]);
  });

  it("answers others while one admitter takes its time, and then with its warnings", async () => {
    const { promise: started, resolve: start } = Promise.withResolvers<void>();
    const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
    const preview: Previewer["preview"] = async () => {
      start();
      await finished;
      return previewOf({ outcomes: outcomesOf({}), namespacesSelected: 0 });
    };
    previewer = previewerOf({ preview });
    const slow = validate({ spec: {} });
    await started;
    expect(await call({ path: "/healthz" })).toMatchObject({ status: 200 });
    finish();
    expect(JSON.parse((await slow).text)).toMatchObject({
      response: {
        allowed: true,
        warnings: [`${SHOP}: selects no namespace now, and so gives nothing`],
      },
    });
  });

  it("says in the debug log what became of which pod, without its content", async () => {
    const annotations = { "signet.dev/containers": "nobody" };
    await mutate(JSON.stringify(reviewOf(pod({ spec: { nodeName: "SECRET" } }))));
    await mutate(JSON.stringify(reviewOf(pod({ annotations }), { name: "web-0" })));
    const decisions = lines.filter(({ message }) => message.startsWith("object "));
    expect(decisions).toEqual([
      {
        level: "debug",
        message: "object admitted",
        fields: { namespace: "shop", name: "web-", outcome: "injected" },
      },
      {
        level: "debug",
        message: "object refused",
        fields: {
          namespace: "shop",
          name: "web-0",
          code: "INVALID_ARGUMENT",
          annotation: "signet.dev/containers",
        },
      },
    ]);
    expect(JSON.stringify(lines)).not.toContain("SECRET");
  });

  it.each([
    ["GET", "/healthz", 200, "ok"],
    ["GET", "/mutate", 405, "only POST is allowed"],
    ["POST", "/healthz", 405, "only GET is allowed"],
    ["GET", "/", 404, "not found"],
    ["POST", "/toString", 404, "not found"],
  ])("answers %s %s with %i", async (method, path, status, text) => {
    const answer = await call({ method, path });
    expect(answer).toMatchObject({ status, text: `${text}\n` });
  });

  it.each(["", "not json", "{}", "[]"])("answers 400 to %j, which is no review", async (body) => {
    expect(await mutate(body)).toMatchObject({ status: 400 });
  });

  it("takes a body of 3 MiB and answers 413 to a longer one, with and without its length told", async () => {
    const limit = 3 * 1024 * 1024;
    expect(await mutate(Buffer.alloc(limit, " "))).toMatchObject({ status: 400 });
    expect(await mutate(Buffer.alloc(limit + 1, " "))).toMatchObject({ status: 413 });
    const chunked = { "transfer-encoding": "chunked" };
    const post = { method: "POST", path: "/mutate", headers: chunked };
    expect(await call(post, Buffer.alloc(limit + 1, " "))).toMatchObject({ status: 413 });
  });

  it("answers 500 without a word about the inside when an admitter breaks", async () => {
    previewer = previewerOf({
      check: () => {
        throw new TypeError("a secret of the inside");
      },
    });
    const broken = { method: "POST", path: "/broken" };
    for (const answer of [await call(broken, JSON.stringify(reviewOf({}))), await validate({})]) {
      expect(answer).toMatchObject({ status: 500, text: "internal error\n" });
    }
    expect(lines.filter(({ level }) => level === "error")).toHaveLength(2);
  });

  it("shows a new certificate to the next connection and keeps the old connection", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const health = { path: "/healthz" };
    expect((await call(health, undefined, agent)).commonName).toBe("first");
    material.set(await selfSigned("second"));
    expect((await call(health, undefined, agent)).commonName).toBe("first");
    expect((await call(health)).commonName).toBe("second");
    agent.destroy();
  });

  it("keeps the old certificate when the new one is broken or not its key's", async () => {
    const first = material.get();
    material.set({ ...first, key: "nonsense", cert: "nonsense" });
    material.set({ ...first, key: (await selfSigned("third")).key });
    expect((await call({ path: "/healthz" })).commonName).toBe("first");
    expect(lines.filter(({ level }) => level === "error")).toHaveLength(2);
  });

  it("speaks TLS 1.2 and 1.3 and nothing older, also after a rotation", async () => {
    for (const name of ["first", "second"]) {
      material.set(await selfSigned(name));
      expect(await handshake("TLSv1.2")).toBe("TLSv1.2");
      expect(await handshake("TLSv1.3")).toBe("TLSv1.3");
      expect(await handshake("TLSv1.1")).toMatch(/PROTOCOL_VERSION/);
    }
  });

  it("says which port is taken", async () => {
    const port = server.port();
    const options = { port, host: "127.0.0.1", tls: material, admitters: {}, log: silentLog() };
    const second = webhookServer(options);
    await expect(second.start()).rejects.toMatchObject({
      code: "SYSTEM",
      message: expect.stringContaining(`cannot listen on port ${port}`) as string,
    });
  });

  it("refuses headers beyond its limit", async () => {
    const headers = { "x-long": "a".repeat(20_000) };
    expect(await call({ path: "/healthz", headers })).toMatchObject({ status: 431 });
  });

  it("stops although a client keeps its connection, and can then be stopped again", async () => {
    const agent = new Agent({ keepAlive: true });
    await call({ path: "/healthz" }, undefined, agent);
    await server.stop();
    await expect(call({ path: "/healthz" })).rejects.toThrow(/not listening/);
    material.set(await selfSigned("second"));
    expect(lines.filter(({ message }) => message.includes("certificate"))).toEqual([]);
    await server.stop();
    agent.destroy();
  });

  it("answers what has already been asked before it stops", async () => {
    const outgoing = request({
      host: "127.0.0.1",
      port: server.port(),
      rejectUnauthorized: false,
      agent: false,
      method: "POST",
      path: "/mutate",
    });
    const body = JSON.stringify(reviewOf(pod({})));
    outgoing.write(body.slice(0, 10));
    const [socket] = (await once(outgoing, "socket")) as [TLSSocket];
    await once(socket, "secureConnect");
    await call({ path: "/healthz" });
    const stopped = server.stop();
    outgoing.end(body.slice(10));
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    expect(response.statusCode).toBe(200);
    response.resume();
    await stopped;
  });
});
