import { once } from "node:events";
import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { KubeClient } from "../kube/client.ts";
import type { EventRecorder } from "../kube/events.ts";
import { createQueue } from "../kube/queue.ts";
import { TokenBucket } from "../kube/token-bucket.ts";
import type { KubeObject } from "../kube/types.ts";
import { SPIRE_API_VERSION } from "../api/resources.ts";
import type { CustomResourceKind, FederationStatus, RuleStatus } from "../registration/index.ts";
import type { Registry } from "./registry.ts";
import { CUSTOM_RESOURCES } from "./resource-watch.ts";
import type { StoredResource } from "./resource-watch.ts";
import { nextStatus, nextUpstreamStatus, statusObject } from "./status-object.ts";

/** Changes that come within this time are written as one. */
const GATHER_MS = 250;
/** An object is not written more often than this after its spec changed, */
const MIN_INTERVAL_MS = 1000;
/** and not more often than this while pods come and go. */
const COUNTS_INTERVAL_MS = 3000;
/** All statuses of new specs together, which somebody may be waiting for, */
const SPEC_RATE = { burst: 50, refillMs: 50 };
/** and all that only count anew: as many as after a fail-over at once, and few while pods come and go. */
const COUNTS_RATE = { burst: 200, refillMs: 200 };
const BACKOFF = { initialMs: 1000, maxMs: 60_000 };
const CONCURRENT_WRITES = 4;
/** How long a CRD without our fields is taken for unchanged. */
const REPROBE_MS = 600_000;

export interface StatusWriterDeps {
  readonly client: KubeClient;
  readonly registry: Pick<Registry, "onStatus" | "resource" | "resourceUids" | "statusOf">;
  readonly clock: Clock;
  readonly random: () => number;
  /** Tells people about an object that is no longer Ready, or is again. */
  readonly tell: EventRecorder["record"];
  readonly log: Log;
}

/** What was written last for an object. */
interface Written {
  readonly at: number;
  readonly generation: number | undefined;
}

/** The leader's part: writes what changed into the status of custom resources until `signal` aborts. */
export async function writeStatuses(deps: StatusWriterDeps, signal: AbortSignal): Promise<void> {
  const { registry, clock } = deps;
  const upstreamUntil = new Map<CustomResourceKind, number>();
  const rates = {
    spec: new TokenBucket(SPEC_RATE, clock.now()),
    counts: new TokenBucket(COUNTS_RATE, clock.now()),
  };
  const written = new Map<string, Written>();
  const queue = createQueue({
    ...deps,
    workers: CONCURRENT_WRITES,
    backoff: BACKOFF,
    async reconcile(uid, stop) {
      const requeueAfterMs = await writeStatus(
        { ...deps, upstreamUntil, rates, written, stop },
        uid,
      );
      return requeueAfterMs > 0 ? { requeueAfterMs } : undefined;
    },
  });
  const unsubscribe = registry.onStatus((uids) => {
    for (const uid of uids)
      queue.addAfter(uid, delayOf(written.get(uid), registry.resource(uid), clock.now()));
  });
  for (const uid of registry.resourceUids()) queue.add(uid);
  queue.start();
  if (!signal.aborted) await once(signal, "abort");
  unsubscribe();
  await queue.stop();
}

/** How long a write waits, so that what changes often is written seldom. */
function delayOf(
  last: Written | undefined,
  object: StoredResource | undefined,
  now: number,
): number {
  if (last === undefined) return GATHER_MS;
  const sameSpec = last.generation === object?.metadata.generation;
  const earliest = last.at + (sameSpec ? COUNTS_INTERVAL_MS : MIN_INTERVAL_MS);
  return Math.max(GATHER_MS, earliest - now);
}

interface WriteDeps extends StatusWriterDeps {
  /** Until when the installed CRD of a kind is known to be SPIRE's own, in milliseconds since the epoch. */
  readonly upstreamUntil: Map<CustomResourceKind, number>;
  readonly rates: Readonly<Record<"spec" | "counts", TokenBucket>>;
  readonly written: Map<string, Written>;
  readonly stop: AbortSignal;
}

/** Writes one status where it differs; gives the milliseconds to wait when too many are being written. */
async function writeStatus(deps: WriteDeps, uid: string): Promise<number> {
  const { registry, clock, upstreamUntil, written } = deps;
  const object = registry.resource(uid);
  const wanted = registry.statusOf(uid);
  if (object === undefined || wanted === undefined) {
    written.delete(uid);
    return 0;
  }
  const now = clock.now();
  const upstream = now < (upstreamUntil.get(object.kind) ?? 0);
  const status = upstream ? nextUpstreamStatus(wanted, object) : nextStatus(wanted, object, now);
  if (status === undefined) return 0;
  const pause = deps.rates[isNewSpec(object) ? "spec" : "counts"].take(now);
  if (pause > 0) return pause;
  try {
    await deps.client.apply<KubeObject>(
      CUSTOM_RESOURCES[object.kind],
      statusObject(object, status),
      {
        fieldManager: "signet-status",
        force: true,
        subresource: "status",
        signal: deps.stop,
      },
    );
    written.set(uid, { at: clock.now(), generation: object.metadata.generation });
    if (!upstream) tellTransition(deps.tell, object, wanted);
    return 0;
  } catch (error) {
    if (isSignetError(error, "NOT_FOUND", "CONFLICT")) return 0;
    if (upstream || !isUndeclaredField(error)) throw error;
    rememberUpstream(deps, object.kind, now);
    return writeStatus(deps, uid);
  }
}

function isNewSpec({ metadata, status }: StoredResource): boolean {
  return status?.observedGeneration !== metadata.generation;
}

/** An object that is Ready from the start is nothing to tell; one that never was says so once. */
function tellTransition(
  tell: EventRecorder["record"],
  { kind, metadata: { name, uid }, status }: StoredResource,
  { ready, reason, message }: RuleStatus | FederationStatus,
): void {
  const before = status?.conditions?.find(({ type }) => type === "Ready")?.status;
  if (before === (ready ? "True" : "False") || (before === undefined && ready)) return;
  const subject = { apiVersion: SPIRE_API_VERSION, kind, name, uid };
  tell(subject, { type: ready ? "Normal" : "Warning", reason, message });
}

/** Server-side apply refuses a field that the CRD does not declare; there is no reason code for it. */
function isUndeclaredField(error: unknown): boolean {
  return errorMessage(error).includes("field not declared in schema");
}

function rememberUpstream(
  { upstreamUntil, log }: WriteDeps,
  kind: CustomResourceKind,
  now: number,
): void {
  const known = upstreamUntil.has(kind);
  upstreamUntil.set(kind, now + REPROBE_MS);
  if (known) return;
  log.warn(
    { kind },
    "the CRD of this kind is not this version's: statuses have SPIRE's own fields, but no conditions; install the chart with crds.install=true to have both",
  );
}
