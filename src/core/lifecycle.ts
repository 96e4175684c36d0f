import { errorMessage } from "./errors.ts";
import type { Log } from "./log.ts";

/** Something that runs until it is stopped. */
export interface Service {
  readonly name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Services that start in order and stop in the reverse order. */
export interface ServiceGroup {
  /** Starts all; when one fails, stops those already started and throws its error. */
  start(): Promise<void>;
  /** Stops all, whatever one of them throws; safe to call twice. */
  stop(): Promise<void>;
}

/** Groups `services` so that each may rely on those before it. */
export function serviceGroup(services: readonly Service[], log: Log): ServiceGroup {
  const started: Service[] = [];
  const stop = async (): Promise<void> => {
    for (let service = started.pop(); service; service = started.pop()) {
      try {
        await service.stop();
      } catch (error) {
        log.warn(
          { service: service.name, error: errorMessage(error) },
          "service did not stop cleanly",
        );
      }
    }
  };
  return {
    async start() {
      for (const service of services) {
        try {
          await service.start();
          started.push(service);
        } catch (error) {
          await stop();
          throw error;
        }
      }
    },
    stop,
  };
}
