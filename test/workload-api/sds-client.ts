import { fromBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import type { Any } from "@bufbuild/protobuf/wkt";
import { create } from "@bufbuild/protobuf";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import type { ClientDuplexStream, ServiceError, StatusObject } from "@grpc/grpc-js";
import { SecretSchema } from "../../src/rpc/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js";
import type { Secret } from "../../src/rpc/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js";
import { SPIFFECertValidatorConfigSchema } from "../../src/rpc/gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js";
import type { DataSource, NodeSchema } from "../../src/rpc/gen/envoy/config/core/v3/base_pb.js";
import type {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponse,
} from "../../src/rpc/gen/envoy/service/discovery/v3/discovery_pb.js";
import { SecretDiscoveryService } from "../../src/rpc/gen/envoy/service/secret/v3/sds_pb.js";
import { methodDefinition } from "../../src/rpc/service.ts";

/** What Envoy tells of itself. */
export function envoyNode(
  minorNumber = 40,
  metadata: Record<string, boolean | string | number> = {},
): MessageInitShape<typeof NodeSchema> {
  return {
    id: "test",
    metadata,
    userAgentName: "envoy",
    userAgentVersionType: {
      case: "userAgentBuildVersion",
      value: { version: { majorNumber: 1, minorNumber, patch: 0 } },
    },
  };
}

/** A stream in both directions whose two ends a test holds in its hands. */
export interface Conversation<I, O> {
  say(request: I): void;
  readonly heard: O[];
  /** Resolves when `count` responses have come; rejects with the status when the stream ends before. */
  until(count: number): Promise<O>;
  /** How it ended. */
  readonly status: Promise<StatusObject>;
  /** No more requests. */
  end(): void;
  cancel(): void;
  /** Stops and goes on reading. */
  pause(): void;
  resume(): void;
}

export type WholeState = Conversation<
  MessageInitShape<typeof DiscoveryRequestSchema>,
  DiscoveryResponse
>;
export type Changes = Conversation<
  MessageInitShape<typeof DeltaDiscoveryRequestSchema>,
  MessageShape<typeof DeltaDiscoveryResponseSchema>
>;

/** A client of secret discovery on a connection of its own, which sends no headers, like Envoy. */
export interface SdsClient {
  stream(): WholeState;
  delta(): Changes;
  fetch(request: MessageInitShape<typeof DiscoveryRequestSchema>): Promise<DiscoveryResponse>;
  close(): void;
}

const { method } = SecretDiscoveryService;

export function sdsClient(socket: string): SdsClient {
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  const fetch = methodDefinition(method.fetchSecrets);
  return {
    stream: () => converse(client, method.streamSecrets),
    delta: () => converse(client, method.deltaSecrets),
    fetch: (request) =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          fetch.path,
          fetch.requestSerialize,
          fetch.responseDeserialize,
          create(method.fetchSecrets.input, request),
          new Metadata(),
          (error: ServiceError | null, response?: unknown) =>
            error ? reject(error) : resolve(response as DiscoveryResponse),
        );
      }),
    close: () => client.close(),
  };
}

function converse<I extends DescMessage, O extends DescMessage>(
  client: Client,
  described: (typeof method)["streamSecrets" | "deltaSecrets"] & { input: I; output: O },
): Conversation<MessageInitShape<I>, MessageShape<O>> {
  const { path, requestSerialize, responseDeserialize } = methodDefinition(described);
  const call: ClientDuplexStream<unknown, MessageShape<O>> = client.makeBidiStreamRequest(
    path,
    requestSerialize as (message: unknown) => Buffer,
    responseDeserialize as (bytes: Buffer) => MessageShape<O>,
    new Metadata(),
  );
  const heard: MessageShape<O>[] = [];
  const ended = Promise.withResolvers<StatusObject>();
  let wake = (): void => undefined;
  call.on("data", (message: MessageShape<O>) => {
    heard.push(message);
    wake();
  });
  call.on("error", () => undefined);
  call.on("status", (status: StatusObject) => {
    ended.resolve(status);
    wake();
  });
  let status: StatusObject | undefined;
  void ended.promise.then((known) => (status = known));
  return {
    heard,
    status: ended.promise,
    say: (request) => void call.write(create(described.input, request)),
    async until(count) {
      while (heard.length < count) {
        if (status !== undefined) {
          const { code, details } = status;
          throw new Error(`ended after ${heard.length} responses: ${code} ${details}`);
        }
        await new Promise<void>((resolve) => (wake = resolve));
      }
      return heard[count - 1] as MessageShape<O>;
    },
    end: () => void call.end(),
    cancel: () => call.cancel(),
    pause: () => void call.pause(),
    resume: () => void call.resume(),
  };
}

/** A secret as a test looks at it. */
export interface ShownSecret {
  readonly name: string;
  readonly chain?: string;
  readonly key?: string;
  /** PEM of the one list of CAs. */
  readonly trustedCa?: string;
  /** Trust domain → PEM, of SPIFFE's validator. */
  readonly spiffe?: Readonly<Record<string, string>>;
}

export function shown(resource: Any | undefined): ShownSecret {
  const secret = resource && anyUnpack(resource, SecretSchema);
  if (secret === undefined) throw new Error("not a secret");
  return { name: secret.name, ...content(secret) };
}

function content({ type }: Secret): Omit<ShownSecret, "name"> {
  if (type.case === "tlsCertificate") {
    const { certificateChain, privateKey } = type.value;
    return { chain: text(certificateChain), key: text(privateKey) };
  }
  if (type.case !== "validationContext") throw new Error(`a secret of another kind: ${type.case}`);
  const { trustedCa, customValidatorConfig: custom } = type.value;
  if (custom === undefined) return { trustedCa: text(trustedCa) };
  if (trustedCa !== undefined || custom.name !== "envoy.tls.cert_validator.spiffe") {
    throw new Error(`a validator of another kind: ${custom.name}`);
  }
  const { trustDomains } = fromBinary(
    SPIFFECertValidatorConfigSchema,
    custom.typedConfig?.value ?? new Uint8Array(),
  );
  return {
    spiffe: Object.fromEntries(
      trustDomains.map(({ name, trustBundle }) => [name, text(trustBundle)]),
    ),
  };
}

function text(source: DataSource | undefined): string {
  return Buffer.from(source?.specifier.value ?? new Uint8Array()).toString();
}
