import { SignetError } from "../core/errors.ts";
import { createX509Authority } from "./authority.ts";
import type { Journal } from "./journal.ts";
import type { JwtAlgorithm } from "./jwt-algorithm.ts";
import { createJwtAuthority } from "./jwt-authority.ts";
import type { KeyType } from "./key-pair.ts";
import {
  activateAuthority,
  decideRotation,
  prepareAuthority,
  pruneAuthorities,
} from "./rotation.ts";
import type { NewAuthority, RotationDecision, RotationPolicy } from "./rotation.ts";

/** How new authorities are made, and when they follow each other. */
export interface RotateOptions extends Pick<
  RotationPolicy,
  "pruneAfterMs" | "acknowledgedSequence"
> {
  /** Lifetime of new X.509 authorities in milliseconds. */
  readonly ttlMs: number;
  readonly keyType?: KeyType;
  /** JWT authorities; none are made when left out. */
  readonly jwt?: JwtRotateOptions;
}

export interface JwtRotateOptions {
  /** An active authority of another algorithm is succeeded as soon as the new one is known. */
  readonly algorithm: JwtAlgorithm;
  /** Lifetime of new JWT authorities in milliseconds. */
  readonly ttlMs: number;
}

/** A step that was taken. */
export type RotationStep = Exclude<RotationDecision, { action: "none" }>;

export interface RotationResult {
  /** The journal to store; the same object when nothing was due. */
  readonly journal: Journal;
  /** The steps that were taken, in order. */
  readonly steps: readonly RotationStep[];
  /** When to rotate again. */
  readonly nextAt: number;
}

/** More steps than any journal can need at once. */
const MAX_STEPS = 256;

/** Takes every step that is due at `now`, making authorities as needed; an empty journal gets its first ones. */
export async function rotateJournal(
  journal: Journal,
  now: number,
  options: RotateOptions,
): Promise<RotationResult> {
  const steps: RotationStep[] = [];
  let current = journal;
  while (steps.length < MAX_STEPS) {
    const decision = decideNext(current, now, options);
    if (decision.action === "none") return { journal: current, steps, nextAt: decision.at };
    steps.push(decision);
    current = await applyDecision(current, decision, { ...options, now });
  }
  throw new SignetError("INTERNAL", "rotation of the CA journal does not come to an end");
}

/** What is due of any kind, or when the first of them is to be asked again. */
function decideNext(journal: Journal, now: number, options: RotateOptions): RotationDecision {
  const { jwt, pruneAfterMs, acknowledgedSequence } = options;
  const policy = {
    ...(pruneAfterMs === undefined ? {} : { pruneAfterMs }),
    ...(acknowledgedSequence === undefined ? {} : { acknowledgedSequence }),
  };
  const x509 = decideRotation(journal, now, { ...policy, kind: "x509" });
  if (jwt === undefined || x509.action !== "none") return x509;
  const other = decideRotation(journal, now, {
    ...policy,
    kind: "jwt",
    isOutdated: ({ algorithm }) => algorithm !== jwt.algorithm,
  });
  return other.action !== "none" || other.at < x509.at ? other : x509;
}

async function applyDecision(
  journal: Journal,
  decision: RotationStep,
  options: RotateOptions & { now: number },
): Promise<Journal> {
  const { now } = options;
  if (decision.action === "activate") return activateAuthority(journal, decision, now);
  if (decision.action === "prune") return pruneAuthorities(journal, decision, now);
  const made =
    decision.kind === "x509" ? makeX509(journal, options) : makeJwt(options.jwt, options.now);
  return prepareAuthority(journal, await made, now);
}

async function makeX509(
  { trustDomain }: Journal,
  { now, ttlMs, keyType = "ec-p256" }: RotateOptions & { now: number },
): Promise<NewAuthority> {
  return { kind: "x509", ...(await createX509Authority({ trustDomain, keyType, ttlMs, now })) };
}

async function makeJwt(jwt: JwtRotateOptions | undefined, now: number): Promise<NewAuthority> {
  if (jwt === undefined) throw new SignetError("INTERNAL", "JWT authorities are not configured");
  return { kind: "jwt", ...(await createJwtAuthority({ ...jwt, now })) };
}
