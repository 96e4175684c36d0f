import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import type { ClientOptions } from "@grpc/grpc-js";
import { systemClock } from "../../src/core/clock.ts";
import { rpcClient } from "../../src/rpc/client.ts";
import type { RpcClient } from "../../src/rpc/client.ts";
import { DEFAULT_LIMITS, openEndpoint } from "../../src/workload-api/endpoint.ts";
import type { ExtraService, Endpoint, EndpointLimits } from "../../src/workload-api/endpoint.ts";
import { jwtSvidValidator } from "../../src/workload-api/jwt-validation.ts";
import type { WorkloadSource } from "../../src/workload-api/ports.ts";

/** What every request carries. */
export const HEADERS = { "workload.spiffe.io": "true" } as const;

/** A volume's folder, as deep as kubelet's, with a short way to it for clients. */
export interface TestVolume {
  /** Longer than any socket's path may be. */
  readonly directory: string;
  /** A short path to the socket `name`. */
  socket(name?: string): string;
  remove(): void;
}

export function testVolume(): TestVolume {
  const root = mkdtempSync(join(tmpdir(), "volume-"));
  const deep = join("pods", "3f0c5c1e-8f5b-4f6a-9a51-7f2f4f6d9a51", "volumes", "kubernetes.io~csi");
  const directory = join(root, deep, "spiffe-workload-api-of-a-pod", "mount");
  mkdirSync(directory, { recursive: true });
  // A pod sees its volume at a short path of its own; here a link stands for that mount.
  const short = join(root, "v");
  symlinkSync(directory, short);
  return {
    directory,
    socket(name = "api.sock") {
      return join(short, name);
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** A served workload, with clients that end with it. */
export interface World {
  readonly volume: TestVolume;
  readonly endpoint: Endpoint;
  /** A client on a connection of its own. */
  client(options?: ClientOptions): RpcClient;
  errors: { method: string; error: unknown }[];
  close(): Promise<void>;
}

export interface WorldOptions {
  readonly limits?: Partial<EndpointLimits>;
  readonly services?: readonly ExtraService[];
}

export async function serve(source: WorkloadSource, options: WorldOptions = {}): Promise<World> {
  const volume = testVolume();
  const clients: RpcClient[] = [];
  const errors: World["errors"] = [];
  const endpoint = await openEndpoint(volume.directory, source, {
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    validate: jwtSvidValidator(),
    services: options.services ?? [],
    clock: systemClock(),
    onError: (method, error) => errors.push({ method, error }),
  });
  return {
    volume,
    endpoint,
    errors,
    client(clientOptions = {}) {
      const client = rpcClient(`unix:${volume.socket()}`, credentials.createInsecure(), {
        "grpc.use_local_subchannel_pool": 1,
        ...clientOptions,
      });
      clients.push(client);
      return client;
    },
    async close() {
      await endpoint.close({ removeFiles: true });
      for (const client of clients) client.close();
      volume.remove();
    },
  };
}

/** Reads the messages of a stream as they come. */
export interface Reading<T> {
  readonly seen: T[];
  /** Resolves when `count` messages have come. */
  until(count: number): Promise<T>;
  /** The error that the stream ends with. */
  readonly ended: Promise<unknown>;
  stop(): void;
}

export function read<T>(open: (signal: AbortSignal) => AsyncIterable<T>): Reading<T> {
  const abort = new AbortController();
  const seen: T[] = [];
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const resolve of waiting) resolve();
    waiting.clear();
  };
  const ended = (async () => {
    for await (const message of open(abort.signal)) {
      seen.push(message);
      wake();
    }
  })().then(
    () => "ended without an error",
    (error: unknown) => error,
  );
  void ended.then(wake);
  return {
    seen,
    ended,
    async until(count) {
      let over = false;
      void ended.then(() => (over = true));
      while (seen.length < count) {
        if (over)
          throw new Error(`stream ended after ${seen.length} messages: ${String(await ended)}`);
        await new Promise<void>((resolve) => void waiting.add(resolve));
      }
      return seen[count - 1] as T;
    },
    stop: () => abort.abort(),
  };
}
