import { toBinary } from "@bufbuild/protobuf";
import type { DescFile, DescService, MessageInitShape } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { status as grpcStatus } from "@grpc/grpc-js";
import { ServerReflection } from "./gen/grpc/reflection/v1/reflection_pb.js";
import type {
  ServerReflectionRequest,
  ServerReflectionResponseSchema,
} from "./gen/grpc/reflection/v1/reflection_pb.js";
import { ServerReflection as ServerReflectionAlpha } from "./gen/grpc/reflection/v1alpha/reflection_pb.js";
import type { Send } from "./server.ts";

type Response = MessageInitShape<typeof ServerReflectionResponseSchema>;
type Answer = NonNullable<Response["messageResponse"]>;
type Question = ServerReflectionRequest["messageRequest"];

/** Answers requests until there are no more. */
type Reflect = (
  requests: AsyncIterable<ServerReflectionRequest>,
  send: Send<Response>,
) => Promise<void>;

/** Reflection under both of its names. All but the package's name is the same, so one type stands for both. */
export const REFLECTION_SERVICES: readonly (typeof ServerReflection)[] = [
  ServerReflection,
  ServerReflectionAlpha as unknown as typeof ServerReflection,
];

/**
 * Answers what clients ask that have no protocol files: names of `services`, and the files that declare them with
 * all that those import. Extensions do not exist in proto3.
 */
export function reflection(services: readonly DescService[]): Reflect {
  const files = withImports(services.map(({ file }) => file));
  return async (requests, send) => {
    for await (const { host, messageRequest } of requests) {
      const messageResponse = answer(messageRequest, services, files);
      await send({ validHost: host, originalRequest: { host, messageRequest }, messageResponse });
    }
  };
}

function answer(
  asked: Question,
  services: readonly DescService[],
  files: readonly DescFile[],
): Answer {
  if (asked.case === "listServices") {
    const service = services.map(({ typeName }) => ({ name: typeName }));
    return { case: "listServicesResponse", value: { service } };
  }
  if (asked.case === "fileByFilename") {
    return fileAnswer(files.find((file) => `${file.name}.proto` === asked.value));
  }
  if (asked.case === "fileContainingSymbol") {
    return fileAnswer(files.find((file) => symbolsOf(file).has(asked.value)));
  }
  return failure(grpcStatus.NOT_FOUND, "there are no extensions");
}

function fileAnswer(file: DescFile | undefined): Answer {
  if (file === undefined) return failure(grpcStatus.NOT_FOUND, "no such file or symbol");
  const fileDescriptorProto = withImports([file]).map(({ proto }) =>
    toBinary(FileDescriptorProtoSchema, proto),
  );
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function failure(errorCode: number, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}

/** Files and what they import, directly or not, each once. */
function withImports(files: readonly DescFile[]): DescFile[] {
  const found = new Set<DescFile>();
  const add = (file: DescFile): void => {
    if (found.has(file)) return;
    found.add(file);
    for (const imported of file.dependencies) add(imported);
  };
  for (const file of files) add(file);
  return [...found];
}

function symbolsOf(file: DescFile): Set<string> {
  const methods = file.services.flatMap(({ typeName, methods: all }) => [
    typeName,
    ...all.map(({ name }) => `${typeName}.${name}`),
  ]);
  const messages = file.messages.map(({ typeName }) => typeName);
  return new Set([...methods, ...messages, ...file.enums.map(({ typeName }) => typeName)]);
}
