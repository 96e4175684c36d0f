import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { DEFAULT_LIMITS, openEndpoint } from "./endpoint.ts";
import type { ExtraService, Endpoint, EndpointDeps, EndpointLimits } from "./endpoint.ts";
import { jwtSvidValidator } from "./jwt-validation.ts";
import type { WorkloadSource } from "./ports.ts";

export interface EndpointsOptions {
  /** Those of DEFAULT_LIMITS where left out. */
  readonly limits?: Partial<EndpointLimits>;
  /** What else is served on every socket. */
  readonly services?: readonly ExtraService[];
  readonly clock: Clock;
  readonly log: Log;
}

export interface EndpointsSummary {
  readonly sockets: number;
  readonly connections: number;
  readonly calls: number;
}

/** The Workload API sockets of a node, one for each volume. */
export interface Endpoints {
  /**
   * Opens a volume's socket in its folder, or takes over what an earlier process left there. One that is open
   * stays with the source that it has, and is made again when its file was removed. Throws SYSTEM.
   */
  open(volumeId: string, directory: string, source: WorkloadSource): Promise<void>;
  /** Ends the socket of a volume that ends, and removes its names; unknown volumes are ignored. */
  close(volumeId: string): Promise<void>;
  /** Ends all sockets and leaves their names, so that clients find the next process. */
  stop(): Promise<void>;
  summary(): EndpointsSummary;
}

/** A node without sockets. Calls for one volume must come one after another, as its lock makes them. */
export function createEndpoints({
  limits,
  services = [],
  clock,
  log,
}: EndpointsOptions): Endpoints {
  const open = new Map<string, Endpoint>();
  const deps: EndpointDeps = {
    limits: { ...DEFAULT_LIMITS, ...limits },
    validate: jwtSvidValidator(),
    services,
    clock,
    onError: (method, error) => logFailure(log, method, error),
  };
  return {
    async open(volumeId, directory, source) {
      const known = open.get(volumeId);
      if (known !== undefined && (await known.isShown())) return;
      open.set(volumeId, await openEndpoint(directory, source, deps));
      await known?.close({ removeFiles: false });
    },
    async close(volumeId) {
      const endpoint = open.get(volumeId);
      open.delete(volumeId);
      await endpoint?.close({ removeFiles: true });
    },
    async stop() {
      const all = [...open.values()];
      open.clear();
      await Promise.all(all.map((endpoint) => endpoint.close({ removeFiles: false })));
    },
    summary() {
      const all = [...open.values()];
      const sum = (count: (endpoint: Endpoint) => number): number =>
        all.reduce((total, endpoint) => total + count(endpoint), 0);
      return {
        sockets: all.length,
        connections: sum((endpoint) => endpoint.connections),
        calls: sum((endpoint) => endpoint.calls),
      };
    },
  };
}

/** What is the caller's own fault, or passes by itself, is for them to see. */
function logFailure(log: Log, method: string, error: unknown): void {
  const fields = { method, error: errorMessage(error) };
  if (isSignetError(error) && error.code !== "INTERNAL" && error.code !== "SYSTEM") {
    log.debug({ ...fields, code: error.code }, "Workload API call was not answered");
  } else log.error(fields, "Workload API call failed");
}
