import { errorMessage } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { WorkloadSockets } from "./ports.ts";
import type { VolumeSpec } from "./request.ts";

/** The Workload API sockets of the node's volumes; callers hold the volume's lock. */
export interface VolumeSockets {
  /** Shows the socket of a volume that is being published. Throws what WorkloadSockets.open throws. */
  open(volume: VolumeSpec): Promise<void>;
  /** Shows the socket of a volume that lives already, again if need be; a failure is logged, once until it ends. */
  keep(volume: VolumeSpec): Promise<void>;
  /** Ends the socket. Never throws: nothing may hold up the end of a volume. */
  close(volumeId: string): Promise<void>;
  /** Whether the volume's socket is or should be shown. */
  has(volumeId: string): boolean;
  /** Whether the volume should have a socket that could not be shown. */
  isMissing(volumeId: string): boolean;
}

/** Makes the keeper of a node's sockets. */
export function createVolumeSockets(sockets: WorkloadSockets, log: Log): VolumeSockets {
  const shown = new Map<string, boolean>();
  const open = async ({ id, target }: VolumeSpec): Promise<void> => {
    await sockets.open(id, target);
    shown.set(id, true);
  };
  return {
    open,
    async keep(volume) {
      const { id, pod } = volume;
      const fields = { volume: id, pod: pod.name };
      const failed = shown.get(id) === false;
      try {
        await open(volume);
        if (failed) log.info(fields, "Workload API socket is there again");
      } catch (error) {
        shown.set(id, false);
        if (failed) return;
        log.error(
          { ...fields, error: errorMessage(error) },
          "Workload API socket could not be opened; it is tried again",
        );
      }
    },
    async close(id) {
      shown.delete(id);
      await sockets.close(id).catch((error: unknown) => {
        log.warn({ volume: id, error: errorMessage(error) }, "Workload API socket was not closed");
      });
    },
    has: (id) => shown.has(id),
    isMissing: (id) => shown.get(id) === false,
  };
}
