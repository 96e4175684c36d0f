import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { Server as NetServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials, Server } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { rpcClient } from "../../src/rpc/client.ts";
import { Identity } from "../../src/rpc/gen/csi/v1/csi_pb.js";
import { addService } from "../../src/rpc/server.ts";
import { tlsRpcServer } from "../../src/rpc/tls-server.ts";
import { serveUnix } from "../../src/rpc/unix.ts";
import { makeIdentity } from "../csi/fixtures.ts";

/** What Node.js does when accept(2) fails, which no test can bring about at will. */
function failAccept(isMeant: (address: string | AddressInfo | null) => boolean): Error {
  // oxlint-disable-next-line no-underscore-dangle
  const handles = (process as unknown as { _getActiveHandles(): unknown[] })._getActiveHandles();
  const error = new Error("accept EMFILE");
  const servers = handles.filter((handle) => handle instanceof NetServer);
  const meant = servers.filter((server) => isMeant(server.address()));
  expect(meant).toHaveLength(1);
  meant[0]?.emit("error", error);
  return error;
}

test("a failed accept on a unix socket is told, and the socket serves on", async () => {
  const dir = mkdtempSync(join(tmpdir(), "unix-"));
  const path = join(dir, "csi.sock");
  const server = new Server();
  addService(server, Identity, { getPluginInfo: () => Promise.resolve({ name: "a" }) });
  const told: Error[] = [];
  const listener = await serveUnix(server, path, { mode: 0o600, onError: (e) => told.push(e) });
  const error = failAccept((address) => typeof address === "string" && address.startsWith(dir));
  expect(told).toEqual([error]);
  const client = rpcClient(`unix:${path}`, credentials.createInsecure());
  expect(await client.unary(Identity.method.getPluginInfo, {})).toMatchObject({ name: "a" });
  client.close();
  await listener.close();
  rmSync(dir, { recursive: true });
});

test("a failed accept does not end a server with TLS", async () => {
  const { privateKey, svids } = await makeIdentity();
  const key = createPrivateKey({ key: privateKey, format: "der", type: "pkcs8" });
  const material = {
    key: key.export({ format: "pem", type: "pkcs8" }) as string,
    cert: new X509Certificate(svids[0]?.chain[0] as Buffer).toString(),
    notAfter: svids[0]?.notAfter ?? 0,
  };
  const server = tlsRpcServer({ get: () => material, subscribe: () => () => undefined });
  const port = await server.listen(0, "127.0.0.1");
  const accept = () =>
    failAccept((address) => typeof address === "object" && address?.port === port);
  for (let time = 0; time < 3; time++) expect(accept).not.toThrow();
  await server.close();
});
