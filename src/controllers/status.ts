import { once } from "node:events";
import { CLUSTER_SPIFFE_IDS } from "../api/resources.ts";
import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { KubeClient } from "../kube/client.ts";
import { createQueue } from "../kube/queue.ts";
import type { KubeObject } from "../kube/types.ts";
import type { Registry } from "./registry.ts";
import { nextStatus, nextUpstreamStatus, statusObject } from "./status-object.ts";

/** Changes that come within this time are written as one. */
const GATHER_MS = 250;
/** A ClusterSPIFFEID is not written more often than this while pods come and go. */
const MIN_INTERVAL_MS = 1000;
const BACKOFF = { initialMs: 1000, maxMs: 60_000 };
const CONCURRENT_WRITES = 4;
/** How long a CRD without our fields is taken for unchanged. */
const REPROBE_MS = 600_000;

export interface StatusWriterDeps {
  readonly client: KubeClient;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** The leader's part: writes what changed into the status of ClusterSPIFFEIDs until `signal` aborts. */
export async function writeStatuses(deps: StatusWriterDeps, signal: AbortSignal): Promise<void> {
  const { registry, clock } = deps;
  const crd: CrdKnowledge = { upstreamUntil: 0 };
  const lastWritten = new Map<string, number>();
  const queue = createQueue({
    ...deps,
    workers: CONCURRENT_WRITES,
    backoff: BACKOFF,
    async reconcile(uid, stop) {
      const result = await writeStatus({ ...deps, crd, stop }, uid);
      if (result === "gone") lastWritten.delete(uid);
      if (result === "written") lastWritten.set(uid, clock.now());
    },
  });
  const unsubscribe = registry.onStatus((uids) => {
    for (const uid of uids) {
      const earliest = (lastWritten.get(uid) ?? 0) + MIN_INTERVAL_MS;
      queue.addAfter(uid, Math.max(GATHER_MS, earliest - clock.now()));
    }
  });
  for (const uid of registry.clusterSpiffeIdUids()) queue.add(uid);
  queue.start();
  if (!signal.aborted) await once(signal, "abort");
  unsubscribe();
  await queue.stop();
}

type WriteResult = "written" | "same" | "gone";

/** Until when the installed CRD is known to be SPIRE's own, in milliseconds since the epoch. */
interface CrdKnowledge {
  upstreamUntil: number;
}

interface WriteDeps extends StatusWriterDeps {
  readonly crd: CrdKnowledge;
  readonly stop: AbortSignal;
}

async function writeStatus(deps: WriteDeps, uid: string): Promise<WriteResult> {
  const { client, registry, clock, crd } = deps;
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
      signal: deps.stop,
    });
    return "written";
  } catch (error) {
    if (isSignetError(error, "NOT_FOUND", "CONFLICT")) return "gone";
    if (upstream || !isUndeclaredField(error)) throw error;
    rememberUpstream(deps, now);
    return writeStatus(deps, uid);
  }
}

/** Server-side apply refuses a field that the CRD does not declare; there is no reason code for it. */
function isUndeclaredField(error: unknown): boolean {
  return errorMessage(error).includes("field not declared in schema");
}

function rememberUpstream({ crd, log }: WriteDeps, now: number): void {
  const known = crd.upstreamUntil;
  crd.upstreamUntil = now + REPROBE_MS;
  if (known > 0) return;
  log.warn(
    {},
    "the CRD of ClusterSPIFFEIDs is not this version's: their statuses have counters, but no conditions; install the chart with crds.install=true to have both",
  );
}
