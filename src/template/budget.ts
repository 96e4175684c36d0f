import { SignetError } from "../core/errors.ts";
import type { Limits } from "./limits.ts";

/** What one rendering has left; throws SignetError TEMPLATE_EXEC when it is used up. */
export class Budget {
  readonly limits: Limits;
  #steps: number;
  #bytes: number;

  constructor(limits: Limits) {
    this.limits = limits;
    this.#steps = limits.steps;
    this.#bytes = limits.workBytes;
  }

  /** Counts one evaluated node. */
  step(): void {
    if (--this.#steps < 0) throw exceeded(`takes more than ${this.limits.steps} steps`);
  }

  /** Counts bytes of text about to be made. */
  spend(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#bytes < 0) throw exceeded(`makes more than ${this.limits.workBytes} bytes of text`);
  }
}

export function exceeded(what: string): SignetError {
  return new SignetError("TEMPLATE_EXEC", `the template ${what}`, {
    details: { reason: what, limit: true },
  });
}

/** Something Go can do that Signet does not (or that differs from run to run in Go). */
export function unsupported(what: string): SignetError {
  return new SignetError("TEMPLATE_EXEC", `${what} is not supported`, {
    details: { reason: `${what} is not supported`, unsupported: true },
  });
}
