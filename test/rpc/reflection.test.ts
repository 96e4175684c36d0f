import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { Server as NetServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Client, credentials, Server, ServerCredentials } from "@grpc/grpc-js";
import type { StatusObject } from "@grpc/grpc-js";
import { afterAll, beforeAll, expect, it } from "vitest";
import { SignetError } from "../../src/core/errors.ts";
import {
  ServerReflection,
  ServerReflectionRequestSchema,
} from "../../src/rpc/gen/grpc/reflection/v1/reflection_pb.js";
import type {
  ServerReflectionRequest,
  ServerReflectionResponse,
} from "../../src/rpc/gen/grpc/reflection/v1/reflection_pb.js";
import { SpiffeWorkloadAPI } from "../../src/rpc/gen/spiffe/workload/workload_pb.js";
import { reflection, REFLECTION_SERVICES } from "../../src/rpc/reflection.ts";
import { addService } from "../../src/rpc/server.ts";
import { methodDefinition } from "../../src/rpc/service.ts";

let dir: string;
let listener: NetServer;
let client: Client;
let ended = 0;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "reflection-"));
  const server = new Server();
  for (const service of REFLECTION_SERVICES) {
    const answer = reflection([SpiffeWorkloadAPI]);
    addService(server, service, {
      async serverReflectionInfo(requests, send) {
        await answer(requests, send);
        ended += 1;
        throw new SignetError("UNAVAILABLE", "all was said");
      },
    });
  }
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  listener = createServer((socket) => injector.injectConnection(socket)).listen(join(dir, "s"));
  await once(listener, "listening");
  client = new Client(`unix:${join(dir, "s")}`, credentials.createInsecure());
});
afterAll(() => {
  client.close();
  listener.close();
  rmSync(dir, { recursive: true });
});

type Asked = ServerReflectionRequest["messageRequest"];

function open(service = ServerReflection) {
  const definition = methodDefinition(service.method.serverReflectionInfo);
  const { path, requestSerialize, responseDeserialize } = definition;
  return client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
}

/** Sends all requests and gives the answers, and the status that the server ended the stream with. */
async function ask(asked: readonly Asked[], service = ServerReflection) {
  const call = open(service);
  const status = new Promise<StatusObject>((resolve) => call.on("status", resolve));
  call.on("error", () => undefined);
  for (const messageRequest of asked) {
    call.write(create(service.method.serverReflectionInfo.input, { host: "h", messageRequest }));
  }
  call.end();
  const answers: ServerReflectionResponse[] = [];
  call.on("data", (answer: ServerReflectionResponse) => answers.push(answer));
  const { code, details } = await status;
  return { answers, status: [code, details] };
}

it.each(REFLECTION_SERVICES)(
  "answers requests in their order under $typeName, then ends as told",
  async (service) => {
    const { answers, status } = await ask(
      [
        { case: "listServices", value: "" },
        { case: "fileContainingSymbol", value: "SpiffeWorkloadAPI" },
        { case: "fileContainingSymbol", value: "SpiffeWorkloadAPI.FetchJWTSVID" },
        { case: "fileByFilename", value: "spiffe/workload/workload.proto" },
        { case: "fileByFilename", value: "google/protobuf/struct.proto" },
      ],
      service,
    );
    expect(status).toEqual([14, "all was said"]);
    expect(answers[0]).toMatchObject({
      validHost: "h",
      originalRequest: { messageRequest: { case: "listServices" } },
      messageResponse: { value: { service: [{ name: "SpiffeWorkloadAPI" }] } },
    });
    const files = answers
      .slice(1)
      .map(({ messageResponse: response }) =>
        response.case === "fileDescriptorResponse"
          ? response.value.fileDescriptorProto.map(
              (bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name,
            )
          : response.case,
      );
    const workload = ["spiffe/workload/workload.proto", "google/protobuf/struct.proto"];
    expect(files).toEqual([workload, workload, workload, ["google/protobuf/struct.proto"]]);
  },
);

it.each<Asked>([
  { case: "fileContainingSymbol", value: "Nothing" },
  { case: "fileByFilename", value: "nothing.proto" },
  { case: "allExtensionNumbersOfType", value: "X509SVID" },
  { case: undefined },
])("says NOT_FOUND for $case", async (asked) => {
  const { answers } = await ask([asked]);
  expect(answers[0]?.messageResponse).toMatchObject({
    case: "errorResponse",
    value: { errorCode: 5 },
  });
});

it("ends the requests of a caller who goes away", async () => {
  const call = open();
  call.on("error", () => undefined);
  call.write(
    create(ServerReflectionRequestSchema, { messageRequest: { case: "listServices", value: "" } }),
  );
  await once(call, "data");
  const before = ended;
  call.cancel();
  await expect.poll(() => ended).toBe(before + 1);
});
