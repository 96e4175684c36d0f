import { isDeepStrictEqual } from "node:util";
import type { ClusterSpiffeIdStatus } from "../api/cluster-spiffe-id.ts";
import { CLUSTER_SPIFFE_IDS, SPIRE_API_VERSION } from "../api/resources.ts";
import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { KubeClient } from "../kube/client.ts";
import type { KubeObject, NewObject } from "../kube/types.ts";
import type { RuleStatus } from "../registration/index.ts";
import type { Registry, StoredClusterSpiffeId } from "./registry.ts";

/** Changes that come within this time are written as one. */
const GATHER_MS = 250;
/** A ClusterSPIFFEID is not written more often than this while pods come and go. */
const MIN_INTERVAL_MS = 1000;
const RETRY_MS = 5000;
const CONCURRENT_WRITES = 4;

export interface StatusWriterDeps {
  readonly client: KubeClient;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Log;
}

/** The leader's part: writes what changed into the status of ClusterSPIFFEIDs until `signal` aborts. */
export async function writeStatuses(deps: StatusWriterDeps, signal: AbortSignal): Promise<void> {
  const { registry, clock } = deps;
  /** UID → the earliest moment for its next write. */
  const due = new Map<string, number>(registry.clusterSpiffeIdUids().map((uid) => [uid, 0]));
  const lastWritten = new Map<string, number>();
  const mark = (uids: Iterable<string>): void => {
    for (const uid of uids) {
      if (!due.has(uid)) due.set(uid, (lastWritten.get(uid) ?? 0) + MIN_INTERVAL_MS);
    }
  };
  const unsubscribe = registry.onStatus(mark);
  try {
    while (!signal.aborted) {
      const ready = [...due].filter(([, at]) => at <= clock.now()).map(([uid]) => uid);
      await eachOf(ready, async (uid) => {
        due.delete(uid);
        const result = await writeStatus(deps, uid);
        if (result === "gone") lastWritten.delete(uid);
        if (result === "written") lastWritten.set(uid, clock.now());
        if (result === "failed") due.set(uid, clock.now() + RETRY_MS);
      });
      await clock.sleep(GATHER_MS, signal).catch(() => undefined);
    }
  } finally {
    unsubscribe();
  }
}

type WriteResult = "written" | "same" | "gone" | "failed";

async function writeStatus(
  { client, registry, clock, log }: StatusWriterDeps,
  uid: string,
): Promise<WriteResult> {
  const object = registry.clusterSpiffeId(uid);
  const rule = registry.statusOf(uid);
  if (object === undefined || rule === undefined) return "gone";
  const status = nextStatus(rule, object, clock.now());
  if (status === undefined) return "same";
  try {
    await client.apply<KubeObject>(CLUSTER_SPIFFE_IDS, statusObject(object, status), {
      fieldManager: "signet-status",
      force: true,
      subresource: "status",
    });
    return "written";
  } catch (error) {
    if (isSignetError(error, "NOT_FOUND", "CONFLICT")) return "gone";
    log.warn(
      { clusterSpiffeId: rule.name, error: errorMessage(error) },
      "the status was not written; trying again",
    );
    return "failed";
  }
}

/**
 * The status that a ClusterSPIFFEID should have, or undefined when it has it already. The condition's
 * transition time moves only when its status does.
 */
export function nextStatus(
  rule: RuleStatus,
  object: StoredClusterSpiffeId,
  now: number,
): ClusterSpiffeIdStatus | undefined {
  const before = object.status?.conditions?.find(({ type }) => type === "Ready");
  const status = rule.ready ? "True" : "False";
  const unmoved = before?.status === status ? before.lastTransitionTime : undefined;
  const next: ClusterSpiffeIdStatus = {
    observedGeneration: rule.observedGeneration,
    stats: rule.stats,
    conditions: [
      {
        type: "Ready",
        status,
        observedGeneration: rule.observedGeneration,
        lastTransitionTime: unmoved ?? new Date(now).toISOString().replace(/\.\d+Z$/, "Z"),
        reason: rule.reason,
        message: rule.message,
      },
    ],
    ...(rule.failures.length === 0 ? {} : { failures: [...rule.failures] }),
  };
  return isDeepStrictEqual(plain(object.status), plain(next)) ? undefined : next;
}

function plain(status: ClusterSpiffeIdStatus | undefined): unknown {
  return status === undefined ? undefined : JSON.parse(JSON.stringify(status));
}

function statusObject(
  object: StoredClusterSpiffeId,
  status: ClusterSpiffeIdStatus,
): NewObject<KubeObject> {
  // The UID makes the write fail, rather than create or touch a successor of the same name.
  const { name, uid } = object.metadata;
  return {
    apiVersion: SPIRE_API_VERSION,
    kind: CLUSTER_SPIFFE_IDS.kind,
    metadata: { name, uid },
    status,
  } as NewObject<KubeObject>;
}

async function eachOf(uids: readonly string[], act: (uid: string) => Promise<void>): Promise<void> {
  const queue = [...uids];
  const work = async (): Promise<void> => {
    for (let uid = queue.shift(); uid !== undefined; uid = queue.shift()) await act(uid);
  };
  await Promise.all(Array.from({ length: CONCURRENT_WRITES }, work));
}
