/** The bounds that keep any template from stalling or blowing up the operator. */
export interface Limits {
  /** Longest template, in bytes. */
  readonly templateBytes: number;
  /** Longest rendered text, in bytes. */
  readonly outputBytes: number;
  /** Bytes that all values made while rendering may have together. */
  readonly workBytes: number;
  /** Nodes that one rendering may evaluate. */
  readonly steps: number;
  /** Nested parentheses and blocks in a template. */
  readonly nesting: number;
  /** Nested blocks, parentheses and template calls while rendering. */
  readonly depth: number;
}

export const DEFAULT_LIMITS: Limits = {
  templateBytes: 32_768,
  outputBytes: 65_536,
  workBytes: 4_194_304,
  steps: 30_000,
  nesting: 250,
  depth: 1_000,
};
