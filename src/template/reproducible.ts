import { SignetError } from "../core/errors.ts";
import { Addresses } from "./addresses.ts";
import { Budget } from "./budget.ts";
import { execute } from "./exec.ts";
import type { Program } from "./exec.ts";
import type { Limits } from "./limits.ts";
import type { Value } from "./value.ts";

interface Attempt {
  readonly output?: string;
  readonly error?: SignetError;
}

/**
 * Executes a program; a result that would differ from run to run in Go, because it shows the
 * address of a pointer, is refused. An address that makes no difference to it is fine.
 * Throws SignetError TEMPLATE_EXEC as `execute` does.
 */
export function executeReproducibly(program: Program, data: () => Value, limits: Limits): string {
  const budget = new Budget(limits, new Addresses("up"));
  const first = attempt(program, data(), budget);
  if (budget.addresses.used && !isAtLimit(first)) {
    // All executions together stay within the limits of one.
    const next = budget.again(new Addresses("down"));
    const second = attempt(program, data(), next);
    if (isAtLimit(second)) throw second.error;
    if (!areSame(first, second)) {
      return execute(program, data(), next.again(new Addresses("refused")));
    }
  }
  if (first.output === undefined) throw first.error;
  return first.output;
}

function attempt(program: Program, data: Value, budget: Budget): Attempt {
  try {
    return { output: execute(program, data, budget) };
  } catch (error) {
    if (!(error instanceof SignetError)) throw error;
    return { error };
  }
}

function isAtLimit({ error }: Attempt): boolean {
  return error?.details["limit"] === true;
}

/** Errors count as the same when they are at the same place, even when they show an address. */
function areSame(a: Attempt, b: Attempt): boolean {
  if (a.error === undefined || b.error === undefined) return a.output === b.output;
  const parts = ["line", "column", "node", "template", "limit"];
  const [one, other] = [a.error.details, b.error.details];
  return parts.every((part) => one[part] === other[part]);
}
