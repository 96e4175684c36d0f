import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { expect, it } from "vitest";
import { Issuer } from "../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import { encodeFrame } from "../../src/rpc/http2/frames.ts";
import { addService } from "../../src/rpc/server.ts";
import { BEGIN, callHeaders, headersFrame, rawClient } from "./http2/raw-client.ts";

it("ends a handler that begins after its caller's deadline, for a request that came to its end late", async () => {
  const folder = mkdtempSync(join(tmpdir(), "late-"));
  const server = new Server();
  const [begun, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  addService(server, Issuer, {
    async watch(_request, _send, { signal }) {
      begun.resolve();
      await once(signal, "abort");
      ended.resolve();
    },
  });
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const listener = createServer((socket) => injector.injectConnection(socket));
  await once(listener.listen(join(folder, "s")), "listening");
  const client = await rawClient(join(folder, "s"));
  const path = `/${Issuer.typeName}/${Issuer.method.watch.name}`;
  const headers = [...callHeaders("localhost", path), ["grpc-timeout", "20m"]] as const;
  const message = encodeFrame({ type: 0, flags: 0, streamId: 1, payload: Buffer.alloc(5) });
  client.send(BEGIN, headersFrame(1, headers), message);
  // The status: the deadline has passed.
  expect(await client.outcome(1)).toBe("200");
  client.send(encodeFrame({ type: 0, flags: 1, streamId: 1, payload: Buffer.alloc(0) }));
  await begun.promise;
  await ended.promise;
  client.close();
  listener.close();
  rmSync(folder, { recursive: true });
});
