import { Client, Metadata } from "@grpc/grpc-js";
import type { ChannelCredentials, ClientOptions, ServiceError } from "@grpc/grpc-js";
import { create } from "@bufbuild/protobuf";
import type {
  DescMethodServerStreaming,
  DescMethodUnary,
  DescMessage,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import { methodDefinition } from "./service.ts";
import { fromServiceError } from "./status.ts";

export interface CallOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds since the epoch. */
  readonly deadline?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Calls of one channel. Failures are SignetErrors with the code that the server threw. */
export interface RpcClient {
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options?: CallOptions,
  ): Promise<MessageShape<O>>;
  /** Messages until the server ends the stream; ends with an error when it broke. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    options?: CallOptions,
  ): AsyncIterable<MessageShape<O>>;
  close(): void;
}

/** Opens a channel to `target` (a gRPC name such as `dns:///host:port` or `unix:/path`). */
export function rpcClient(
  target: string,
  credentials: ChannelCredentials,
  options: ClientOptions = {},
): RpcClient {
  const client = new Client(target, credentials, options);
  return {
    unary(method, request, call = {}) {
      const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
      return new Promise((resolve, reject) => {
        call.signal?.throwIfAborted();
        const cancel = (): void => running.cancel();
        const running = client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          create(method.input, request),
          metadataOf(call),
          call.deadline === undefined ? {} : { deadline: call.deadline },
          (error: ServiceError | null, response?: unknown) => {
            call.signal?.removeEventListener("abort", cancel);
            if (error) reject(fromServiceError(error));
            else resolve(response as MessageShape<typeof method.output>);
          },
        );
        call.signal?.addEventListener("abort", cancel, { once: true });
      });
    },
    async *stream(method, request, call = {}) {
      const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
      call.signal?.throwIfAborted();
      const running = client.makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        create(method.input, request),
        metadataOf(call),
        call.deadline === undefined ? {} : { deadline: call.deadline },
      );
      const cancel = (): void => running.cancel();
      call.signal?.addEventListener("abort", cancel, { once: true });
      try {
        for await (const message of running) yield message as MessageShape<typeof method.output>;
      } catch (error) {
        throw fromServiceError(error as ServiceError);
      } finally {
        call.signal?.removeEventListener("abort", cancel);
        running.cancel();
      }
    },
    close: () => client.close(),
  };
}

function metadataOf(call: CallOptions): Metadata {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(call.headers ?? {})) metadata.set(key, value);
  return metadata;
}
