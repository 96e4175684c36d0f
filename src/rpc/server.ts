import type { EventEmitter } from "node:events";
import { logVerbosity, setLogVerbosity } from "@grpc/grpc-js";
import type { Server } from "@grpc/grpc-js";
import type {
  sendUnaryData,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { DescMessage } from "@bufbuild/protobuf";
import { LONGEST_TIMER_MS } from "../core/clock.ts";
import { EncodedMessage, serviceDefinition } from "./service.ts";
import { toStatus } from "./status.ts";

type Any = MessageShape<DescMessage>;
type StreamCall =
  | ServerWritableStream<Any, Any | EncodedMessage>
  | ServerDuplexStream<Any, Any | EncodedMessage>;

/** How long grpc-js is left alone with telling a caller that its deadline has passed. */
const LATE_MS = 100;

/** What a handler may know of the call it answers. */
export interface CallContext {
  /** Metadata value of `key`, the first one when there are several. */
  header(key: string): string | undefined;
  /** All metadata values of `key`; several that came in one line are one value, with commas. */
  headers(key: string): readonly string[];
  /** Milliseconds since the epoch, or undefined when the caller waits for ever. */
  readonly deadline: number | undefined;
  /** Aborts when the caller goes away or its deadline passes. */
  readonly signal: AbortSignal;
  readonly method: string;
}

export interface SendOptions {
  /** Wait until the message has left for the caller, not only until the stream takes more. */
  readonly untilFlushed?: boolean;
}

/** Sends one message of a stream; resolves when the stream takes more, rejects when the caller is gone. */
export type Send<T> = (message: T | EncodedMessage, options?: SendOptions) => Promise<void>;

type Method<S extends DescService, K extends keyof S["method"]> = S["method"][K];

/**
 * Handlers of a service: unary ones return the response, streaming ones send messages until they return; those of
 * streams in both directions read requests until there are no more, as when the caller goes away.
 */
export type Handlers<S extends DescService> = {
  readonly [K in keyof S["method"]]?: Method<S, K>["methodKind"] extends "server_streaming"
    ? StreamHandler<MessageShape<Method<S, K>["input"]>, MessageInitShape<Method<S, K>["output"]>>
    : Method<S, K>["methodKind"] extends "bidi_streaming"
      ? StreamHandler<
          AsyncIterable<MessageShape<Method<S, K>["input"]>>,
          MessageInitShape<Method<S, K>["output"]>
        >
      : UnaryHandler<MessageShape<Method<S, K>["input"]>, MessageInitShape<Method<S, K>["output"]>>;
};

type UnaryHandler<I, O> = (request: I, context: CallContext) => Promise<O>;
type StreamHandler<I, O> = (request: I, send: Send<O>, context: CallContext) => Promise<void>;
type Init = MessageInitShape<DescMessage>;

/** Told of every call that ended with an error, before the error is mapped to a status. */
export type CallObserver = (method: string, error: unknown) => void;

/** Adds a service to a grpc-js server; methods without a handler answer UNIMPLEMENTED. */
export function addService<S extends DescService>(
  server: Server,
  service: S,
  handlers: Handlers<S>,
  onError: CallObserver = () => undefined,
): void {
  // What grpc-js logs of a server is what clients send, and no client may fill the node's log.
  setLogVerbosity(logVerbosity.NONE);
  const definition: ServiceDefinition = serviceDefinition(service);
  const wrapped: UntypedServiceImplementation = {};
  for (const method of service.methods) {
    const handler = (handlers as Record<string, unknown>)[method.localName];
    if (handler === undefined) continue;
    wrapped[method.localName] =
      method.methodKind === "unary"
        ? unaryHandler(method.output, handler as UnaryHandler<Any, Init>, onError)
        : streamingHandler(method.output, handler as StreamHandler<unknown, Init>, onError);
  }
  server.addService(definition, wrapped);
}

function unaryHandler(
  output: DescMessage,
  handler: UnaryHandler<Any, Init>,
  onError: CallObserver,
) {
  return (call: ServerUnaryCall<Any, Any>, callback: sendUnaryData<Any>): void => {
    const { context, settle } = running(call);
    handler(call.request, context).then(
      (response) => {
        settle();
        callback(null, create(output, response));
      },
      (error: unknown) => {
        settle();
        onError(call.getPath(), error);
        callback(toStatus(error));
      },
    );
  };
}

function streamingHandler(
  output: DescMessage,
  handler: StreamHandler<unknown, Init>,
  onError: CallObserver,
) {
  return (call: StreamCall): void => {
    const { context, settle } = running(call);
    const send: Send<Init> = (message, { untilFlushed = false } = {}) => {
      const { signal } = context;
      signal.throwIfAborted();
      const ready = message instanceof EncodedMessage ? message : create(output, message);
      return untilFlushed
        ? flushed(call, ready, signal)
        : writable(call, call.write(ready), signal);
    };
    // A reader that stops early must not take the stream down before its status is sent.
    const request = "request" in call ? call.request : call.iterator({ destroyOnReturn: false });
    handler(request, send, context).then(
      () => {
        settle();
        call.end();
      },
      (error: unknown) => {
        settle();
        if (!context.signal.aborted) onError(call.getPath(), error);
        // grpc-js takes the status of a stream from the error that it is destroyed with.
        call.emit("error", toStatus(error));
      },
    );
  };
}

function writable(call: StreamCall, ready: boolean, signal: AbortSignal): Promise<void> {
  if (ready) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const done = (): void => {
      signal.removeEventListener("abort", gone);
      resolve();
    };
    const gone = (): void => {
      call.removeListener("drain", done);
      reject(signal.reason as Error);
    };
    call.once("drain", done);
    signal.addEventListener("abort", gone, { once: true });
  });
}

function flushed(
  call: StreamCall,
  message: Any | EncodedMessage,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", gone, { once: true });
    call.write(message, () => {
      signal.removeEventListener("abort", gone);
      resolve();
    });
  });
}

interface RunningCall {
  readonly context: CallContext;
  /** Says that the handler has ended: grpc-js calls every call cancelled that is over. */
  readonly settle: () => void;
}

function running(call: ServerUnaryCall<Any, Any> | StreamCall): RunningCall {
  const gone = new AbortController();
  const leave = (): void => gone.abort();
  const events: EventEmitter = call;
  events.once("cancelled", leave);
  const context = contextOf(call, gone.signal);
  // grpc-js does not say that a call is over when its deadline passed before its request was complete.
  const { deadline = Infinity } = context;
  const late = Math.max(0, deadline - Date.now()) + LATE_MS;
  const timer = late <= LONGEST_TIMER_MS ? setTimeout(leave, late) : undefined;
  return {
    context,
    settle() {
      clearTimeout(timer);
      events.off("cancelled", leave);
    },
  };
}

function contextOf(call: ServerUnaryCall<Any, Any> | StreamCall, signal: AbortSignal): CallContext {
  const deadline = call.getDeadline();
  const at = deadline instanceof Date ? deadline.getTime() : deadline;
  return {
    header: (key) => {
      const value = call.metadata.get(key)[0];
      return typeof value === "string" ? value : undefined;
    },
    headers: (key) => call.metadata.get(key).map(String),
    deadline: Number.isFinite(at) ? at : undefined,
    signal,
    method: call.getPath(),
  };
}
