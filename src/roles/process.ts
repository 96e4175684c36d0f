import type { Clock } from "../core/clock.ts";
import type { Config } from "../core/config.ts";
import { SignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";

/** What the command line hands to a role: everything that comes from outside the process. */
export interface Process {
  readonly config: Config;
  readonly version: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly readFile: (path: string) => string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** Ends the process with exit code 1 after an orderly stop. */
  fail(error: unknown): void;
}

/** A variable that the pod's manifest sets; throws FAILED_PRECONDITION when it does not. */
export function requireEnv({ env }: Process, name: string): string {
  const value = env[name];
  if (value === undefined || value === "") {
    throw new SignetError(
      "FAILED_PRECONDITION",
      `environment variable ${name} is not set; the chart sets it`,
    );
  }
  return value;
}
