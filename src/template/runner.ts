import type { AnyNode, ArgumentNode } from "./ast.ts";
import type { Budget } from "./budget.ts";
import type { GoType } from "./types.ts";
import type { Maybe } from "./value.ts";

/** Stands for "no previous stage in this pipeline", which is not the same as no value. */
export const MISSING = Symbol("missing");
export type Final = Maybe | typeof MISSING;

/** What a command gives to its first word. */
export interface Arguments {
  readonly nodes: readonly ArgumentNode[];
  /** What comes through the pipeline. */
  readonly final: Final;
  readonly dot: Maybe;
}

/** A parameter: "value" takes anything as it is, "any" as an interface, else a type of Go. */
export type Parameter = "value" | "any" | GoType;

/** What the parts of the evaluator need of the running template. */
export interface Runner {
  readonly budget: Budget;
  /** Throws SignetError TEMPLATE_EXEC at the node that runs now. */
  fail(reason: string): never;
  /** Fails unless the number of arguments fits, in the words of Go. */
  checkCount(name: string, given: Arguments, want: { fixed: number; variadic: boolean }): void;
  /** Evaluates an argument for a parameter; undefined = the receiver of a chain. */
  argument(dot: Maybe, parameter: Parameter | undefined, node: ArgumentNode): Maybe;
  /** Runs a function; what it refuses is reported at `node`. */
  guard(name: string, node: AnyNode, run: () => Maybe): Maybe;
}
