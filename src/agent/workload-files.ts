import { REWRITE_RETRY_MS } from "./schedule.ts";
import type { Scheduled } from "./schedule.ts";
import { expiry } from "./workload.ts";
import type { Workload } from "./workload.ts";

/** A write begins: what changes from here on asks for another one. */
export function beingWritten(workload: Workload): Workload {
  return { ...workload, writeAt: Infinity };
}

/** A write ended well. */
export function written(workload: Workload): Workload {
  return workload.failedWrites === 0 ? workload : { ...workload, failedWrites: 0 };
}

/** A write failed: it is tried again, however often. */
export function unwritten(workload: Workload, now: number): Workload {
  const writeAt = Math.min(workload.writeAt, now + REWRITE_RETRY_MS);
  return { ...workload, writeAt, failedWrites: workload.failedWrites + 1 };
}

/** A workload as the scheduler of writes sees it. */
export function scheduledWrite(workload: Workload): Scheduled {
  return { dueAt: workload.writeAt, expiresAt: expiry(workload) };
}
