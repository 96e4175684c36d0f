import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import type { TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openPortForward } from "../../src/kube/port-forward.ts";
import { startFakeApiServer } from "../fakes/api-server.ts";
import type { FakeApiServer } from "../fakes/api-server.ts";
import { makeServerCertificate } from "../fakes/api-tls.ts";
import { servePortForward } from "../fakes/port-forward.ts";
import type { FakePortForward } from "../fakes/port-forward.ts";

const TARGET = { namespace: "signet-system", pod: "operator-0", port: 8090 };

let api: FakeApiServer;
let forwards: FakePortForward;
const cleanups: (() => unknown)[] = [];

beforeEach(async () => {
  api = await startFakeApiServer();
  forwards = servePortForward(api);
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
  await api.close();
});

/** Listens on the pod's port 8090. */
async function listen(serve: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    cleanups.push(() => socket.destroy());
    socket.on("error", () => undefined);
    serve(socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  cleanups.push(() => server.close());
  const port = (server.address() as AddressInfo).port;
  forwards.pods.set("signet-system/operator-0", new Map([[8090, port]]));
  return server;
}

async function open(): Promise<Duplex> {
  const stream = await openPortForward(api.config(), TARGET);
  cleanups.push(() => stream.destroy());
  return stream;
}

async function endOf(stream: Duplex): Promise<unknown> {
  stream.resume();
  try {
    await once(stream, "close");
    return undefined;
  } catch (error) {
    return error;
  }
}

describe("a port-forward", () => {
  it("carries bytes both ways until the pod's side ends", async () => {
    const sent = Buffer.alloc(3 * 1024 * 1024, "0123456789abcdef");
    await listen((socket) => {
      let received = 0;
      socket.on("data", (data) => {
        received += data.length;
        socket.write(data);
        if (received === sent.length) socket.end();
      });
    });
    const stream = await open();
    stream.write(sent.subarray(0, 7));
    stream.write(sent.subarray(7));
    expect(Buffer.compare(await buffer(stream), sent)).toBe(0);
  });

  it("asks with the token for the one port of the pod", async () => {
    await listen((socket) => socket.end());
    await endOf(await open());
    const [request] = forwards.requests;
    expect(request?.url).toBe(
      "/api/v1/namespaces/signet-system/pods/operator-0/portforward?ports=8090",
    );
    expect(request?.headers.authorization).toBe("Bearer test");
  });

  it("fails with the kubelet's words where nothing listens", async () => {
    forwards.pods.set("signet-system/operator-0", new Map());
    expect(await endOf(await open())).toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringMatching(/port 8090 of pod .*operator-0.*connection refused/) as string,
    });
  });

  it("fails when the connection breaks, instead of ending", async () => {
    await listen((socket) => socket.write("half of it"));
    const stream = await open();
    const [data] = (await once(stream, "data")) as [Buffer];
    expect(data.toString()).toBe("half of it");
    api.breakConnections();
    expect(await endOf(stream)).toMatchObject({ code: "UNAVAILABLE" });
  });

  it("ends the pod's side when it is destroyed", async () => {
    const ended = new Promise((resolve) => {
      void listen((socket) => socket.on("end", resolve).resume());
    });
    const stream = await open();
    stream.destroy();
    await ended;
    expect(stream.destroyed).toBe(true);
  });

  it("answers pings", async () => {
    await listen(() => undefined);
    await open();
    const [webSocket] = [...forwards.open];
    const pong = new Promise((resolve) => {
      webSocket?.once("pong", (content: Buffer) => resolve(content.toString()));
    });
    webSocket?.ping("are you there");
    expect(await pong).toBe("are you there");
  });

  it("lets the pod send no more than fits while nobody reads", async () => {
    let written = 0;
    await listen((socket) => {
      const write = (): void => {
        while (socket.write(Buffer.alloc(64 * 1024))) written += 64 * 1024;
        written += 64 * 1024;
      };
      socket.on("drain", write);
      write();
    });
    const stream = await open();
    await settled(() => written);
    expect(stream.readableLength).toBeLessThan(2 * 1024 * 1024);
    const before = written;
    stream.resume();
    await expect.poll(() => written).toBeGreaterThan(before + 16 * 1024 * 1024);
  });

  it("takes no more from the writer than fits while the pod does not read", async () => {
    await listen((socket) => socket.pause());
    const stream = await open();
    let written = 0;
    const write = (): void => {
      while (stream.write(Buffer.alloc(64 * 1024))) written += 64 * 1024;
      written += 64 * 1024;
    };
    stream.on("drain", write);
    write();
    await settled(() => written);
    expect(written).toBeLessThan(256 * 1024 * 1024);
    expect(stream.writableNeedDrain).toBe(true);
  });
});

