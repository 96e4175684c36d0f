import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import type { WriteStream } from "node:fs";

/** How to run a program: text for its standard input, limit in ms, variables added to ours. */
export interface RunOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  readonly env?: Record<string, string>;
}

/** What a program left behind; `code` is 128 + the signal's number where a signal ended it. */
export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** {@link RunOptions} of the harness itself: working folder, and a file that gets all output. */
export interface ExecOptions extends RunOptions {
  readonly cwd?: string;
  readonly logFile?: string;
}

const defaultTimeoutMs = 600_000;
const outputLimit = 64 * 1024 * 1024;

/** Runs `argv` without a shell and resolves with its result whatever the exit code; rejects where it cannot start or overruns its limit. */
export function run(argv: readonly string[], options: ExecOptions = {}): Promise<RunResult> {
  const [program = "", ...args] = argv;
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const log = options.logFile === undefined ? undefined : openLog(options.logFile, argv);
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    const out = collect(child.stdout, log);
    const err = collect(child.stderr, log);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, timeoutMs);
    child.on("error", (error) => {
      clearTimeout(timer);
      log?.end();
      reject(new Error(`cannot run ${program}: ${error.message}`));
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      log?.end();
      if (late) {
        reject(new Error(`${describe(argv)}: not finished after ${timeoutMs} ms\n${tail(err())}`));
        return;
      }
      resolve({ code: code ?? (signal === null ? 1 : 137), stdout: out(), stderr: err() });
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
  });
}

/** Runs `argv` and resolves with its standard output; throws with the end of its output on a non-zero exit. */
export async function must(argv: readonly string[], options: ExecOptions = {}): Promise<string> {
  const result = await run(argv, options);
  if (result.code !== 0) {
    const where = options.logFile === undefined ? "" : ` (all of it: ${options.logFile})`;
    const output = tail(result.stderr) || tail(result.stdout);
    throw new Error(`${describe(argv)}: exit code ${result.code}${where}\n${output}`);
  }
  return result.stdout;
}

/** Whether a program can be started by that name. */
export async function available(program: string): Promise<boolean> {
  const found = await run(["sh", "-c", 'command -v "$0"', program]);
  return found.code === 0;
}

/** Calls `check` until it gives a value; throws, naming `what`, when the limit is over. */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  check: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let last = "";
  for (;;) {
    try {
      const value = await check();
      if (value !== undefined) return value;
    } catch (error) {
      last = error instanceof Error ? `: ${error.message}` : "";
    }
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}${last}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** The last lines of a program's output. */
export function tail(text: string, lines = 30): string {
  return text.trimEnd().split("\n").slice(-lines).join("\n");
}

function describe(argv: readonly string[]): string {
  const text = argv.join(" ");
  return text.length > 160 ? `${text.slice(0, 160)}…` : text;
}

function openLog(file: string, argv: readonly string[]): WriteStream {
  const stream = createWriteStream(file, { flags: "a" });
  stream.on("error", () => undefined);
  stream.write(`$ ${describe(argv)}\n`);
  return stream;
}

function collect(stream: NodeJS.ReadableStream, log: WriteStream | undefined): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on("data", (chunk: Buffer) => {
    log?.write(chunk);
    size += chunk.length;
    chunks.push(chunk);
    while (size > outputLimit && chunks.length > 1) size -= chunks.shift()?.length ?? 0;
  });
  return () => Buffer.concat(chunks).toString("utf8");
}
