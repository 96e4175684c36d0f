import { parseArgs } from "node:util";
import { errorMessage, SignetError } from "../core/errors.ts";
import type { Asking, Connection, Output, Topic } from "./command.ts";

const OPTIONS = {
  kubeconfig: { type: "string" },
  context: { type: "string" },
  "signet-namespace": { type: "string" },
  "operator-selector": { type: "string" },
  "inspect-port": { type: "string" },
  output: { type: "string", short: "o" },
  namespace: { type: "string", short: "n" },
  node: { type: "string" },
  source: { type: "string" },
  filename: { type: "string", short: "f" },
  pods: { type: "string" },
  client: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

type OptionName = keyof typeof OPTIONS;
type TextOption = Exclude<OptionName, "client" | "help">;

/** The options that were given. */
export interface Options {
  /** Undefined when it was not given. Throws INVALID_ARGUMENT when it was given without content. */
  text(name: TextOption): string | undefined;
  has(name: OptionName): boolean;
}

export interface Arguments {
  readonly options: Options;
  readonly words: readonly string[];
}

const EVERYWHERE: readonly OptionName[] = [
  "kubeconfig",
  "context",
  "signet-namespace",
  "operator-selector",
  "inspect-port",
  "output",
  "help",
];
const OWN: Readonly<Record<Topic, readonly OptionName[]>> = {
  explain: ["namespace", "pods"],
  render: ["filename"],
  entries: ["namespace", "node", "source"],
  version: ["client"],
};

const DEFAULT_NAMESPACE = "signet-system";
const DEFAULT_SELECTOR = "app.kubernetes.io/name=signet,app.kubernetes.io/component=operator";
const DEFAULT_PORT = 8090;
const OUTPUTS = ["wide", "json", "yaml"] as const;

/** Takes options and words apart. Throws INVALID_ARGUMENT for an unknown option. */
export function readArguments(args: readonly string[]): Arguments {
  const { values, positionals } = parse(args);
  return {
    words: positionals,
    options: {
      has: (name) => values[name] !== undefined,
      text(name) {
        // `-o=json` is how many people write it.
        const value = values[name]?.replace(/^=/, "");
        if (value === "") throw usage(`--${name} is empty`);
        return value;
      },
    },
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options: OPTIONS });
  } catch (error) {
    throw new SignetError("INVALID_ARGUMENT", errorMessage(error), { cause: error });
  }
}

/** Throws INVALID_ARGUMENT when an option was given that means nothing here. */
export function refuseForeign(topic: Topic, options: Options): void {
  const allowed = new Set([...EVERYWHERE, ...OWN[topic]]);
  const names = Object.keys(OPTIONS) as OptionName[];
  const foreign = names.find((name) => options.has(name) && !allowed.has(name));
  if (foreign !== undefined) throw usage(`${topic} does not take --${foreign}`);
}

/** The options that every command takes; `outputs` are the formats that this one knows. */
export function readAsking(
  options: Options,
  outputs: readonly Output[] = ["json", "yaml"],
): Asking {
  return { output: readOutput(options, outputs), connection: readConnection(options) };
}

function readOutput(options: Options, outputs: readonly Output[]): Output {
  const text = options.text("output");
  if (text === undefined) return "table";
  const output = OUTPUTS.find((known) => known === text && outputs.includes(known));
  if (output === undefined) throw usage(`--output is one of ${outputs.join(", ")}, not "${text}"`);
  return output;
}

function readConnection(options: Options): Connection {
  const kubeconfig = options.text("kubeconfig");
  const context = options.text("context");
  return {
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
    signetNamespace: options.text("signet-namespace") ?? DEFAULT_NAMESPACE,
    operatorSelector: options.text("operator-selector") ?? DEFAULT_SELECTOR,
    inspectPort: readNumber(options, "inspect-port", { least: 1, most: 65_535 }) ?? DEFAULT_PORT,
  };
}

/** Undefined when it was not given. Throws INVALID_ARGUMENT when it is no whole number within the limits. */
export function readNumber(
  options: Options,
  name: TextOption,
  { least, most }: { readonly least: number; readonly most: number },
): number | undefined {
  const text = options.text(name);
  if (text === undefined) return undefined;
  const number = /^\d+$/.test(text) ? Number(text) : NaN;
  if (number >= least && number <= most) return number;
  throw usage(`--${name} is a number from ${least} to ${most}, not "${text}"`);
}

export function usage(problem: string): SignetError {
  return new SignetError("INVALID_ARGUMENT", problem);
}