/** Waits until a number stays as it is. */
async function settled(read: () => number): Promise<void> {
  for (let last = -1; last !== read();) {
    last = read();
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

describe("opening a port-forward", () => {
  it("names the rights that are missing", async () => {
    const message = 'pods "operator-0" is forbidden: User "eve" cannot create resource';
    const body = JSON.stringify({ kind: "Status", reason: "Forbidden", message });
    forwards.refusal = { status: "403 Forbidden", body };
    await expect(open()).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
      message: expect.stringMatching(
        /User "eve" cannot create.*get and create on pods\/portforward in namespace "signet-system"/,
      ) as string,
    });
  });

  it("says that the pod is gone", async () => {
    await expect(open()).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  it("refuses a server that speaks another protocol", async () => {
    await listen(() => undefined);
    forwards.protocol = "v5.channel.k8s.io";
    await expect(open()).rejects.toMatchObject({
      code: "MALFORMED",
      message: expect.stringContaining("no subprotocol instead of v4.channel.k8s.io") as string,
    });
  });

  it("refuses an answer that is no handshake", async () => {
    api.upgrade = (_request, socket) =>
      socket.end("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
    await expect(open()).rejects.toMatchObject({
      code: "MALFORMED",
      message: expect.stringContaining("no WebSocket handshake") as string,
    });
  });

  it("gives up after its time", async () => {
    api.upgrade = () => undefined;
    const opening = openPortForward(api.config(), TARGET, { timeoutMs: 50 });
    await expect(opening).rejects.toMatchObject({
      code: "UNAVAILABLE",
      message: expect.stringContaining("no answer within 50 ms") as string,
    });
  });

  it("trusts only the CA of the configuration", async () => {
    const { ca } = await makeServerCertificate();
    const opening = openPortForward({ ...api.config(), ca: () => ca }, TARGET);
    await expect(opening).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });

  it("shows the client certificate, and renews the credential before", async () => {
    const { ca, cert, key } = await makeServerCertificate();
    const server = createHttpsServer({ cert, key, ca, requestCert: true });
    const subject = new Promise((resolve) => {
      server.on("upgrade", (_request, socket: TLSSocket) => {
        resolve(socket.authorized && socket.getPeerCertificate().subject.CN);
        socket.destroy();
      });
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    cleanups.push(() => server.close());
    let current: { cert: string; key: string } | undefined;
    const opening = openPortForward(
      {
        server: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
        ca: () => ca,
        token: () => undefined,
        clientCertificate: () => current,
        refresh: async () => void (current = { cert, key }),
        namespace: "default",
      },
      TARGET,
    );
    await expect(opening).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(await subject).toBe("kube-apiserver");
  });

  it("keeps the path that a proxy needs, also without TLS", async () => {
    const server = createHttpServer();
    const path = new Promise((resolve) => {
      server.on("upgrade", (request, socket) => {
        resolve(request.url);
        socket.destroy();
      });
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    cleanups.push(() => server.close());
    const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}/k8s/clusters/one`;
    const opening = openPortForward({ ...api.config(), server: at }, TARGET);
    await expect(opening).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(await path).toMatch(/^\/k8s\/clusters\/one\/api\/v1\/namespaces\/signet-system\/pods\//);
  });
});
