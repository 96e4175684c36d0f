import type { Clock } from "../core/clock.ts";
import type { WorkloadSource, WorkloadState } from "../workload-api/ports.ts";
import type { Workload } from "./workload.ts";
import { viewOf } from "./workload-view.ts";
import type { View } from "./workload-view.ts";

export interface SourcesOptions {
  /** A volume as it is looked after now. */
  readonly workloadOf: (volumeId: string) => Workload | undefined;
  readonly fetchJwtSvids: (
    volumeId: string,
    request: Parameters<WorkloadSource["fetchJwtSvids"]>[0],
  ) => ReturnType<WorkloadSource["fetchJwtSvids"]>;
  readonly clock: Clock;
}

/** The workloads of a node as their Workload APIs see them. */
export interface Sources {
  /** The source of a volume, which may be known later or come again. */
  of(volumeId: string): WorkloadSource;
  /** Tells those who follow these volumes. */
  changed(volumeIds: readonly string[]): void;
}

interface Followed {
  readonly listeners: Set<() => void>;
  view: View | undefined;
  /** What the listeners were told of last. */
  told: WorkloadState | undefined;
}

/** Makes the sources of a node's volumes; what nobody follows takes no memory. */
export function workloadSources({ workloadOf, fetchJwtSvids, clock }: SourcesOptions): Sources {
  const followed = new Map<string, Set<Followed>>();
  const look = (volumeId: string, before: View | undefined): View =>
    viewOf(workloadOf(volumeId), before, clock.now());
  const follow = (volumeId: string, own: Followed): void => {
    followed.set(volumeId, (followed.get(volumeId) ?? new Set()).add(own));
  };
  const unfollow = (volumeId: string, own: Followed): void => {
    const all = followed.get(volumeId);
    all?.delete(own);
    if (all?.size === 0) followed.delete(volumeId);
  };
  return {
    of(volumeId) {
      const own: Followed = { listeners: new Set(), view: undefined, told: undefined };
      const current = (): WorkloadState => (own.view = look(volumeId, own.view)).state;
      return {
        current,
        subscribe(listener) {
          if (own.listeners.size === 0) own.told = current();
          own.listeners.add(listener);
          follow(volumeId, own);
          return () => {
            own.listeners.delete(listener);
            if (own.listeners.size === 0) unfollow(volumeId, own);
          };
        },
        fetchJwtSvids: (request) => fetchJwtSvids(volumeId, request),
      };
    },
    changed(volumeIds) {
      for (const volumeId of volumeIds) {
        for (const own of followed.get(volumeId) ?? []) {
          own.view = look(volumeId, own.view);
          if (own.view.state === own.told) continue;
          own.told = own.view.state;
          for (const listener of own.listeners) listener();
        }
      }
    },
  };
}
