import { readFileSync } from "node:fs";
import { ScalarType } from "@bufbuild/protobuf";
import type { DescEnum, DescField, DescFile, DescMessage } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { file_csi_v1_csi } from "../../src/rpc/gen/csi/v1/csi_pb.js";
import { file_envoy_config_core_v3_base } from "../../src/rpc/gen/envoy/config/core/v3/base_pb.js";
import { file_envoy_config_core_v3_extension } from "../../src/rpc/gen/envoy/config/core/v3/extension_pb.js";
import { file_envoy_extensions_transport_sockets_tls_v3_common } from "../../src/rpc/gen/envoy/extensions/transport_sockets/tls/v3/common_pb.js";
import { file_envoy_extensions_transport_sockets_tls_v3_secret } from "../../src/rpc/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js";
import { file_envoy_extensions_transport_sockets_tls_v3_tls_spiffe_validator_config } from "../../src/rpc/gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js";
import { file_envoy_service_discovery_v3_discovery } from "../../src/rpc/gen/envoy/service/discovery/v3/discovery_pb.js";
import { file_envoy_service_secret_v3_sds } from "../../src/rpc/gen/envoy/service/secret/v3/sds_pb.js";
import { file_envoy_type_v3_semantic_version } from "../../src/rpc/gen/envoy/type/v3/semantic_version_pb.js";
import { file_google_rpc_status } from "../../src/rpc/gen/google/rpc/status_pb.js";
import { file_grpc_reflection_v1_reflection } from "../../src/rpc/gen/grpc/reflection/v1/reflection_pb.js";
import { file_grpc_reflection_v1alpha_reflection } from "../../src/rpc/gen/grpc/reflection/v1alpha/reflection_pb.js";
import { file_pluginregistration_v1_registration } from "../../src/rpc/gen/pluginregistration/v1/registration_pb.js";
import {
  file_spiffe_workload_workload,
  SpiffeWorkloadAPI,
} from "../../src/rpc/gen/spiffe/workload/workload_pb.js";
import { methodDefinition } from "../../src/rpc/service.ts";

type Declarations<T> = Readonly<Record<string, Readonly<Record<string, T>>>>;

/** What the published Go modules declare; golden/protos/main.go writes it. */
interface Published {
  readonly rpcs: Readonly<Record<string, string>>;
  readonly messages: Declarations<string>;
  readonly enums: Declarations<number>;
}

const published = JSON.parse(
  readFileSync(new URL("../golden/protos/descriptors.json", import.meta.url), "utf8"),
) as Published;

const FILES: readonly [string, DescFile][] = [
  ["csi.v1", file_csi_v1_csi],
  ["pluginregistration", file_pluginregistration_v1_registration],
  ["grpc.reflection.v1", file_grpc_reflection_v1_reflection],
  ["grpc.reflection.v1alpha", file_grpc_reflection_v1alpha_reflection],
  // The standard's file has no package.
  ["", file_spiffe_workload_workload],
  ["envoy.config.core.v3", file_envoy_config_core_v3_base],
  ["envoy.config.core.v3", file_envoy_config_core_v3_extension],
  [
    "envoy.extensions.transport_sockets.tls.v3",
    file_envoy_extensions_transport_sockets_tls_v3_common,
  ],
  [
    "envoy.extensions.transport_sockets.tls.v3",
    file_envoy_extensions_transport_sockets_tls_v3_secret,
  ],
  [
    "envoy.extensions.transport_sockets.tls.v3",
    file_envoy_extensions_transport_sockets_tls_v3_tls_spiffe_validator_config,
  ],
  ["envoy.service.discovery.v3", file_envoy_service_discovery_v3_discovery],
  ["envoy.service.secret.v3", file_envoy_service_secret_v3_sds],
  ["envoy.type.v3", file_envoy_type_v3_semantic_version],
  ["google.rpc", file_google_rpc_status],
];

