import type { Clock } from "../core/clock.ts";
import { errorMessage, isSignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { IdentitySink } from "../csi/ports.ts";
import type { AgentEvent } from "./events.ts";
import { volumeNames } from "./node-state.ts";
import type { NodeState } from "./node-state.ts";
import type { Worker } from "./renewer.ts";
import { beingWritten, unwritten, written } from "./workload-files.ts";

export interface FileWriterOptions {
  readonly state: NodeState;
  readonly sink: () => IdentitySink;
  readonly clock: Clock;
  readonly log: Log;
  readonly count: (event: AgentEvent) => void;
}

/** Makes what brings the files of a volume up to what its workload holds; a volume that is gone is forgotten. */
export function fileWriter({ state, sink, clock, log, count }: FileWriterOptions): Worker {
  return async (item) => {
    const { volume, held } = item.workload;
    state.change([item], beingWritten);
    try {
      await (held ? sink().write(volume.id, held) : sink().clear(volume.id));
      count("written");
      if (state.holds(item)) state.change([item], written);
    } catch (error) {
      if (!state.holds(item)) return;
      if (isSignetError(error, "NOT_FOUND")) return state.forget(volume.id);
      count("write-failed");
      log.warn({ ...volumeNames(item), error: errorMessage(error) }, "volume was not written");
      state.change([item], (workload) => unwritten(workload, clock.now()));
    }
  };
}
