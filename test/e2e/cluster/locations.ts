import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";

/** Folders the harness uses; everything it downloads or builds is below `cache`, outside the clone. */
export interface Locations {
  readonly cache: string;
  readonly steps: string;
  readonly locks: string;
  readonly logs: string;
  readonly clusters: string;
  /** Data root of our own Docker engine. */
  readonly engineData: string;
  /** Sockets and pid files of our own Docker engine: short, because a socket path holds 107 bytes. */
  readonly engineRun: string;
}

/** Computes the folders from the environment: `SIGNET_CACHE`, else `XDG_CACHE_HOME`, else `~/.cache`. */
export function locations(env: Readonly<Record<string, string | undefined>>): Locations {
  const cache =
    env["SIGNET_CACHE"] ?? join(env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "signet");
  const id = createHash("sha256").update(cache).digest("hex").slice(0, 8);
  return {
    cache,
    steps: join(cache, "steps"),
    locks: join(cache, "locks"),
    logs: join(cache, "logs"),
    clusters: join(cache, "clusters"),
    engineData: join(cache, "docker"),
    engineRun: `/run/signet-${id}`,
  };
}
