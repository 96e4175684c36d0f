import type { JwtCacheEvent } from "./jwt-cache.ts";

/** What an agent counts. */
export type AgentEvent =
  | "renewed"
  | "renewal-failed"
  | "tokens-renewed"
  | "tokens-failed"
  | "written"
  | "write-failed"
  | `jwt-${JwtCacheEvent}`;
