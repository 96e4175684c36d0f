import { request as httpRequest } from "node:http";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { ERROR_CODES, errorMessage, isSignetError, SignetError } from "../core/errors.ts";
import type { ErrorCode } from "../core/errors.ts";
import { VERSION_HEADER } from "../inspect/ports.ts";
import type { ErrorView } from "../inspect/ports.ts";
import { lineBuffer } from "../kube/lines.ts";

export interface OperatorRequest {
  readonly method: "GET" | "POST";
  /** Path and query, encoded. */
  readonly target: string;
  readonly body?: unknown;
}

/** An answer whose head is there. */
export interface OperatorAnswer {
  /** Of the operator. */
  readonly version: string;
  /** The whole body as JSON. */
  json(): Promise<unknown>;
  /** The body's lines, each as JSON, as they come. */
  lines(): AsyncIterable<unknown>;
}

const MAX_JSON_BYTES = 64 * 1024 * 1024;
const MAX_LINE_BYTES = 4 * 1024 * 1024;
/** Longest silence of the operator; it may have to render many pods first. */
const SILENCE_MS = 60_000;

/**
 * One HTTP/1.1 exchange over a stream, which is used up by it. Throws what the operator answers instead, UNAVAILABLE when
 * the stream breaks or falls silent, MALFORMED when something else answers.
 */
export async function askOver(stream: Duplex, asked: OperatorRequest): Promise<OperatorAnswer> {
  guardSilence(stream);
  try {
    const response = await exchange(stream, asked);
    const version = response.headers[VERSION_HEADER];
    if (typeof version !== "string") {
      throw new SignetError("MALFORMED", "something that is not Signet's operator answered");
    }
    if (response.statusCode !== 200) throw refusalOf(await readJson(response));
    return {
      version,
      json: () => readJson(response),
      lines: () => readLines(response),
    };
  } catch (error) {
    stream.destroy();
    throw failure(error);
  }
}

/** Breaks a stream on which nothing comes for too long. */
function guardSilence(stream: Duplex): void {
  const message = `the operator was silent for ${SILENCE_MS / 1000} s`;
  const timer = setTimeout(
    () => stream.destroy(new SignetError("UNAVAILABLE", message)),
    SILENCE_MS,
  );
  stream.on("data", () => void timer.refresh());
  stream.once("close", () => clearTimeout(timer));
}

function exchange(stream: Duplex, asked: OperatorRequest): Promise<IncomingMessage> {
  const body = asked.body === undefined ? undefined : JSON.stringify(asked.body);
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      createConnection: () => stream,
      method: asked.method,
      path: asked.target,
      headers: {
        host: "localhost",
        connection: "close",
        accept: "application/json, application/x-ndjson",
        ...(body === undefined
          ? {}
          : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
      },
    });
    outgoing.once("error", reject);
    outgoing.once("response", resolve);
    outgoing.end(body);
  });
}

async function readJson(response: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_JSON_BYTES) {
        throw new SignetError("RESOURCE_EXHAUSTED", `the answer is over ${MAX_JSON_BYTES} bytes`);
      }
      chunks.push(chunk);
    }
  } catch (error) {
    throw failure(error);
  }
  return parseJson(Buffer.concat(chunks).toString("utf8"));
}

async function* readLines(response: IncomingMessage): AsyncGenerator {
  const lines = lineBuffer(MAX_LINE_BYTES);
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      for (const line of lines.push(chunk)) yield parseJson(line);
    }
  } catch (error) {
    throw failure(error);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SignetError("MALFORMED", "the operator's answer is not JSON", { cause: error });
  }
}

function refusalOf(body: unknown): SignetError {
  const { code, message = "the operator refused" } = (body ?? {}) as Partial<ErrorView>;
  const known = (Object.keys(ERROR_CODES) as ErrorCode[]).find((name) => name === code);
  return new SignetError(known ?? "INTERNAL", message, { details: { answered: true } });
}

function failure(error: unknown): SignetError {
  if (isSignetError(error)) return error;
  return new SignetError("UNAVAILABLE", `the connection broke off: ${errorMessage(error)}`, {
    cause: error,
  });
}
