import { once } from "node:events";
import { createServer } from "node:https";
import type { Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { SecureContextOptions } from "node:tls";
import { ERROR_CODES, errorMessage, SignetError, toSignetError } from "../core/errors.ts";
import type { Service } from "../core/lifecycle.ts";
import type { Live, TlsMaterial } from "../core/live.ts";
import type { Log } from "../core/log.ts";
import { readBody } from "./body.ts";
import type { BodyBudget } from "./body.ts";
import { allow, parseReview, refuse, refuseInvalid } from "./review.ts";
import type { AdmissionRequest, Admitter, ReviewResponse } from "./review.ts";

export interface WebhookServerOptions {
  /** 0 takes a free one. */
  readonly port: number;
  /** All addresses when left out. */
  readonly host?: string;
  readonly tls: Live<TlsMaterial>;
  /** Admitters by path, such as `/mutate`. */
  readonly admitters: Readonly<Record<string, Admitter>>;
  readonly log: Log;
}

interface Context extends WebhookServerOptions {
  readonly budget: BodyBudget;
}

export interface WebhookServer extends Service {
  /** The port it listens on; throws FAILED_PRECONDITION before it has started. */
  port(): number;
}

/** An AdmissionReview holds one object, which etcd bounds at 1.5 MiB, and for updates the old one. */
const MAX_BODY_BYTES = 3 * 1024 * 1024;
/** All bodies that are being read at one time: callers are not authenticated before theirs is. */
const MAX_BODIES_BYTES = 64 * 1024 * 1024;

/** The API server itself drops idle connections after 90 s: the server must not be the first to hang up. */
const KEEP_ALIVE_MS = 120_000;

const LIMITS = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  handshakeTimeout: 5_000,
  connectionsCheckingInterval: 2_000,
  keepAliveTimeout: KEEP_ALIVE_MS,
} as const;

const MAX_CONNECTIONS = 512;

/** How long requests that are being answered may hold up a stop. */
const STOP_GRACE_MS = 5_000;

interface Reply {
  readonly status: number;
  readonly body: string | ReviewResponse;
}

/**
 * Makes the HTTPS server that the API server calls for admission: POST to an admitter's path, and
 * GET /healthz. A new certificate is used from the next connection on; a broken one is logged and the
 * old one stays. Starting throws SYSTEM when the port is taken.
 */
export function webhookServer(options: WebhookServerOptions): WebhookServer {
  const { tls, log, host, port } = options;
  const context: Context = { ...options, budget: { left: MAX_BODIES_BYTES } };
  const server = createServer(LIMITS, (request, response) => {
    void respond(request, response, context);
  });
  server.maxConnections = MAX_CONNECTIONS;
  server.on("tlsClientError", (error) => {
    log.debug({ error: errorMessage(error) }, "TLS handshake failed");
  });
  const subscriptions: (() => void)[] = [];
  return {
    name: "webhook",
    port: () => {
      const address = server.address() as AddressInfo | null;
      if (address) return address.port;
      throw new SignetError("FAILED_PRECONDITION", "webhook server is not listening");
    },
    async start() {
      const unsubscribe = tls.subscribe((next) => replaceCertificate(server, next, log));
      subscriptions.push(unsubscribe);
      server.setSecureContext(tlsOptions(tls.get()));
      server.listen({ port, ...(host === undefined ? {} : { host }) });
      await once(server, "listening").catch((cause: unknown) => {
        unsubscribe();
        const why = `cannot listen on port ${port}: ${errorMessage(cause)}`;
        throw new SignetError("SYSTEM", why, { cause });
      });
    },
    async stop() {
      for (const unsubscribe of subscriptions.splice(0)) unsubscribe();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      const force = setTimeout(() => server.closeAllConnections(), STOP_GRACE_MS);
      await closed;
      clearTimeout(force);
    },
  };
}

function replaceCertificate(server: Server, material: TlsMaterial, log: Log): void {
  try {
    server.setSecureContext(tlsOptions(material));
    log.info({}, "webhook certificate replaced");
  } catch (error) {
    log.error({ error: errorMessage(error) }, "new webhook certificate is unusable");
  }
}

function tlsOptions(material: TlsMaterial): SecureContextOptions {
  return { key: material.key, cert: material.cert, minVersion: "TLSv1.2" };
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  options: Context,
): Promise<void> {
  const reply = await route(request, options).catch((error: unknown) =>
    failure(error, options.log),
  );
  const isText = typeof reply.body === "string";
  const text = typeof reply.body === "string" ? `${reply.body}\n` : JSON.stringify(reply.body);
  response.writeHead(reply.status, {
    "content-type": isText ? "text/plain; charset=utf-8" : "application/json",
    "content-length": Buffer.byteLength(text),
  });
  response.end(text);
}

function failure(error: unknown, log: Log): Reply {
  const fault = toSignetError(error);
  if (fault.code === "INTERNAL") {
    log.error({ error: fault.message }, "admission call failed");
    return { status: 500, body: "internal error" };
  }
  log.info({ code: fault.code, error: fault.message }, "admission call refused");
  // The one limit that a call can exceed is the size of its body.
  const status = fault.code === "RESOURCE_EXHAUSTED" ? 413 : ERROR_CODES[fault.code].http;
  return { status, body: fault.message };
}

async function route(request: IncomingMessage, options: Context): Promise<Reply> {
  const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
  const admit = Object.hasOwn(options.admitters, path) ? options.admitters[path] : undefined;
  const method = admit ? "POST" : "GET";
  if (!admit && path !== "/healthz") return { status: 404, body: "not found" };
  if (request.method !== method) return { status: 405, body: `only ${method} is allowed` };
  if (!admit) return { status: 200, body: "ok" };
  const review = parseReview(await readBody(request, MAX_BODY_BYTES, options.budget));
  return { status: 200, body: await decide(review, admit, options.log) };
}

async function decide(
  request: AdmissionRequest,
  admit: Admitter,
  log: Log,
): Promise<ReviewResponse> {
  const { uid, namespace } = request;
  const subject = { namespace, name: request.name || generateName(request.object) };
  try {
    const verdict = await admit(request);
    if ("refused" in verdict) {
      const fields = verdict.refused.causes.map(({ field }) => field);
      log.debug({ ...subject, kind: request.kind.kind, fields }, "object refused");
      return refuseInvalid(uid, verdict.refused);
    }
    log.debug({ ...subject, outcome: verdict.outcome }, "object admitted");
    return allow(uid, verdict);
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    log.debug({ ...subject, code: error.code, ...error.details }, "object refused");
    return refuse(uid, error);
  }
}

function generateName(object: unknown): string {
  const metadata = (object as { metadata?: { generateName?: unknown } } | null)?.metadata;
  return typeof metadata?.generateName === "string" ? metadata.generateName : "";
}
