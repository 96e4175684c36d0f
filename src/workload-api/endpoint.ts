import { createServer } from "node:net";
import type { Duplex } from "node:stream";
import type { DescService } from "@bufbuild/protobuf";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { ServerOptions } from "@grpc/grpc-js";
import type { Clock } from "../core/clock.ts";
import { SignetError } from "../core/errors.ts";
import { SpiffeWorkloadAPI } from "../rpc/gen/spiffe/workload/workload_pb.js";
import type { ServerReflection } from "../rpc/gen/grpc/reflection/v1/reflection_pb.js";
import { reflection, REFLECTION_SERVICES } from "../rpc/reflection.ts";
import { addService } from "../rpc/server.ts";
import type { CallObserver } from "../rpc/server.ts";
import { streamLimits } from "../rpc/stream-limits.ts";
import { callGate } from "./call-gate.ts";
import type { CallGate, CallLimits } from "./call-gate.ts";
import { connections } from "./connections.ts";
import type { ConnectionLimits } from "./connections.ts";
import type { ValidateJwtSvid } from "./jwt-validation.ts";
import type { WorkloadSource } from "./ports.ts";
import { workloadApi } from "./service.ts";
import { showSocket } from "./socket-file.ts";

export type EndpointLimits = CallLimits & ConnectionLimits;

/** Room for a pod with many processes, none for one that would take the node's agent for itself. */
export const DEFAULT_LIMITS: EndpointLimits = {
  connections: 128,
  connectionsPerSecond: 50,
  connectionBurst: 128,
  openCalls: 256,
  callsPerSecond: 1000,
  callBurst: 2000,
};

/** Open calls beyond their limit are refused by name, so HTTP/2 itself, which would let them wait, allows more. */
const SPARE_STREAMS = 64;
/** Clients of secret discovery say a few things at most before they wait for an answer. */
const MESSAGES_PER_FRAME = 64;
/** How long running calls may take to tell their end. */
const CLOSE_GRACE_MS = 500;

const OPTIONS: ServerOptions = {
  // The largest request is Envoy's first one, which lists all its extensions.
  "grpc.max_receive_message_length": 256 * 1024,
  // What gRPC clients take by default: a longer message would break them in stranger ways.
  "grpc.max_send_message_length": 4 * 1024 * 1024,
  "grpc-node.max_session_memory": 10,
  "grpc.enable_channelz": 0,
};

/** Whom a socket serves, and what its calls go through. */
export interface ServedWorkload {
  readonly source: WorkloadSource;
  readonly gate: CallGate;
  /** Told of every call that ended with an error. */
  readonly onError: CallObserver;
}

/** Another service on every socket. */
export interface ExtraService {
  /** What reflection tells of it. */
  readonly service: DescService;
  add(server: Server, workload: ServedWorkload): void;
}

export interface EndpointDeps {
  readonly limits: EndpointLimits;
  readonly validate: ValidateJwtSvid;
  readonly services: readonly ExtraService[];
  readonly clock: Clock;
  /** Told of every call that ended with an error. */
  readonly onError: CallObserver;
}

type Injector = ReturnType<Server["createConnectionInjector"]>;

/** One volume's socket with the Workload API on it. */
export interface Endpoint {
  readonly connections: number;
  readonly calls: number;
  /** Whether the volume still shows the socket. */
  isShown(): Promise<boolean>;
  /**
   * Ends calls with UNAVAILABLE, on which all clients come again, and then connections. The socket's names stay
   * unless `removeFiles`, so that clients of a volume that lives on find the next process.
   */
  close(options: { readonly removeFiles: boolean }): Promise<void>;
}

/** Opens the socket of the volume at `directory`, at once in place of an earlier process's. Throws SYSTEM. */
export async function openEndpoint(
  directory: string,
  source: WorkloadSource,
  deps: EndpointDeps,
): Promise<Endpoint> {
  const { limits, clock } = deps;
  const gate = callGate(limits, clock);
  // Made for the first client: most volumes of a node never have one, and a socket alone costs next to nothing.
  let injector: Injector | undefined;
  const serve = (connection: Duplex): void => {
    injector ??= grpcServer(source, gate, deps).createConnectionInjector(
      ServerCredentials.createInsecure(),
    );
    injector.injectConnection(connection);
  };
  const clients = connections(limits, serve, clock);
  const listener = createServer((socket) => clients.add(socket));
  const file = await showSocket(listener, directory);
  // Such as no more file descriptors: a client that cannot be taken in must not end the process.
  listener.on("error", (error) => deps.onError("accept", error));
  return {
    get connections() {
      return clients.size;
    },
    get calls() {
      return gate.open;
    },
    isShown: () => file.isShown(),
    async close({ removeFiles }) {
      if (removeFiles) await file.remove();
      listener.close();
      gate.close(new SignetError("UNAVAILABLE", "the Workload API is closing; come again"));
      // Its own deadline, which would reset streams, must never come.
      injector?.drain(2 * CLOSE_GRACE_MS);
      await clients.close(CLOSE_GRACE_MS);
      injector?.destroy();
    },
  };
}

function grpcServer(
  source: WorkloadSource,
  gate: CallGate,
  { limits, validate, services, clock, onError }: EndpointDeps,
): Server {
  const streams = limits.openCalls + SPARE_STREAMS;
  const server = new Server({
    ...OPTIONS,
    "grpc.max_concurrent_streams": streams,
    interceptors: [streamLimits({ streams, messagesPerFrame: MESSAGES_PER_FRAME })],
  });
  addService(server, SpiffeWorkloadAPI, workloadApi({ source, gate, validate, clock }), onError);
  for (const extra of services) extra.add(server, { source, gate, onError });
  const shown = [SpiffeWorkloadAPI, ...services.map(({ service }) => service)];
  for (const service of REFLECTION_SERVICES) addReflection(server, service, { gate, shown });
  return server;
}

/** Reflection asks for no header, as in SPIRE: it tells what everybody knows. */
function addReflection(
  server: Server,
  service: typeof ServerReflection,
  { gate, shown }: { readonly gate: CallGate; readonly shown: readonly DescService[] },
): void {
  const answer = reflection([...shown, ...REFLECTION_SERVICES]);
  addService(server, service, {
    async serverReflectionInfo(requests, send, context) {
      const admit = (): Promise<void> => gate.admit(context);
      await admit();
      await gate.run(context, () => answer(eachAdmitted(requests, admit), send));
    },
  });
}

/** Every question counts as a call: its answer is a thousand times as long. */
async function* eachAdmitted<T>(
  requests: AsyncIterable<T>,
  admit: () => Promise<void>,
): AsyncGenerator<T> {
  for await (const request of requests) {
    await admit();
    yield request;
  }
}
