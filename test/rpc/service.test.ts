import { credentials, Server, ServerCredentials } from "@grpc/grpc-js";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { SignetError } from "../../src/core/errors.ts";
import { rpcClient } from "../../src/rpc/client.ts";
import type { RpcClient } from "../../src/rpc/client.ts";
import { Issuer } from "../../src/rpc/gen/signet/agent/v1/agent_pb.js";
import { addService } from "../../src/rpc/server.ts";

let folder: string;
let server: Server;
let client: RpcClient;
let cancelled: Promise<void>;
const failures: string[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "signet-rpc-"));
  server = new Server();
  const gone = Promise.withResolvers<void>();
  cancelled = gone.promise;
  addService(
    server,
    Issuer,
    {
      async renew(request, context) {
        if (request.podUid === "gone") throw new SignetError("POD_GONE", "pod is gone");
        if (request.podUid.length > 100) throw new SignetError("POD_GONE", request.podUid);
        if (request.podUid === "odd") throw new TypeError("secret detail");
        if (request.podUid === "slow") {
          context.signal.addEventListener("abort", () => gone.resolve());
          await gone.promise;
        }
        const named = `${request.podUid} ${context.header("authorization")} ${context.deadline}`;
        return { svids: [{ spiffeId: named }] };
      },
      async watch(_request, send) {
        for (const podUid of ["a", "b"]) await send({ update: { case: "pod", value: { podUid } } });
        throw new SignetError("UNAVAILABLE", "stopping");
      },
    },
    (_method, error) => failures.push(String(error)),
  );
  const address = `unix:${join(folder, "s")}`;
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  client = rpcClient(address, credentials.createInsecure());
});

afterEach(async () => {
  client.close();
  server.forceShutdown();
  await rm(folder, { recursive: true });
});

it("carries requests, metadata, deadlines and responses", async () => {
  const deadline = Date.now() + 60_000;
  const response = await client.unary(
    Issuer.method.renew,
    { podUid: "uid" },
    { headers: { authorization: "Bearer x" }, deadline },
  );
  const [uid, , , seen] = (response.svids[0]?.spiffeId ?? "").split(" ");
  expect(uid).toBe("uid");
  expect(Math.abs(Number(seen) - deadline)).toBeLessThan(5000);
});

it("brings the server's own code to the client", async () => {
  await expect(client.unary(Issuer.method.renew, { podUid: "gone" })).rejects.toMatchObject({
    code: "POD_GONE",
    message: "pod is gone",
  });
});

it("cuts a long message, also within a character that takes two", async () => {
  const deadline = Date.now() + 5000;
  for (const podUid of ["😀".repeat(600), `x${"😀".repeat(600)}`]) {
    const call = client.unary(Issuer.method.renew, { podUid }, { deadline });
    const message = podUid.slice(0, 1024).toWellFormed();
    await expect(call).rejects.toMatchObject({ code: "POD_GONE", message });
  }
});

it("keeps the details of an unexpected failure on the server", async () => {
  await expect(client.unary(Issuer.method.renew, { podUid: "odd" })).rejects.toMatchObject({
    code: "INTERNAL",
    message: "internal error; see the log",
  });
  expect(failures.at(-1)).toContain("secret detail");
});

it("answers UNIMPLEMENTED for a method without a handler", async () => {
  await expect(client.unary(Issuer.method.attest, {})).rejects.toMatchObject({
    code: "UNIMPLEMENTED",
  });
});

it("tells the handler when the caller goes away", async () => {
  const abort = new AbortController();
  const call = client.unary(Issuer.method.renew, { podUid: "slow" }, { signal: abort.signal });
  setTimeout(() => abort.abort(), 50);
  await expect(call).rejects.toMatchObject({ code: "CANCELLED" });
  await cancelled;
});

it("delivers the messages of a stream and then its error", async () => {
  const seen: (string | undefined)[] = [];
  const reading = (async () => {
    for await (const { update } of client.stream(Issuer.method.watch, {})) {
      seen.push(update.case === "pod" ? update.value.podUid : undefined);
    }
  })();
  await expect(reading).rejects.toMatchObject({ code: "UNAVAILABLE", message: "stopping" });
  expect(seen).toEqual(["a", "b"]);
});

it("fails with UNAVAILABLE where nobody listens", async () => {
  const lonely = rpcClient(`unix:${join(folder, "nobody")}`, credentials.createInsecure());
  await expect(lonely.unary(Issuer.method.renew, {})).rejects.toMatchObject({
    code: "UNAVAILABLE",
  });
  lonely.close();
});
