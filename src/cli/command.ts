import type { SourceKind } from "../registration/types.ts";

/** How to reach the operator. */
export interface Connection {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly signetNamespace: string;
  readonly operatorSelector: string;
  readonly inspectPort: number;
}

export type Output = "table" | "wide" | "json" | "yaml";

export const TOPICS = ["explain", "render", "entries", "version"] as const;
export type Topic = (typeof TOPICS)[number];

/** What all commands that ask the operator have. */
export interface Asking {
  readonly output: Output;
  readonly connection: Connection;
}

export interface ExplainPod extends Asking {
  readonly run: "explain-pod";
  /** The context's namespace when left out. */
  readonly namespace?: string;
  readonly name: string;
}

export interface ExplainRule extends Asking {
  readonly run: "explain-rule";
  readonly kind: SourceKind;
  readonly name: string;
  /** How many of its pods are shown. */
  readonly pods: number;
}

export interface Render extends Asking {
  readonly run: "render";
  /** `-` is standard input. */
  readonly file: string;
}

export interface ListEntries extends Asking {
  readonly run: "entries";
  readonly namespace?: string;
  readonly node?: string;
  /** `NAME` or `KIND/NAME`. */
  readonly source?: string;
}

export interface ShowVersion extends Asking {
  readonly run: "version";
  /** Of this program alone. */
  readonly client: boolean;
}

export interface ShowHelp {
  readonly run: "help";
  readonly topic?: Topic;
}

export type Command = ExplainPod | ExplainRule | Render | ListEntries | ShowVersion | ShowHelp;
