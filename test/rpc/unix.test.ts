import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials, Server } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, test } from "vitest";
import { rpcClient } from "../../src/rpc/client.ts";
import { Identity } from "../../src/rpc/gen/csi/v1/csi_pb.js";
import { addService } from "../../src/rpc/server.ts";
import { serveUnix } from "../../src/rpc/unix.ts";
import type { UnixListener } from "../../src/rpc/unix.ts";

let dir: string;
let path: string;
const listeners: UnixListener[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "unix-"));
  path = join(dir, "csi.sock");
});
afterEach(async () => {
  for (const listener of listeners.splice(0)) await listener.close();
  rmSync(dir, { recursive: true, force: true });
});

function namedServer(name: string): Server {
  const server = new Server();
  addService(server, Identity, { getPluginInfo: () => Promise.resolve({ name }) });
  return server;
}

async function listen(name: string, mode = 0o600): Promise<UnixListener> {
  const listener = await serveUnix(namedServer(name), path, { mode });
  listeners.push(listener);
  return listener;
}

async function ask(authority?: string): Promise<string> {
  const options = authority === undefined ? {} : { "grpc.default_authority": authority };
  const client = rpcClient(`unix:${path}`, credentials.createInsecure(), options);
  try {
    const deadline = Date.now() + 10_000;
    return (await client.unary(Identity.method.getPluginInfo, {}, { deadline })).name;
  } finally {
    client.close();
  }
}

test("calls are answered, whichever of kubelet's authorities they name", async () => {
  await listen("a");
  expect(await ask("localhost")).toBe("a");
  expect(await ask(encodeURIComponent(path))).toBe("a");
});

test.each([0o600, 0o660])("the socket has exactly the mode %o", async (mode) => {
  const umask = process.umask(0);
  try {
    await listen("a", mode);
  } finally {
    process.umask(umask);
  }
  expect(statSync(path).mode & 0o7777).toBe(mode);
  expect(readdirSync(dir)).toEqual(["csi.sock"]);
});

test("a stale socket, or any file in its place, is replaced", async () => {
  const stale = createServer().listen(join(dir, "other"));
  await new Promise((resolve) => stale.once("listening", resolve));
  writeFileSync(path, "");
  await listen("a");
  expect(await ask()).toBe("a");
  stale.close();
});

test("closing removes the socket and ends open connections", async () => {
  const listener = await listen("a");
  const client = rpcClient(`unix:${path}`, credentials.createInsecure());
  await client.unary(Identity.method.getPluginInfo, {});
  await listener.close();
  listeners.pop();
  expect(existsSync(path)).toBe(false);
  await expect(client.unary(Identity.method.getPluginInfo, {})).rejects.toMatchObject({
    code: "UNAVAILABLE",
  });
  client.close();
});

test("a process that ends late does not remove its successor's socket", async () => {
  const first = await listen("first");
  await listen("second");
  await first.close();
  listeners.shift();
  expect(await ask()).toBe("second");
});

test("a removed socket shows, a replaced one does not count as removed", async () => {
  const listener = await listen("a");
  expect(await listener.isGone()).toBe(false);
  rmSync(path);
  expect(await listener.isGone()).toBe(true);
  await listen("b");
  expect(await listener.isGone()).toBe(false);
});

test("a path that no socket can have is refused before anything is made", async () => {
  const long = join(dir, "x".repeat(108 - dir.length));
  await expect(serveUnix(new Server(), long, { mode: 0o600 })).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
  });
  const missing = join(dir, "missing", "csi.sock");
  await expect(serveUnix(new Server(), missing, { mode: 0o600 })).rejects.toMatchObject({
    code: "SYSTEM",
  });
  expect(readdirSync(dir)).toEqual([]);
});
