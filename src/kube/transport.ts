import type { Dispatcher } from "undici";
import { errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import type { KubeConfig } from "./config.ts";
import { startDeadline, type Deadline } from "./deadline.ts";
import { createPool } from "./pool.ts";
import { parseStatus, statusError } from "./status.ts";

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface TransportRequest {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Absolute path, already encoded. */
  readonly path: string;
  readonly query?: Query;
  readonly body?: unknown;
  /** `application/json` when left out. */
  readonly contentType?: string;
  /** Verb, resource and object, for errors: `get pods "ns/name"`. */
  readonly what: string;
  /** Until the whole answer (`send`) or its head (`open`) must be there, in milliseconds. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** HTTP to one API server over one pool of kept-alive connections. */
export interface Transport {
  /** Sends and reads the JSON answer. Throws SignetError for any status but 2xx and when the network fails. */
  send(request: TransportRequest): Promise<unknown>;
  /** Sends and gives the answer's body as it comes; must be iterated, and leaving the loop ends the request. */
  open(request: TransportRequest): Promise<AsyncIterable<Buffer>>;
  /** Breaks off whatever still runs. */
  close(): Promise<void>;
}

export interface TransportOptions {
  readonly config: KubeConfig;
  readonly userAgent: string;
  /** Longest answer read into memory, in bytes. */
  readonly maxResponseBytes: number;
}

type Response = Dispatcher.ResponseData;

const MAX_REFUSAL_BYTES = 64 * 1024;

/** Makes the transport; it follows rotations of the CA and of the credential. */
export function createTransport(options: TransportOptions): Transport {
  const pool = createPool(options.config);
  const base = new URL(options.config.server);
  const prefix = base.pathname.replace(/\/+$/, "");

  const begin = async (request: TransportRequest, deadline: Deadline): Promise<Response> =>
    pool.current().request({
      origin: base.origin,
      path: `${prefix}${request.path}${queryString(request.query)}`,
      method: request.method,
      headers: headersOf(request, options),
      body: request.body === undefined ? null : JSON.stringify(request.body),
      signal: deadline.signal,
    });

  const exchange = async (request: TransportRequest): Promise<unknown> => {
    await options.config.refresh?.();
    using deadline = startDeadline(request);
    try {
      const response = await begin(request, deadline);
      if (response.statusCode >= 300) throw await refusal(request.what, response);
      return await readJson(response.body, options.maxResponseBytes, request.what);
    } catch (error) {
      throw networkError(request.what, error, deadline);
    }
  };

  return {
    async send(request) {
      try {
        return await exchange(request);
      } catch (error) {
        if (!diedOnReuse(request, error)) throw error;
        return await exchange(request);
      }
    },
    async open(request) {
      await options.config.refresh?.();
      const deadline = startDeadline(request);
      try {
        const response = await begin(request, deadline);
        if (response.statusCode >= 300) throw await refusal(request.what, response);
        deadline.lift();
        return streamBody(response.body, request.what, deadline);
      } catch (error) {
        deadline[Symbol.dispose]();
        throw networkError(request.what, error, deadline);
      }
    },
    close: () => pool.close(),
  };
}

function headersOf(request: TransportRequest, options: TransportOptions): Record<string, string> {
  const token = options.config.token();
  return {
    // The key set of the service-account issuer is served as nothing but its own type.
    accept: "application/json, application/jwk-set+json",
    "user-agent": options.userAgent,
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(request.body === undefined
      ? {}
      : { "content-type": request.contentType ?? "application/json" }),
  };
}

async function* streamBody(
  body: AsyncIterable<Buffer>,
  what: string,
  deadline: Deadline,
): AsyncIterable<Buffer> {
  try {
    yield* body;
  } catch (error) {
    throw networkError(what, error, deadline);
  } finally {
    deadline[Symbol.dispose]();
  }
}

/** Reads until the end or until more than `limit` bytes have come. */
async function readUpTo(body: AsyncIterable<Buffer>, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > limit) break;
  }
  return Buffer.concat(chunks);
}

async function readJson(
  body: AsyncIterable<Buffer>,
  limit: number,
  what: string,
): Promise<unknown> {
  const bytes = await readUpTo(body, limit);
  if (bytes.length > limit) {
    throw new SignetError(
      "RESOURCE_EXHAUSTED",
      `cannot ${what}: the answer is over ${limit} bytes`,
    );
  }
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw new SignetError("MALFORMED", `cannot ${what}: the answer is not JSON`, { cause: error });
  }
}

async function refusal(what: string, response: Response): Promise<SignetError> {
  const body = await readUpTo(response.body, MAX_REFUSAL_BYTES);
  const status = parseStatus(response.statusCode, body.toString("utf8"));
  const after = Number(response.headers["retry-after"]);
  return statusError(what, status, {
    retryAfterSeconds: Number.isFinite(after) ? after : undefined,
  });
}

/** A kept-alive connection may be closed by the server as we pick it up; reading again is harmless. */
function diedOnReuse(request: TransportRequest, error: unknown): boolean {
  if (request.method !== "GET" || !isSignetError(error, "UNAVAILABLE")) return false;
  return error.details["reason"] === "UND_ERR_SOCKET" || error.details["reason"] === "ECONNRESET";
}

function networkError(what: string, error: unknown, deadline: Deadline): SignetError {
  if (isSignetError(error)) return error;
  if (isSignetError(deadline.signal.reason)) return deadline.signal.reason;
  const root = rootError(error);
  const reason = root instanceof Error && "code" in root ? String(root.code) : "Network";
  return new SignetError("UNAVAILABLE", `cannot ${what}: ${errorMessage(root)}`, {
    cause: error,
    details: { reason },
  });
}

/** Trying several addresses of a host gives an AggregateError, which has no words of its own. */
function rootError(error: unknown): unknown {
  if (error instanceof AggregateError && error.errors.length > 0) return rootError(error.errors[0]);
  return error;
}

function queryString(query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") parameters.set(name, String(value));
  }
  return parameters.size === 0 ? "" : `?${parameters.toString()}`;
}
