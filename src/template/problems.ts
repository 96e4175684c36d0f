import type { AnyNode } from "./ast.ts";
import { formatNode } from "./ast.ts";
import { fromBytes } from "./bytes.ts";
import { positionAt } from "./failure.ts";

/** Something that will fail when this part of the template runs; Go finds it only then. */
export interface Problem {
  readonly line: number;
  readonly column: number;
  /** The offending text. */
  readonly node: string;
  /** In Go's words. */
  readonly reason: string;
  /**
   * Whether no rendering can succeed: every one comes here, as no condition, loop or short-circuit
   * decides, and fails whatever the data is.
   */
  readonly certain: boolean;
}

const MOST_PROBLEMS = 20;

/** The problems of one template, each place and reason once. */
export class Problems {
  readonly #text: string;
  readonly #found = new Map<string, Problem>();

  constructor(text: string) {
    this.#text = text;
  }

  /** A problem that was certain once remains so; certain ones are kept before all others. */
  add(node: AnyNode, reason: string, certain: boolean): void {
    const position = positionAt(this.#text, node.pos);
    const problem = { ...position, node: fromBytes(formatNode(node)), reason: fromBytes(reason) };
    const key = JSON.stringify(problem);
    const known = this.#found.get(key);
    if (known === undefined && this.#found.size >= (certain ? 2 : 1) * MOST_PROBLEMS) return;
    this.#found.set(key, { ...problem, certain: certain || known?.certain === true });
  }

  get all(): Problem[] {
    return [...this.#found.values()];
  }
}
