import type { ClusterSpiffeIdStatus } from "../src/api/cluster-spiffe-id.ts";
import { CLUSTER_SPIFFE_IDS } from "../src/api/resources.ts";
import { systemClock } from "../src/core/clock.ts";
import { silentLog } from "../src/core/log.ts";
import type { KubeClient } from "../src/kube/client.ts";
import { startReflector } from "../src/kube/reflector.ts";
import type { KubeObject } from "../src/kube/types.ts";

/** What the statuses of ClusterSPIFFEIDs say. */
export interface StatusWatch {
  /**
   * Resolves with the moment (performance.now) at which the object's status was seen to count as many entries.
   * Rejects after five minutes.
   */
  shows(name: string, entries: number): Promise<number>;
  stop(): Promise<void>;
}

interface Awaited {
  readonly entries: number;
  readonly seen: PromiseWithResolvers<number>;
}

const SHOWN_MS = 300_000;

export async function watchStatuses(client: KubeClient): Promise<StatusWatch> {
  const awaited = new Map<string, Awaited>();
  const reflector = startReflector<KubeObject & { readonly status?: ClusterSpiffeIdStatus }>({
    client,
    resource: CLUSTER_SPIFFE_IDS,
    handler: {
      replace: () => undefined,
      remove: () => undefined,
      apply({ metadata: { name }, status }) {
        const one = awaited.get(name);
        if (status?.stats?.entriesToSet === one?.entries) one?.seen.resolve(performance.now());
      },
    },
    clock: systemClock(),
    log: silentLog(),
    random: Math.random,
  });
  await reflector.synced;
  return {
    shows(name, entries) {
      const seen = Promise.withResolvers<number>();
      awaited.set(name, { entries, seen });
      const problem = new Error(`the status of ${name} does not come to ${entries} entries`);
      const timer = setTimeout(() => seen.reject(problem), SHOWN_MS);
      const shown = seen.promise.finally(() => clearTimeout(timer));
      // Whoever awaits it hears of it; until then other work may go on.
      shown.catch(() => undefined);
      return shown;
    },
    stop: () => reflector.stop(),
  };
}
