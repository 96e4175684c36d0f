import { credentials } from "@grpc/grpc-js";
import { rpcClient } from "../../src/rpc/client.ts";
import { SpiffeWorkloadAPI } from "../../src/rpc/gen/spiffe/workload/workload_pb.js";

/** Asks a Workload API again and again. */
export interface Silence {
  /** Ends it; resolves with the longest time between two answers in milliseconds, and their number. */
  stop(): Promise<{ readonly longestMs: number; readonly answers: number }>;
}

const HEADERS = { "workload.spiffe.io": "true" };
const EVERY_MS = 20;
const LIMIT_MS = 1000;

/** Measures how long the socket at `path` gives no X509-SVID to a client that connects anew each time. */
export function measureSilence(path: string): Silence {
  const end = new AbortController();
  let last = performance.now();
  let longestMs = 0;
  let answers = 0;
  const running = (async () => {
    while (!end.signal.aborted) {
      if (await answersAt(path)) {
        const now = performance.now();
        longestMs = Math.max(longestMs, now - last);
        last = now;
        answers += 1;
      }
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  })();
  return {
    async stop() {
      end.abort();
      await running;
      return { longestMs: Math.max(longestMs, performance.now() - last), answers };
    },
  };
}

async function answersAt(path: string): Promise<boolean> {
  const client = rpcClient(`unix:${path}`, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  try {
    const signal = AbortSignal.timeout(LIMIT_MS);
    const responses = client.stream(
      SpiffeWorkloadAPI.method.fetchX509SVID,
      {},
      { headers: HEADERS, signal },
    );
    for await (const { svids } of responses) return svids.length > 0;
    return false;
  } catch {
    return false;
  } finally {
    client.close();
  }
}
