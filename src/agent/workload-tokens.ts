import type { FileToken } from "../csi/ports.ts";
import { deniedDelay, retryDelay } from "./schedule.ts";
import type { Scheduled } from "./schedule.ts";
import { nextTokensDue, tokensExpiry } from "./token-schedule.ts";
import { expiry } from "./workload.ts";
import type { Moment, Workload } from "./workload.ts";

/** What came of asking for the tokens of a volume. */
export interface TokenOutcome {
  /** Those that came, by audience. */
  readonly tokens: readonly FileToken[];
  /** Why others did not; undefined when all came. */
  readonly failure: "failing" | "denied" | undefined;
}

/**
 * Takes new tokens in, in the order of the volume's audiences. For an audience without a new one the old one stays,
 * also when it has expired: a file that is missing breaks more than one that is refused.
 */
export function withTokens(
  workload: Workload,
  { tokens, failure }: TokenOutcome,
  { now, random }: Moment,
): Workload {
  const { held, volume } = workload;
  if (!held || workload.trouble === "no-identity") return workload;
  const next = taken(workload, tokens, now);
  if (failure === undefined) {
    const identity = next.held ?? held;
    return { ...next, tokenAttempt: 0, tokensAt: nextTokensDue(identity, { volume, now, random }) };
  }
  const remaining = tokensExpiry(held.tokens) - now;
  const delay =
    failure === "denied"
      ? deniedDelay(remaining, random)
      : retryDelay(workload.tokenAttempt, remaining, random);
  return { ...next, tokensAt: now + delay, tokenAttempt: workload.tokenAttempt + 1 };
}

function taken(workload: Workload, tokens: readonly FileToken[], now: number): Workload {
  const { held, volume } = workload;
  if (!held || tokens.length === 0) return workload;
  const merged = volume.jwtAudiences.flatMap((audience) => {
    const isFor = (token: FileToken): boolean => token.audience === audience;
    return tokens.find(isFor) ?? held.tokens.find(isFor) ?? [];
  });
  return { ...workload, held: { ...held, tokens: merged }, writeAt: now };
}

/** A workload as the scheduler of tokens sees it. */
export function scheduledTokens(workload: Workload): Scheduled {
  const tokens = workload.held?.tokens ?? [];
  const expiresAt = tokens.length > 0 ? tokensExpiry(tokens) : expiry(workload);
  return { dueAt: workload.tokensAt, expiresAt };
}
