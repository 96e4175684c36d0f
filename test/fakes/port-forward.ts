import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import type { RawData, WebSocket } from "ws";
import type { FakeApiServer } from "./api-server.ts";

/** Port-forward as kubelet serves it over WebSocket, on top of a WebSocket server that somebody else wrote. */
export interface FakePortForward {
  /** `namespace/pod` → port of the pod → port on 127.0.0.1. */
  readonly pods: Map<string, ReadonlyMap<number, number>>;
  /** Every request so far. */
  readonly requests: IncomingMessage[];
  /** The connections that are open. */
  readonly open: Set<WebSocket>;
  /** Answers instead of an upgrade: a status line and a body. */
  refusal: { readonly status: string; readonly body: string } | undefined;
  /** What is spoken; clients that do not offer it get no protocol at all. */
  protocol: string;
}

const DATA = 0;
const ERROR = 1;

/** Serves `pods/portforward` on a fake API server. */
export function servePortForward(api: FakeApiServer): FakePortForward {
  const fake: FakePortForward = {
    pods: new Map(),
    requests: [],
    open: new Set(),
    refusal: undefined,
    protocol: "v4.channel.k8s.io",
  };
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has(fake.protocol) ? fake.protocol : false),
  });
  api.upgrade = (request, socket, head) => {
    fake.requests.push(request);
    const target = findTarget(fake, request);
    const refusal = fake.refusal ?? (target === undefined ? NOT_FOUND : undefined);
    if (refusal) return refuse(socket, refusal);
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      fake.open.add(webSocket);
      webSocket.on("close", () => fake.open.delete(webSocket));
      if (target) forward(webSocket, target);
    });
  };
  return fake;
}

const NOT_FOUND = {
  status: "404 Not Found",
  body: JSON.stringify({ kind: "Status", reason: "NotFound", message: "pods not found" }),
};

interface Target {
  /** The pod's. */
  readonly port: number;
  /** On 127.0.0.1; undefined where nothing listens. */
  readonly localPort: number | undefined;
}

function findTarget(fake: FakePortForward, request: IncomingMessage): Target | undefined {
  const url = new URL(request.url ?? "/", "https://fake");
  const [, namespace, pod] =
    /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)\/portforward$/.exec(url.pathname) ?? [];
  const ports = fake.pods.get(`${namespace}/${pod}`);
  const port = Number(url.searchParams.get("ports"));
  return ports && { port, localPort: ports.get(port) };
}

function refuse(socket: Duplex, { status, body }: { status: string; body: string }): void {
  const head = `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\n`;
  socket.end(
    `${head}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

function forward(webSocket: WebSocket, { port, localPort }: Target): void {
  const first = Buffer.alloc(2);
  first.writeUInt16LE(port);
  for (const channel of [DATA, ERROR]) webSocket.send(message(channel, first));
  const fail = (): void => {
    const text = `error forwarding port ${port} to pod: connection refused`;
    webSocket.send(message(ERROR, Buffer.from(text)), () => webSocket.close());
  };
  if (localPort === undefined) return fail();
  const tcp = connect(localPort, "127.0.0.1");
  tcp.on("error", fail);
  tcp.on("data", (data: Buffer) => sendSlowly(webSocket, tcp, data));
  tcp.on("end", () => webSocket.close());
  webSocket.on("message", (raw: RawData) => {
    const received = raw as Buffer;
    if (received[0] !== DATA || tcp.write(received.subarray(1))) return;
    webSocket.pause();
    tcp.once("drain", () => webSocket.resume());
  });
  webSocket.on("close", () => tcp.destroy());
}

/** Reads on from the pod only once the client's side has taken what there was. */
function sendSlowly(webSocket: WebSocket, tcp: Socket, data: Buffer): void {
  tcp.pause();
  webSocket.send(message(DATA, data), () => tcp.resume());
}

function message(channel: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.of(channel), content]);
}
