import { randomBytes } from "node:crypto";
import { Duplex } from "node:stream";
import { isSignetError, SignetError, toSignetError } from "../core/errors.ts";
import type { KubeConfig } from "./config.ts";
import { PODS, resourcePath } from "./resources.ts";
import { encodeFrame, frameDecoder } from "./websocket-frames.ts";
import type { FrameDecoder, WebSocketMessage } from "./websocket-frames.ts";
import { upgrade } from "./websocket.ts";

export interface PortForwardTarget {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
}

export interface PortForwardOptions {
  /** Until the API server has upgraded the connection; 15 s when left out. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Channels are numbered per port, and only one is asked for: data first, then errors as text. */
const PROTOCOL = "v4.channel.k8s.io";
const DATA = 0;
const ERROR = 1;
/** The first message of each channel begins with its port. */
const PORT_BYTES = 2;

/** kubelet sends pieces of 32 KiB. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
const PIECE_BYTES = 32 * 1024;
const MAX_ERROR_BYTES = 1024;
const NORMAL_CLOSURE = Buffer.from([0x03, 0xe8]);

/**
 * Opens a TCP connection to a port of a pod's loopback interface through the API server's port-forward. It ends when the
 * pod's side does; the protocol has no half-close, so ending the writing side tells the pod nothing. What the kubelet says
 * about the port (nothing listens there) comes as the stream's error, UNAVAILABLE. Throws what `KubeClient` throws;
 * PERMISSION_DENIED names the rights that are missing.
 */
export async function openPortForward(
  config: KubeConfig,
  target: PortForwardTarget,
  { timeoutMs = 15_000, signal }: PortForwardOptions = {},
): Promise<Duplex> {
  const { namespace, pod, port } = target;
  const path = resourcePath(PODS, { namespace, name: pod, subresource: "portforward" });
  const what = `open a port-forward to pod "${namespace}/${pod}"`;
  const request = { path: `${path}?ports=${port}`, protocol: PROTOCOL, what, timeoutMs, signal };
  try {
    const { socket, head } = await upgrade(config, request);
    return forwardedStream(socket, head, target);
  } catch (error) {
    throw isSignetError(error, "PERMISSION_DENIED") ? withRights(error, namespace) : error;
  }
}

/** A WebSocket is a GET; since Kubernetes 1.35 the API server asks for `create` as well. */
function withRights(error: SignetError, namespace: string): SignetError {
  const rights = `the verbs get and create on pods/portforward in namespace "${namespace}" are needed`;
  return new SignetError("PERMISSION_DENIED", `${error.message}; ${rights}`, {
    cause: error,
    details: error.details,
  });
}

function forwardedStream(socket: Duplex, head: Buffer, target: PortForwardTarget): Duplex {
  const decoder = frameDecoder(MAX_MESSAGE_BYTES);
  const channels = channelReader(target);
  let ended = false;
  const send = (type: "binary" | "pong" | "close", payload: Buffer): boolean =>
    socket.write(encodeFrame(type, payload, randomBytes(4)));

  const stream = new Duplex({
    allowHalfOpen: false,
    read: () => void socket.resume(),
    write(chunk: Buffer, _encoding, done) {
      const sent = pieces(chunk).map((piece) => send("binary", piece));
      if (sent.every(Boolean)) done();
      else socket.once("drain", () => done());
    },
    destroy(error, done) {
      if (socket.writable) send("close", NORMAL_CLOSURE);
      socket.end(() => socket.destroy());
      done(error);
    },
  });

  const take = ({ type, payload }: WebSocketMessage): void => {
    if (ended) return;
    if (type === "ping") return void send("pong", payload);
    if (type === "close") {
      ended = true;
      return void stream.push(null);
    }
    const data = type === "pong" ? undefined : channels.take(type, payload);
    if (data !== undefined && !stream.push(data)) socket.pause();
  };
  const receive = receiver(decoder, take, (error) => stream.destroy(error));
  const broken = (cause?: Error): void => {
    if (ended || stream.destroyed) return;
    const why = cause === undefined ? "the connection broke off" : cause.message;
    stream.destroy(unavailable(target, why));
  };
  socket.on("data", receive).on("error", broken);
  socket.on("close", () => broken());
  receive(head);
  return stream;
}

/** Feeds bytes to the decoder; after the first thing that is wrong it drops them. */
function receiver(
  decoder: FrameDecoder,
  take: (message: WebSocketMessage) => void,
  fail: (error: Error) => void,
): (chunk: Buffer) => void {
  let failed = false;
  return (chunk) => {
    if (failed) return;
    try {
      decoder.push(chunk).forEach(take);
    } catch (error) {
      failed = true;
      fail(toSignetError(error));
    }
  };
}

function pieces(chunk: Buffer): Buffer[] {
  const count = Math.ceil(chunk.length / PIECE_BYTES);
  return Array.from({ length: count }, (_, at) =>
    Buffer.concat([Buffer.of(DATA), chunk.subarray(at * PIECE_BYTES, (at + 1) * PIECE_BYTES)]),
  );
}

/** Takes messages apart by channel: gives data, throws what comes on the error channel. */
function channelReader(target: PortForwardTarget): {
  take(type: "text" | "binary", message: Buffer): Buffer | undefined;
} {
  const opened = new Set<number>();
  return {
    take(type, message) {
      const channel = message[0];
      if (type !== "binary" || (channel !== DATA && channel !== ERROR)) {
        throw unavailable(target, `a message that is not of protocol ${PROTOCOL} came`);
      }
      if (message.length === 1) return undefined;
      if (!opened.has(channel) && message.length < 1 + PORT_BYTES) {
        throw unavailable(target, "a channel began without its port");
      }
      const content = message.subarray(opened.has(channel) ? 1 : 1 + PORT_BYTES);
      opened.add(channel);
      if (content.length === 0) return undefined;
      if (channel === DATA) return content;
      throw kubeletError(target, content.toString("utf8", 0, MAX_ERROR_BYTES).trim());
    },
  };
}

/** The kubelet's words are long and about its own parts; for the usual case there are shorter ones. */
function kubeletError(target: PortForwardTarget, said: string): SignetError {
  const isRefused = said.includes("connection refused");
  return unavailable(target, isRefused ? "nothing listens there (connection refused)" : said);
}

function unavailable({ namespace, pod, port }: PortForwardTarget, why: string): SignetError {
  return new SignetError(
    "UNAVAILABLE",
    `cannot reach port ${port} of pod "${namespace}/${pod}": ${why}`,
  );
}
