import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { SignetError } from "./errors.ts";

/** What a path answers: a status, a body, and its type when it is not plain text. */
export interface PlainResponse {
  readonly status: number;
  readonly body: string;
  readonly contentType?: string;
}

export interface PlainServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Serves a few GET paths without TLS: probes and metrics. Anything else is 404.
 * Throws SYSTEM when the port is taken.
 */
export async function servePlain(
  port: number,
  routes: Readonly<Record<string, () => Promise<PlainResponse> | PlainResponse>>,
): Promise<PlainServer> {
  const server = createServer(
    { requestTimeout: 5000, headersTimeout: 5000 },
    (request, response) => {
      const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
      const route =
        request.method === "GET" && Object.hasOwn(routes, path) ? routes[path] : undefined;
      answer(route).then(
        ({ status, body, contentType = "text/plain; charset=utf-8" }) => {
          response.writeHead(status, { "content-type": contentType }).end(body);
        },
        () => response.writeHead(500).end("internal error\n"),
      );
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new SignetError("SYSTEM", `cannot listen on port ${port}: ${cause.message}`, { cause }),
      ),
    );
    server.listen(port, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  route: (() => Promise<PlainResponse> | PlainResponse) | undefined,
): Promise<PlainResponse> {
  return route ? route() : { status: 404, body: "not found\n" };
}

/** Answers a probe: 200 when nothing is missing, else 503 with what is. */
export function probe(missing: () => readonly string[]): () => PlainResponse {
  return () => {
    const lacks = missing();
    return lacks.length === 0
      ? { status: 200, body: "ok\n" }
      : { status: 503, body: `not ready: ${lacks.join(", ")}\n` };
  };
}
