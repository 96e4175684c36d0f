import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { manualClock } from "../../src/core/clock.ts";
import type { ManualClock } from "../../src/core/clock.ts";
import { createNotifier } from "../../src/csi/notify.ts";
import type { Notifier } from "../../src/csi/notify.ts";
import { recordingLog } from "./fixtures.ts";

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

let server: Server;
let port: number;
let heard: { method: string | undefined; url: string | undefined; body: string }[];
let answer: Answer;
let clock: ManualClock;
let notifier: Notifier;
let log: ReturnType<typeof recordingLog>;
beforeEach(async () => {
  heard = [];
  answer = (_, response) => response.end();
  server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      heard.push({ method: request.method, url: request.url, body });
      answer(request, response);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  ({ port } = server.address() as AddressInfo);
  clock = manualClock();
  log = recordingLog();
  notifier = createNotifier({ clock, log });
});
afterEach(() => {
  notifier.stop();
  server.closeAllConnections();
  server.close();
});

let address: string | undefined = "127.0.0.1";
beforeEach(() => (address = "127.0.0.1"));
const notify = (volumeId = "v", path = "/reload?x=1") =>
  notifier.notify({ volumeId, pod: "web-0", target: { port, path }, address: () => address });
const count = () => heard.length;
const warned = () => log.lines.filter(({ level }) => level === "warn");
/** Lets the tries go on that have failed by now. */
const goOn = async (ms: number) => {
  await expect.poll(() => clock.sleeping).toBeGreaterThan(0);
  await clock.advance(ms);
};

test("a pod hears of new files by a POST without a body to its own address", async () => {
  notify();
  await expect.poll(count).toBe(1);
  expect(heard).toEqual([{ method: "POST", url: "/reload?x=1", body: "" }]);
  await expect.poll(() => clock.sleeping).toBe(0);
  await clock.advance(60_000);
  expect(count()).toBe(1);
  expect(warned()).toEqual([]);
});

test("a refusal is tried again after one, two and four seconds, then logged", async () => {
  answer = (_, response) => response.writeHead(503).end("not now");
  notify();
  for (const [tries, wait] of [
    [1, 1000],
    [2, 2000],
    [3, 4000],
  ] as const) {
    await expect.poll(count).toBe(tries);
    await expect.poll(() => clock.sleeping).toBe(1);
    await clock.advance(wait - 1);
    expect(count()).toBe(tries);
    await clock.advance(1);
  }
  await expect.poll(() => warned().length).toBe(1);
  expect(count()).toBe(4);
  expect(warned()[0]?.text).toMatch(/pod was not told .*"volume":"v","pod":"web-0".*status 503/);
  expect(warned()[0]?.text).not.toContain("not now");
  await clock.advance(60_000);
  expect(count()).toBe(4);
});

test("a later try that is heard ends it", async () => {
  answer = (_, response) => response.writeHead(count() === 1 ? 500 : 204).end();
  notify();
  await expect.poll(count).toBe(1);
  await goOn(1000);
  await expect.poll(count).toBe(2);
  await clock.advance(60_000);
  expect(count()).toBe(2);
  expect(warned()).toEqual([]);
});

test("a redirect is a refusal and not followed", async () => {
  answer = (_, response) => response.writeHead(307, { location: "/elsewhere" }).end();
  notify();
  await expect.poll(count).toBe(1);
  await goOn(1000);
  await expect.poll(count).toBe(2);
  expect(heard.map(({ url }) => url)).toEqual(["/reload?x=1", "/reload?x=1"]);
});

test("a pod that does not answer has two seconds", async () => {
  answer = () => undefined;
  notify();
  await expect.poll(count).toBe(1);
  await clock.advance(1999);
  expect(server.listening && count()).toBe(1);
  await clock.advance(1);
  await goOn(1000);
  await expect.poll(count).toBe(2);
});

test("an endless answer costs nothing: its head is enough", async () => {
  let closed = false;
  answer = (_, response) => {
    response.writeHead(200);
    const writing = setInterval(() => response.write("x".repeat(1000)), 1);
    response.on("close", () => {
      closed = true;
      clearInterval(writing);
    });
  };
  notify();
  await expect.poll(() => closed).toBe(true);
  expect(warned()).toEqual([]);
});

test("an address that comes later is used", async () => {
  address = undefined;
  notify();
  await expect.poll(() => clock.sleeping).toBe(1);
  expect(count()).toBe(0);
  address = "127.0.0.1";
  await clock.advance(1000);
  await expect.poll(count).toBe(1);
});

test("what is not an IP address is never resolved", async () => {
  address = "localhost";
  notify();
  for (const wait of [1000, 2000, 4000]) await goOn(wait);
  await expect.poll(() => warned().length).toBe(1);
  expect(count()).toBe(0);
});

test("newer news replaces older, and a volume that goes is let go", async () => {
  answer = () => undefined;
  notify("v", "/old");
  await expect.poll(count).toBe(1);
  notify("v", "/new");
  await expect.poll(count).toBe(2);
  notifier.forget("v");
  await expect.poll(() => clock.sleeping).toBe(0);
  await clock.advance(60_000);
  expect(heard.map(({ url }) => url)).toEqual(["/old", "/new"]);
  expect(warned()).toEqual([]);
});

test("at most eight are told at once, and all in the end", async () => {
  const held: ServerResponse[] = [];
  answer = (_, response) => held.push(response);
  for (let i = 0; i < 20; i++) notify(`v${i}`, `/${i}`);
  await expect.poll(() => held.length).toBe(8);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(held).toHaveLength(8);
  for (let done = 0; done < 20; done++) {
    await expect.poll(() => held.length).toBeGreaterThan(done);
    held[done]?.end();
  }
  expect(new Set(heard.map(({ url }) => url)).size).toBe(20);
  expect(count()).toBe(20);
});
