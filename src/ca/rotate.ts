import { SignetError } from "../core/errors.ts";
import { createX509Authority } from "./authority.ts";
import type { Journal } from "./journal.ts";
import type { KeyType } from "./key-pair.ts";
import {
  activateAuthority,
  decideRotation,
  prepareAuthority,
  pruneAuthorities,
} from "./rotation.ts";
import type { RotationDecision, RotationPolicy } from "./rotation.ts";

export interface RotateOptions extends RotationPolicy {
  /** Lifetime of new authorities in milliseconds. */
  readonly ttlMs: number;
  readonly keyType?: KeyType;
}

export interface RotationResult {
  /** The journal to store; the same object when nothing was due. */
  readonly journal: Journal;
  /** The steps that were taken, in order. */
  readonly steps: readonly RotationDecision[];
  /** When to rotate again. */
  readonly nextAt: number;
}

/** More steps than any journal can need at once. */
const MAX_STEPS = 256;

/** Takes every step that is due at `now`, making self-signed authorities as needed; an empty journal gets its first. */
export async function rotateJournal(
  journal: Journal,
  now: number,
  options: RotateOptions,
): Promise<RotationResult> {
  const steps: RotationDecision[] = [];
  let current = journal;
  while (steps.length < MAX_STEPS) {
    const decision = decideRotation(current, now, options);
    if (decision.action === "none") return { journal: current, steps, nextAt: decision.at };
    steps.push(decision);
    current = await applyDecision(current, decision, { ...options, now });
  }
  throw new SignetError("INTERNAL", "rotation of the CA journal does not come to an end");
}

async function applyDecision(
  journal: Journal,
  decision: Exclude<RotationDecision, { action: "none" }>,
  { now, ttlMs, keyType = "ec-p256" }: RotateOptions & { now: number },
): Promise<Journal> {
  if (decision.action === "activate") return activateAuthority(journal, decision.id, now);
  if (decision.action === "prune") return pruneAuthorities(journal, decision.ids, now);
  const { trustDomain } = journal;
  return prepareAuthority(
    journal,
    await createX509Authority({ trustDomain, keyType, ttlMs, now }),
    now,
  );
}
