import type { z } from "zod";
import { parseTtlSeconds } from "../api/duration.ts";
import { SignetError, errorMessage } from "../core/errors.ts";
import { isMemberOf, parseSpiffeId } from "../spiffe/id.ts";
import type { SpiffeId } from "../spiffe/id.ts";
import { isReserved } from "../spiffe/reserved.ts";
import { parseTrustDomain } from "../spiffe/trust-domain.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";
import type { InvalidReason } from "./rule.ts";
import type { SpecProblem } from "./types.ts";

/** Of `federatesWith`. */
export const MOST_TRUST_DOMAINS = 1000;
/** Enough to mend a spec by; a hostile one could have thousands. */
const MOST_PROBLEMS = 20;

/** Gathers what is wrong with a spec, field by field, so that its author hears of all at once. */
export class SpecCheck {
  readonly problems: SpecProblem[] = [];

  refuse(reason: InvalidReason, field: string, problem: string): void {
    if (this.problems.length >= MOST_PROBLEMS) return;
    const message = problem.startsWith(field) ? problem : `${field}: ${problem}`;
    this.problems.push({ reason, field, message });
  }

  /** What `compile` gives; when it throws, the problem is noted and the result is undefined. */
  attempt<T>(reason: InvalidReason, field: string, compile: () => T): T | undefined {
    try {
      return compile();
    } catch (error) {
      const named = error instanceof SignetError ? error.details["field"] : undefined;
      this.refuse(reason, typeof named === "string" ? named : field, errorMessage(error));
      return undefined;
    }
  }

  /** The spec as its schema reads it, or undefined. */
  parse<T>(schema: z.ZodType<T>, spec: unknown): T | undefined {
    const result = schema.safeParse(spec);
    if (result.success) return result.data;
    for (const issue of result.error.issues) {
      this.refuse("InvalidSpec", fieldPath(issue.path), issue.message);
    }
    return undefined;
  }

  /** Seconds; 0 when left out. */
  ttl(text: string | undefined, field: string): number {
    if (text === undefined) return 0;
    return this.attempt("InvalidDuration", field, () => parseTtlSeconds(text)) ?? 0;
  }

  /** Each name once, in their order. */
  trustDomains(names: readonly string[] = [], field = "spec.federatesWith"): string[] {
    const parsed = names.flatMap((name, at) => {
      const parse = (): string[] => [parseTrustDomain(name)];
      return this.attempt("InvalidTrustDomain", `${field}[${at}]`, parse) ?? [];
    });
    return [...new Set(parsed)];
  }

  /** Notes a list that is longer than anyone needs; tells whether it may be looked at. */
  bounded(list: readonly unknown[] | undefined, most: number, field: string): boolean {
    if ((list?.length ?? 0) <= most) return true;
    this.refuse("InvalidSpec", field, `at most ${most} are allowed`);
    return false;
  }
}

/** Parses a SPIFFE ID that a node of the trust domain may have. Throws INVALID_SPIFFE_ID or INVALID_SPEC. */
export function parseMemberId(text: string, trustDomain: TrustDomain): SpiffeId {
  const id = parseSpiffeId(text);
  const problem = memberProblem(id, trustDomain);
  if (problem !== undefined) throw new SignetError("INVALID_SPEC", problem);
  return id;
}

/**
 * Parses a SPIFFE ID that a workload or an alias may have: not one that SPIRE's server and agents trust each
 * other by, which SPIRE refuses as well. Throws INVALID_SPIFFE_ID or INVALID_SPEC.
 */
export function parseWorkloadId(text: string, trustDomain: TrustDomain): SpiffeId {
  const id = parseMemberId(text, trustDomain);
  if (id.path !== "/spire" && !id.path.startsWith("/spire/")) return id;
  const problem = `${JSON.stringify(id.uri)} is reserved: IDs below /spire are those of SPIRE's server and agents`;
  throw new SignetError("INVALID_SPEC", problem);
}

function memberProblem(id: SpiffeId, trustDomain: TrustDomain): string | undefined {
  const text = JSON.stringify(id.uri);
  if (!isMemberOf(id, trustDomain)) {
    return `${text} is not in the trust domain ${JSON.stringify(trustDomain)}`;
  }
  if (id.path === "") return `a workload's SPIFFE ID needs a path: ${text}`;
  return isReserved(id) ? `${text} is reserved: IDs below /signet are Signet's own` : undefined;
}

/** `spec.selectors[0]`: as Kubernetes writes paths. */
function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) => (typeof part === "number" ? `${text}[${part}]` : `${text}.${String(part)}`),
    "spec",
  );
}
