import { createServer as createHttp2Server, getDefaultSettings } from "node:http2";
import type { Http2Server } from "node:http2";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import {
  hasAcceptableAuthority,
  withAcceptableAuthority,
} from "../../../src/rpc/http2/authority.ts";
import { BEGIN, callHeaders, headersFrame, literals, rawClient } from "./raw-client.ts";
import type { Headers } from "./raw-client.ts";

let dir: string;
let path: string;
let server: Http2Server;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "authority-"));
  path = join(dir, "s");
  server = createHttp2Server((_request, response) => response.end());
  server.on("sessionError", () => undefined);
  server.listen(path);
  await once(server, "listening");
});
afterAll(async () => {
  server.close();
  rmSync(dir, { recursive: true });
});

const fields = (headers: Headers) =>
  headers.map(([name, value]) => ({ name, value, neverIndexed: false }));

/** What Node.js itself does with requests of these headers, all on one connection. */
async function nodeTakes(requests: readonly Headers[]): Promise<boolean[]> {
  const client = await rawClient(path);
  const ids = requests.map((_, i) => 2 * i + 1);
  client.send(
    BEGIN,
    ...requests.map((headers, i) => headersFrame(ids[i] ?? 0, literals(headers), 5)),
  );
  const outcomes = await Promise.all(ids.map((id) => client.outcome(id)));
  client.close();
  return outcomes.map((outcome) => outcome === "200");
}

it("calls exactly those characters acceptable that Node.js accepts", async () => {
  const characters = Array.from({ length: 256 }, (_, code) => String.fromCodePoint(code));
  const wrong: string[] = [];
  // Node.js ends a connection after 100 refused streams.
  for (let from = 0; from < 256; from += 32) {
    const batch = characters.slice(from, from + 32);
    const requests = batch.map((character) => callHeaders(`a${character}b`));
    const taken = await nodeTakes(requests);
    for (const [i, headers] of requests.entries()) {
      if (hasAcceptableAuthority(fields(headers)) !== taken[i])
        wrong.push(JSON.stringify(batch[i]));
    }
  }
  expect(wrong).toEqual([]);
});

const host = (value: string) => ["host", value] as const;
it.each<[string, Headers]>([
  ["localhost", callHeaders("localhost")],
  ["a percent-encoded path", callHeaders("tmp%2Fagent%2Fapi.sock")],
  ["an address with a port", callHeaders("[::]:50051")],
  ["a raw path", callHeaders("/run/spiffe/api.sock")],
  ["a URI", callHeaders("unix:///run/spiffe/api.sock")],
  ["nothing", callHeaders("")],
  ["no authority", callHeaders(undefined)],
  ["only a host", [...callHeaders(undefined), host("localhost")]],
  ["only a bad host", [...callHeaders(undefined), host("/run/api.sock")]],
  ["a good authority and a bad host", [...callHeaders("a"), host("/run/api.sock")]],
  ["a good host and a bad one", [...callHeaders(undefined), host("a"), host("/b")]],
  ["a good authority and two hosts", [...callHeaders("a"), host("a"), host("b")]],
  ["a good authority and an empty host", [...callHeaders("a"), host("")]],
  ["an empty host", [...callHeaders(undefined), host("")]],
  ["two authorities", [[":authority", "a"], ...callHeaders("b")]],
  ["two hosts", [...callHeaders(undefined), host("a"), host("b")]],
])(
  "foresees what Node.js does with %s, and what it does after the change",
  async (_name, headers) => {
    const [taken] = await nodeTakes([headers]);
    expect(hasAcceptableAuthority(fields(headers))).toBe(taken);
    const mended = withAcceptableAuthority(fields(headers));
    expect(await nodeTakes([mended.map(({ name, value }) => [name, value] as const)])).toEqual([
      true,
    ]);
  },
);

it("leaves other headers and trailers alone", () => {
  const trailers = fields([["grpc-status", "0"]]);
  expect(withAcceptableAuthority(trailers)).toBe(trailers);
  const good = fields(callHeaders("localhost"));
  expect(withAcceptableAuthority(good)).toBe(good);
  const mended = withAcceptableAuthority(fields(callHeaders("/a")));
  const rest = ({ name }: { name: string }): boolean => name !== ":authority";
  expect(mended.filter(rest)).toEqual(fields(callHeaders(undefined)));
});

it("relies on the limits that Node.js announces", () => {
  expect(getDefaultSettings()).toMatchObject({ headerTableSize: 4096, maxFrameSize: 16_384 });
});
