import { createHash, randomBytes } from "node:crypto";
import * as http from "node:http";
import * as https from "node:https";
import type { Duplex } from "node:stream";
import { errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import type { KubeConfig } from "./config.ts";
import { startDeadline } from "./deadline.ts";
import type { Deadline } from "./deadline.ts";
import { parseStatus, statusError } from "./status.ts";

export interface UpgradeRequest {
  /** Absolute path with query, already encoded. */
  readonly path: string;
  /** The one subprotocol that is offered, and must be taken. */
  readonly protocol: string;
  /** For errors, after "cannot ". */
  readonly what: string;
  /** Until the connection is upgraded, in milliseconds. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** A connection after the handshake: from here on both sides send frames. */
export interface UpgradedConnection {
  readonly socket: Duplex;
  /** Bytes of frames that came with the answer. */
  readonly head: Buffer;
}

/** RFC 6455, 1.3. */
const ACCEPT_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const MAX_REFUSAL_BYTES = 64 * 1024;

/**
 * Opens a WebSocket to the API server. Node's own client shows neither why a server refused nor how to slow a
 * server down, so the handshake is done here. Throws what `KubeClient` throws.
 */
export async function upgrade(
  config: KubeConfig,
  request: UpgradeRequest,
): Promise<UpgradedConnection> {
  await config.refresh?.();
  using deadline = startDeadline(request);
  const key = randomBytes(16).toString("base64");
  try {
    const connection = await handshake(config, request, { key, deadline });
    return connection;
  } catch (error) {
    if (isSignetError(error)) throw error;
    if (isSignetError(deadline.signal.reason)) throw deadline.signal.reason;
    throw new SignetError("UNAVAILABLE", `cannot ${request.what}: ${networkMessage(error)}`, {
      cause: error,
    });
  }
}

interface Attempt {
  readonly key: string;
  readonly deadline: Deadline;
}

function handshake(
  config: KubeConfig,
  request: UpgradeRequest,
  { key, deadline }: Attempt,
): Promise<UpgradedConnection> {
  const base = new URL(config.server);
  const { request: send } = base.protocol === "http:" ? http : https;
  const outgoing = send(base, {
    path: `${base.pathname.replace(/\/+$/, "")}${request.path}`,
    agent: false,
    signal: deadline.signal,
    headers: headersOf(config, request.protocol, key),
    ...tlsOptions(config),
  });
  return new Promise((resolve, reject) => {
    outgoing.once("error", reject);
    outgoing.once("response", (response) => {
      refusal(request.what, response).then(reject, reject);
    });
    outgoing.once("upgrade", (response, socket, head) => {
      const problem = handshakeProblem(response, request.protocol, key);
      if (problem === undefined) return resolve({ socket, head });
      socket.destroy();
      reject(new SignetError("MALFORMED", `cannot ${request.what}: ${problem}`));
    });
    outgoing.end();
  });
}

function headersOf(config: KubeConfig, protocol: string, key: string): Record<string, string> {
  const token = config.token();
  return {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": key,
    "sec-websocket-protocol": protocol,
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
}

function tlsOptions(config: KubeConfig): https.RequestOptions {
  const ca = config.ca();
  return {
    ...(ca === undefined ? {} : { ca }),
    ...config.clientCertificate?.(),
    ...(config.serverName === undefined ? {} : { servername: config.serverName }),
  };
}

function handshakeProblem(
  { headers }: http.IncomingMessage,
  protocol: string,
  key: string,
): string | undefined {
  const accept = createHash("sha1").update(`${key}${ACCEPT_GUID}`).digest("base64");
  if (headers["sec-websocket-accept"] !== accept) return "the answer is no WebSocket handshake";
  const taken = headers["sec-websocket-protocol"];
  if (taken === protocol) return undefined;
  return `the server speaks ${taken ?? "no subprotocol"} instead of ${protocol}`;
}

async function refusal(what: string, response: http.IncomingMessage): Promise<SignetError> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_REFUSAL_BYTES) break;
  }
  const body = Buffer.concat(chunks).toString("utf8");
  return statusError(what, parseStatus(response.statusCode ?? 500, body));
}

/** Trying several addresses of a host gives an AggregateError, which has no words of its own. */
function networkMessage(error: unknown): string {
  return error instanceof AggregateError && error.errors.length > 0
    ? errorMessage(error.errors[0])
    : errorMessage(error);
}
