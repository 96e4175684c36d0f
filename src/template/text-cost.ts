import type { Budget } from "./budget.ts";
import type { Maybe, Slice } from "./value.ts";

/** The bytes of a string or slice, which a long one takes time to handle; 0 for all others. */
export function lengthOfText(value: Maybe): number {
  if (value?.type.kind === "string") return (value.raw as string).length;
  return value?.type.kind === "slice" ? ((value.raw as Slice | undefined)?.length ?? 0) : 0;
}

/** Counts a string that is read or compared. */
export function scanText(value: Maybe, budget: Budget): void {
  if (value?.type.kind === "string") budget.scan((value.raw as string).length);
}
