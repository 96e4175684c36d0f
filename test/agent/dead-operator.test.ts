import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { silentLog } from "../../src/core/log.ts";
import { generateKeyPair } from "../../src/agent/keys.ts";
import { operatorLink } from "../../src/agent/operator-link.ts";
import { trustAnchors } from "../../src/agent/trust-anchors.ts";
import { serverCredentials, testAuthority } from "../fakes/authority.ts";
import { fakeIssuer } from "../fakes/issuer.ts";
import { agentFiles, entry, OPERATOR_ID, tempDir, TRUST_DOMAIN, until } from "./fixture.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** A TCP relay that can fall silent: it keeps its connections and passes nothing on. */
async function relay(target: () => number) {
  const sockets = new Set<Socket>();
  let silent = false;
  const server: Server = createServer((incoming) => {
    sockets.add(incoming.on("error", () => undefined));
    if (silent) return;
    const outgoing = connect(target(), "127.0.0.1").on("error", () => incoming.destroy());
    sockets.add(outgoing);
    incoming.on("data", (bytes) => silent || outgoing.write(bytes));
    outgoing.on("data", (bytes) => silent || incoming.write(bytes));
    outgoing.on("close", () => silent || incoming.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    setSilent(next: boolean) {
      silent = next;
    },
    get connections() {
      return sockets.size;
    },
  };
}

async function setUp() {
  const authority = await testAuthority("first");
  const server = await serverCredentials(authority, [OPERATOR_ID]);
  const operator = fakeIssuer({ trustDomain: TRUST_DOMAIN, authority, server });
  await operator.start();
  const way = await relay(() => operator.port);
  const dir = tempDir();
  const { bundleDir, tokenFile } = agentFiles(dir.path, [authority]);
  const link = operatorLink({
    address: way.address,
    trustDomain: TRUST_DOMAIN,
    tokenFile,
    version: "test",
    anchors: trustAnchors({ bundleDir, log: silentLog() }),
    clock: systemClock(),
    random: Math.random,
    log: silentLog(),
  });
  cleanups.push(
    () => operator.kill(),
    () => dir[Symbol.dispose](),
    () => link.close(),
  );
  return { operator, way, link };
}

const { publicKey } = await generateKeyPair("ec-p256");

const request = (podUid: string) => {
  return { podUid, podToken: "pod-token", publicKey, noWait: false };
};
const within = (ms: number) => ({
  deadline: Date.now() + ms,
  signal: new AbortController().signal,
});

test("a session with an operator that fell silent ends, and a waiting attest comes back", async () => {
  const { operator, way, link } = await setUp();
  const updates: unknown[] = [];
  const watching = (async () => {
    for await (const update of link.watch(new AbortController().signal)) updates.push(update);
  })().catch((error: unknown) => error);
  const attest = link.attest(request("pod-1"), within(60_000));
  await until(() => updates.length === 2 && operator.waiting === 1, "session runs");
  way.setSilent(true);
  // Well above the 10 s that it should take, and far below what TCP alone would need.
  expect(await watching).toMatchObject({ code: "UNAVAILABLE" });
  way.setSilent(false);
  operator.setEntries("pod-1", [entry("web")]);
  await expect(attest).resolves.toMatchObject({ svids: [{ entryId: "entry-web" }] });
}, 60_000);

test("a connection that hangs before the handshake does not keep an attest waiting", async () => {
  const { operator, way, link } = await setUp();
  operator.setEntries("pod-1", [entry("web")]);
  way.setSilent(true);
  const attest = link.attest(request("pod-1"), within(40_000));
  await until(() => way.connections === 1, "connection hangs");
  way.setSilent(false);
  await expect(attest).resolves.toMatchObject({ svids: [{ entryId: "entry-web" }] });
}, 60_000);
