import type { Clock } from "../core/clock.ts";
import { errorMessage } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { KubeClient } from "../kube/client.ts";
import { startReflector } from "../kube/reflector.ts";
import type { Reflector } from "../kube/reflector.ts";
import { PODS } from "../kube/resources.ts";
import type { Pod } from "../kube/types.ts";
import { NO_READS, includesReads, joinReads, sameReads } from "../registration/index.ts";
import type { PodReads, RegistrationIndex } from "../registration/index.ts";
import { podProjection } from "./projection.ts";
import type { Project } from "./projection.ts";

/** How long fields stay cached after the last rule that reads them: GitOps tools delete and make anew. */
const SHRINK_AFTER_MS = 60_000;
/** Pods that are cut down in one go; between two goes other work has its turn. */
const SHRINK_STEP = 200;
const SHRINK_PAUSE_MS = 20;

export interface PodWatchDeps {
  readonly client: KubeClient;
  readonly index: RegistrationIndex;
  /** Hears of each pod that is gone or on its way out. */
  readonly tellEnding: (podUid: string) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

interface Waiting {
  readonly reads: PodReads;
  readonly act: () => void;
}

/**
 * Keeps the index's pods equal to the cluster's, each cut down to what rules read. When a rule reads more, all pods
 * are listed again, once, with the wider cut.
 */
export class PodWatch {
  readonly #deps: PodWatchDeps;
  readonly #first = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  /** What the rules known so far read. */
  #wanted: PodReads = NO_READS;
  /** What objects are cut down to from now on. */
  #reads: PodReads = NO_READS;
  #project: Project<Pod> = podProjection(NO_READS);
  /** What is there of every cached pod; undefined before the first list. */
  #listed: PodReads | undefined;
  #waiting: Waiting[] = [];
  #reflector: Reflector | undefined;
  #changing: Promise<void> = Promise.resolve();
  #shrinking: { readonly to: PodReads; readonly cancel: AbortController } | undefined;
  /** UIDs of the pods that stay: a new list does not name those that went while nobody watched. */
  #staying = new Set<string>();

  constructor(deps: PodWatchDeps) {
    this.#deps = deps;
    this.#first.promise.catch(() => undefined);
  }

  /** Resolves with the first complete list. */
  get synced(): Promise<void> {
    return this.#first.promise;
  }

  /** Begins to list and watch; what was wanted before is in the first list. */
  start(): void {
    this.#restart();
  }

  /** Whether every cached pod has what `reads` names. */
  has(reads: PodReads): boolean {
    return includesReads(this.#listed ?? NO_READS, reads);
  }

  /** Calls `act` once every cached pod has what `reads` names: at once when they have it. */
  ensure(reads: PodReads, act: () => void): void {
    this.#wanted = joinReads(this.#wanted, reads);
    if (this.has(reads)) {
      act();
      return;
    }
    this.#waiting.push({ reads, act });
    const under = this.#reflector !== undefined;
    if (under && !includesReads(this.#reads, this.#wanted)) this.#restart();
  }

  /** Says that rules read no more than this; the rest is dropped after a while. */
  release(reads: PodReads): void {
    this.#wanted = reads;
    if (this.#shrinking && sameReads(this.#shrinking.to, reads)) return;
    this.#shrinking?.cancel.abort();
    this.#shrinking = undefined;
    if (includesReads(reads, this.#reads)) return;
    const cancel = new AbortController();
    this.#shrinking = { to: reads, cancel };
    const signal = AbortSignal.any([cancel.signal, this.#stop.signal]);
    this.#shrink(reads, signal).catch((error: unknown) => {
      if (!signal.aborted)
        this.#deps.log.error({ error: errorMessage(error) }, "pods not cut down");
    });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#changing;
    await this.#reflector?.stop();
    this.#first.reject(new Error("stopped"));
  }

  /** The former watch ends before the list begins: a list may be older than what a watch has told. */
  #restart(): void {
    this.#changing = this.#changing.then(async () => {
      if (this.#stop.signal.aborted) return;
      if (this.#reflector && includesReads(this.#reads, this.#wanted)) return;
      await this.#reflector?.stop();
      this.#setReads(this.#wanted);
      this.#reflector = this.#watch();
      this.#reflector.synced.then(
        () => this.#first.resolve(),
        () => undefined,
      );
    });
  }

  #setReads(reads: PodReads): void {
    this.#reads = reads;
    this.#project = podProjection(reads);
  }

  #watch(): Reflector {
    const { client, clock, log, random } = this.#deps;
    const reads = this.#reads;
    return startReflector<Pod>({
      ...{ client, clock, log, random },
      resource: PODS,
      project: (pod) => this.#project(pod),
      handler: {
        replace: (pods) => this.#replace(pods, reads),
        apply: (pod) => this.#apply(pod),
        remove: (pod) => this.#remove(pod),
      },
    });
  }

  #replace(pods: readonly Pod[], reads: PodReads): void {
    const { index, tellEnding } = this.#deps;
    // Meanwhile less may be wanted, but what was listed is there.
    this.#listed = reads;
    const ready = this.#waiting.filter((waiting) => includesReads(reads, waiting.reads));
    this.#waiting = this.#waiting.filter((waiting) => !ready.includes(waiting));
    index.batch(() => {
      index.replacePods(pods);
      for (const { act } of ready) act();
    });
    const before = this.#staying;
    this.#staying = new Set(pods.filter(stays).map((pod) => pod.metadata.uid));
    for (const uid of before) if (!this.#staying.has(uid)) tellEnding(uid);
  }

  #apply(pod: Pod): void {
    this.#deps.index.applyPod(pod);
    if (stays(pod)) this.#staying.add(pod.metadata.uid);
    else this.#end(pod);
  }

  #remove(pod: Pod): void {
    this.#deps.index.removePod(pod);
    this.#end(pod);
  }

  #end({ metadata: { uid } }: Pod): void {
    this.#staying.delete(uid);
    this.#deps.tellEnding(uid);
  }

  async #shrink(reads: PodReads, signal: AbortSignal): Promise<void> {
    const { clock, index } = this.#deps;
    await clock.sleep(SHRINK_AFTER_MS, signal);
    await this.#changing;
    signal.throwIfAborted();
    this.#shrinking = undefined;
    this.#setReads(reads);
    this.#listed = reads;
    const uids = index.podUids();
    for (let at = 0; at < uids.length; at += SHRINK_STEP) {
      index.batch(() => {
        for (const uid of uids.slice(at, at + SHRINK_STEP)) {
          const pod = index.pod(uid);
          if (pod) index.applyPod(this.#project(pod as Pod));
        }
      });
      await clock.sleep(SHRINK_PAUSE_MS, signal);
    }
  }
}

function stays(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp === undefined;
}
