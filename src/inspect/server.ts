import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ERROR_CODES, errorMessage, SignetError, toSignetError } from "../core/errors.ts";
import type { Service } from "../core/lifecycle.ts";
import type { Log } from "../core/log.ts";
import { answer } from "./answer.ts";
import type { AnswerSource } from "./answer.ts";
import { VERSION_HEADER } from "./ports.ts";
import type { ErrorView } from "./ports.ts";
import { findRoute } from "./route.ts";

export interface InspectServerOptions extends AnswerSource {
  /** 0 takes a free one. */
  readonly port: number;
  readonly log: Log;
}

export interface InspectServer extends Service {
  /** The port it listens on; throws FAILED_PRECONDITION before it has started. */
  port(): number;
}

/** Only through the API server's port-forward, whose rights decide who may ask. */
const LOOPBACK = "127.0.0.1";

/** etcd takes objects up to 1.5 MiB. */
const MAX_BODY_BYTES = 1.5 * 1024 * 1024;

const LIMITS = {
  maxHeaderSize: 8 * 1024,
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 2_000,
  keepAliveTimeout: 10_000,
} as const;

const MAX_CONNECTIONS = 32;
/** A reader that takes nothing for this long is let go. */
const IDLE_MS = 30_000;

/**
 * Makes the server that `kubectl signet` asks: JSON about pods, custom resources and entries, never a key. It listens on
 * 127.0.0.1 and asks for no credential. Starting throws SYSTEM when the port is taken.
 */
export function inspectServer(options: InspectServerOptions): InspectServer {
  const server = createServer(LIMITS, (request, response) => {
    respond(request, response, options).catch((error: unknown) => {
      options.log.debug({ error: errorMessage(error) }, "answer broke off");
      response.destroy();
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.setTimeout(IDLE_MS);
  return {
    name: "inspect",
    port: () => {
      const address = server.address() as AddressInfo | null;
      if (address) return address.port;
      throw new SignetError("FAILED_PRECONDITION", "inspect server is not listening");
    },
    async start() {
      server.listen({ port: options.port, host: LOOPBACK });
      await once(server, "listening").catch((cause: unknown) => {
        const why = `cannot listen on ${LOOPBACK}:${options.port}: ${errorMessage(cause)}`;
        throw new SignetError("SYSTEM", why, { cause });
      });
    },
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  options: InspectServerOptions,
): Promise<void> {
  response.setHeader(VERSION_HEADER, options.version);
  const { method = "GET", url: target = "/", headers } = request;
  const route = findRoute({ method, target, headers });
  if (route.to === "refuse") {
    const { status, message } = route;
    return sendError(response, status, { code: codeOf(status), message });
  }
  const left = new AbortController();
  response.once("close", () => left.abort());
  try {
    const body = { read: () => readBody(request), signal: left.signal };
    const result = await answer(route, body, options);
    options.log.debug({ method, target }, "request answered");
    if ("json" in result) return sendJson(response, 200, result.json);
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    await pipeline(Readable.from(result.lines), response);
  } catch (error) {
    if (response.headersSent) throw error;
    sendFailure(response, error, options.log);
  }
}

function sendFailure(response: ServerResponse, error: unknown, log: Log): void {
  const { code, message } = toSignetError(error);
  if (code === "INTERNAL") {
    log.error({ err: error }, "request failed");
    return sendError(response, 500, { code, message: "internal error: see the operator's log" });
  }
  // The one limit that a request can exceed is the size of its body.
  const status = code === "RESOURCE_EXHAUSTED" ? 413 : ERROR_CODES[code].http;
  sendError(response, status, { code, message });
}

const CODES: Readonly<Record<number, ErrorView["code"]>> = {
  403: "PERMISSION_DENIED",
  404: "NOT_FOUND",
  405: "UNIMPLEMENTED",
};

function codeOf(status: number): string {
  return CODES[status] ?? "INVALID_ARGUMENT";
}

/** What is left of a request that was refused is not waited for. */
function sendError(response: ServerResponse, status: number, error: ErrorView): void {
  response.setHeader("connection", "close");
  sendJson(response, status, error);
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = `${JSON.stringify(value)}\n`;
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
  });
  response.end(body);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    // The rest is read and dropped, so that the sender sees the answer instead of a broken connection.
    if (size <= MAX_BODY_BYTES) chunks.push(chunk);
    else chunks.length = 0;
  }
  if (size <= MAX_BODY_BYTES) return Buffer.concat(chunks).toString("utf8");
  throw new SignetError("RESOURCE_EXHAUSTED", `the body is longer than ${MAX_BODY_BYTES} bytes`);
}