function allMessages(messages: readonly DescMessage[]): DescMessage[] {
  return messages.flatMap((message) => [message, ...allMessages(message.nestedMessages)]);
}

function allEnums(file: DescFile): DescEnum[] {
  return [...file.enums, ...allMessages(file.messages).flatMap((message) => message.nestedEnums)];
}

/** A field in the words of a .proto file, as golden/protos/main.go writes it. */
function declaration(field: DescField): string {
  const type = (scalar: ScalarType | undefined): string =>
    field.message?.typeName ?? field.enum?.typeName ?? ScalarType[scalar ?? 0]?.toLowerCase() ?? "";
  const { number } = field;
  if (field.fieldKind === "map") {
    const value = field.mapKind === "scalar" ? field.scalar : undefined;
    return `map<${ScalarType[field.mapKey]?.toLowerCase()}, ${type(value)}> = ${number}`;
  }
  const text = `${type(field.scalar)} = ${number}`;
  if (field.fieldKind === "list") return `repeated ${text}`;
  if (field.proto.proto3Optional) return `optional ${text}`;
  return field.oneof ? `oneof ${field.oneof.name}: ${text}` : text;
}

describe.each(FILES)("our package '%s', file %#", (packageName, file) => {
  it("is the package of that name, and declares something", () => {
    expect(file.proto.package).toBe(packageName);
    expect(file.messages.length + file.services.length).toBeGreaterThan(0);
  });

  it.each(allMessages(file.messages))(
    "declares only fields that $typeName has, as it has them",
    (message) => {
      const theirs = published.messages[message.typeName];
      expect(theirs, "no such message").toBeDefined();
      const ours = message.fields.map((field) => [field.name, declaration(field)] as const);
      const same = ours.map(([name]) => [name, theirs?.[name]]);
      expect(Object.fromEntries(ours)).toEqual(Object.fromEntries(same));
    },
  );

  it("gives enum values the numbers that they have there", () => {
    for (const { typeName, values } of allEnums(file)) {
      const ours = Object.fromEntries(values.map(({ name, number }) => [name, number]));
      expect(published.enums).toMatchObject({ [typeName]: ours });
    }
  });

  it("serves and calls only RPCs that exist, under their paths", () => {
    const ours = file.services.flatMap((service) =>
      service.methods.map((method) => {
        const { path, requestStream, responseStream } = methodDefinition(method);
        const request = `${requestStream ? "stream " : ""}${method.input.typeName}`;
        return [
          path,
          `${request} returns ${responseStream ? "stream " : ""}${method.output.typeName}`,
        ];
      }),
    );
    expect(published.rpcs).toMatchObject(Object.fromEntries(ours));
  });
});

it("declares services wherever they are served or called", () => {
  const services = FILES.flatMap(([, file]) => file.services.map(({ typeName }) => typeName));
  expect(services.toSorted()).toEqual([
    "SpiffeWorkloadAPI",
    "csi.v1.Identity",
    "csi.v1.Node",
    "envoy.service.secret.v3.SecretDiscoveryService",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "pluginregistration.Registration",
  ]);
});

it("declares the Workload API whole: nothing of the standard is missing, nothing is added [WAPI-2]", () => {
  const { messages, rpcs } = published;
  const ours = file_spiffe_workload_workload.messages.map((message) => [
    message.typeName,
    Object.fromEntries(message.fields.map((field) => [field.name, declaration(field)])),
  ]);
  const theirs = Object.entries(messages).filter(([name]) => !name.includes("."));
  expect(Object.fromEntries(ours)).toEqual(Object.fromEntries(theirs));
  const paths = Object.keys(rpcs).filter((path) => path.startsWith("/SpiffeWorkloadAPI/"));
  expect(SpiffeWorkloadAPI.methods.map((method) => methodDefinition(method).path)).toEqual(
    expect.arrayContaining(paths),
  );
});
