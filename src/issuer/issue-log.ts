import type { IssueFailure, IssueRecords, Issued, PodIssues } from "../inspect/ports.ts";
import type { EntryRegistry } from "./ports.ts";

/** Remembers, for each pod, the last SVIDs that were issued and the last call that failed. */
export interface IssueLog extends IssueRecords {
  recordIssued(podUid: string, issued: Issued): void;
  recordFailure(podUid: string, failure: IssueFailure): void;
  /** How many pods are remembered. */
  readonly size: number;
  /** Stops following the registry. */
  close(): void;
}

/** As many pods as one cluster is designed for; about 200 bytes each. */
const MOST_PODS = 100_000;
const MOST_MESSAGE_CHARS = 1024;

/** Makes a log that forgets a pod when it ends, and beyond `mostPods` the one it heard of longest ago. */
export function createIssueLog(
  registry: Pick<EntryRegistry, "subscribe">,
  mostPods = MOST_PODS,
): IssueLog {
  const pods = new Map<string, PodIssues>();
  const unsubscribe = registry.subscribe({
    podEnding: (podUid) => void pods.delete(podUid),
  });
  const record = (podUid: string, news: PodIssues): void => {
    const known = pods.get(podUid);
    pods.delete(podUid);
    pods.set(podUid, { ...known, ...news });
    if (pods.size <= mostPods) return;
    for (const oldest of pods.keys()) {
      pods.delete(oldest);
      break;
    }
  };
  return {
    recordIssued: (podUid, issued) =>
      record(podUid, issued.by === "issueJwt" ? { issuedJwt: issued } : { issued }),
    recordFailure: (podUid, failure) =>
      record(podUid, {
        failed: { ...failure, message: failure.message.slice(0, MOST_MESSAGE_CHARS) },
      }),
    of: (podUid) => pods.get(podUid) ?? {},
    get size() {
      return pods.size;
    },
    close: unsubscribe,
  };
}
