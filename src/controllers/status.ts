import { CLUSTER_SPIFFE_IDS } from "../api/resources.ts";
import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { KubeClient } from "../kube/client.ts";
import type { KubeObject } from "../kube/types.ts";
import type { Registry } from "./registry.ts";
import { nextStatus, nextUpstreamStatus, statusObject } from "./status-object.ts";

/** Changes that come within this time are written as one. */
const GATHER_MS = 250;
/** A ClusterSPIFFEID is not written more often than this while pods come and go. */
const MIN_INTERVAL_MS = 1000;
const RETRY_MS = 5000;
const CONCURRENT_WRITES = 4;
/** How long a CRD without our fields is taken for unchanged. */
const REPROBE_MS = 600_000;

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
  const crd: CrdKnowledge = { upstreamUntil: 0 };
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
        const result = await writeStatus(deps, crd, uid);
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

/** Until when the installed CRD is known to be SPIRE's own, in milliseconds since the epoch. */
interface CrdKnowledge {
  upstreamUntil: number;
}

async function writeStatus(
  deps: StatusWriterDeps,
  crd: CrdKnowledge,
  uid: string,
): Promise<WriteResult> {
  const { client, registry, clock, log } = deps;
  const object = registry.clusterSpiffeId(uid);
  const rule = registry.statusOf(uid);
  if (object === undefined || rule === undefined) return "gone";
  const now = clock.now();
  const upstream = now < crd.upstreamUntil;
  const status = upstream ? nextUpstreamStatus(rule, object) : nextStatus(rule, object, now);
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
    if (!upstream && isUndeclaredField(error)) {
      rememberUpstream(deps, crd, now);
      return writeStatus(deps, crd, uid);
    }
    log.warn(
      { clusterSpiffeId: rule.name, error: errorMessage(error) },
      "the status was not written; trying again",
    );
    return "failed";
  }
}

/** Server-side apply refuses a field that the CRD does not declare; there is no reason code for it. */
function isUndeclaredField(error: unknown): boolean {
  return errorMessage(error).includes("field not declared in schema");
}

function rememberUpstream({ log }: StatusWriterDeps, crd: CrdKnowledge, now: number): void {
  const known = crd.upstreamUntil;
  crd.upstreamUntil = now + REPROBE_MS;
  if (known > 0) return;
  log.warn(
    {},
    "the CRD of ClusterSPIFFEIDs is not this version's: their statuses have counters, but no conditions; install the chart with crds.install=true to have both",
  );
}

async function eachOf(uids: readonly string[], act: (uid: string) => Promise<void>): Promise<void> {
  const queue = [...uids];
  const work = async (): Promise<void> => {
    for (let uid = queue.shift(); uid !== undefined; uid = queue.shift()) await act(uid);
  };
  await Promise.all(Array.from({ length: CONCURRENT_WRITES }, work));
}
