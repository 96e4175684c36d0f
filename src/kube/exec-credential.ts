import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { SignetError } from "../core/errors.ts";
import { execInfo, parseCredential } from "./exec-plugin.ts";
import type { Credential, ExecPlugin } from "./exec-plugin.ts";

export interface ExecEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether a person sits at standard input and nothing else reads it. */
  readonly interactive: boolean;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** A credential that is fetched when it is needed first, and again when it has run out. */
export interface ExecCredential {
  /** The last one; undefined before the first `refresh`. */
  current(): Credential | undefined;
  /** Fetches one unless the last one still holds; calls at the same time share one run of the program. */
  refresh(): Promise<void>;
}

/** A credential is a few kilobytes. */
const MAX_OUTPUT_BYTES = 1024 * 1024;
/** A person may have to log in with a browser. */
const TIMEOUT_MS = 5 * 60_000;

/** Makes the credential that `plugin` gives. */
export function execCredential(plugin: ExecPlugin, around: ExecEnvironment): ExecCredential {
  let credential: Credential | undefined;
  let running: Promise<void> | undefined;
  const fetch = async (): Promise<void> => {
    credential = parseCredential(await runPlugin(plugin, around), plugin);
  };
  return {
    current: () => credential,
    refresh() {
      if (credential && around.now() < (credential.expiresAt ?? Infinity)) return Promise.resolve();
      running ??= fetch().finally(() => (running = undefined));
      return running;
    },
  };
}

/**
 * Runs the program, without a shell, and gives what it printed; its errors go where ours go. Throws FAILED_PRECONDITION
 * when it is not there or cannot ask, UNAUTHENTICATED when it fails.
 */
async function runPlugin(plugin: ExecPlugin, around: ExecEnvironment): Promise<string> {
  const interactive = around.interactive && plugin.interactiveMode !== "Never";
  if (plugin.interactiveMode === "Always" && !interactive) {
    throw new SignetError(
      "FAILED_PRECONDITION",
      `the credential plugin ${plugin.command} wants to ask something, and standard input is no terminal`,
    );
  }
  const child = spawn(plugin.command, plugin.args, {
    shell: false,
    stdio: [interactive ? "inherit" : "ignore", "pipe", "inherit"],
    timeout: TIMEOUT_MS,
    env: {
      ...around.env,
      ...plugin.env,
      KUBERNETES_EXEC_INFO: execInfo(plugin, interactive),
    },
  });
  const [output, code] = await Promise.all([readOutput(child), exitOf(child, plugin)]);
  if (code === 0 && output !== undefined) return output;
  const why = output === undefined ? "printed too much" : `failed with ${code}`;
  throw new SignetError("UNAUTHENTICATED", `the credential plugin ${plugin.command} ${why}`);
}

async function readOutput(child: ChildProcess): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of (child.stdout ?? []) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_OUTPUT_BYTES) {
      child.kill("SIGKILL");
      return undefined;
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The exit code or the signal. */
function exitOf(child: ChildProcess, plugin: ExecPlugin): Promise<number | string> {
  return new Promise((resolve, reject) => {
    child.once("error", (cause) => {
      const hint = plugin.installHint === undefined ? "" : `\n${plugin.installHint}`;
      const message = `the credential plugin ${plugin.command} cannot be started: ${cause.message}${hint}`;
      reject(new SignetError("FAILED_PRECONDITION", message, { cause }));
    });
    child.once("close", (code, signal) => resolve(code ?? signal ?? "no exit code"));
  });
}
