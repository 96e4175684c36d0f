import { constants } from "node:http2";
import type { ServerHttp2Stream } from "node:http2";
import type { ServerInterceptingCall, ServerInterceptor } from "@grpc/grpc-js";

/** gRPC's mark of compression and the length, before each message. */
const PREFIX_BYTES = 5;

/** What the clients of one server may hold in its memory together, whatever they spread it over. */
export interface StreamLimits {
  /** HTTP/2 streams of all connections, from their headers until both sides have ended them. */
  readonly streams: number;
  /** Messages that end in one DATA frame: an empty one costs far more than the five bytes that it comes in. */
  readonly messagesPerFrame: number;
}

type Call = Parameters<ServerInterceptor>[1];

/**
 * Resets streams beyond the limits, which callers see as RESOURCE_EXHAUSTED. A handler knows of a request when all of it
 * is there; until then, and after the response while the caller has not ended, it is memory that no handler counts.
 */
export function streamLimits({ streams, messagesPerFrame }: StreamLimits): ServerInterceptor {
  let open = 0;
  return (_method, call) => {
    const stream = streamOf(call);
    const refuse = (): void => {
      stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      // A stream that nobody reads would wait for its end.
      stream.destroy();
    };
    open += 1;
    stream.once("close", () => (open -= 1));
    const count = messageCounter();
    // Before grpc-js, which would turn all messages of a frame into objects at once.
    stream.prependListener("data", (bytes: Buffer) => {
      if (count(bytes) > messagesPerFrame) refuse();
    });
    if (open > streams) refuse();
    // Nothing in the call itself changes, so it goes on without another layer around it.
    return call as ServerInterceptingCall;
  };
}

/** The first interceptor gets grpc-js's own call, whose type does not tell that it holds its stream. */
function streamOf(call: Call): ServerHttp2Stream {
  return (call as unknown as { readonly stream: ServerHttp2Stream }).stream;
}

/** Counts the messages whose prefixes end in the next bytes of a stream. */
function messageCounter(): (bytes: Buffer) => number {
  let missing = PREFIX_BYTES;
  let length = 0;
  let body = 0;
  return (bytes) => {
    let count = 0;
    for (let at = 0; at < bytes.length;) {
      const skipped = Math.min(body, bytes.length - at);
      body -= skipped;
      at += skipped;
      if (skipped > 0) continue;
      missing -= 1;
      if (missing < PREFIX_BYTES - 1) length = length * 0x100 + (bytes[at] ?? 0);
      at += 1;
      if (missing > 0) continue;
      [count, body, length, missing] = [count + 1, length, 0, PREFIX_BYTES];
    }
    return count;
  };
}
