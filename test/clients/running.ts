import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { run } from "../e2e/cluster/exec.ts";
import type { RunResult } from "../e2e/cluster/exec.ts";
import type { Program } from "./programs.ts";

/** An SVID as a client shows it. */
export interface ShownSvid {
  readonly id: string;
  /** Undefined where the library does not tell it. */
  readonly hint?: string;
  /** The certificate in hex. */
  readonly leaf: string;
}

/** What `once` prints. */
export interface Shown {
  readonly svids: readonly ShownSvid[];
  readonly x509: readonly string[];
  readonly jwt: readonly string[];
  readonly token: string;
  readonly validated: string;
}

/** Runs a client to its end. */
export function runClient(program: Program, ...args: string[]): Promise<RunResult> {
  const { argv, env = {} } = program;
  return run([...argv, ...args], { env, timeoutMs: 60_000 });
}

/** A client whose source stays open. */
export interface Watching {
  /** Resolves with the milliseconds that passed until it shows the certificate; throws when it ends, or is too late. */
  shows(leaf: Buffer, withinMs: number): Promise<number>;
  /** Ends it and gives its exit code. */
  stop(): Promise<number>;
}

export function watchWith({ argv, env = {} }: Program, socket: string): Watching {
  const [command = "", ...args] = argv;
  const child = spawn(command, [...args, "watch", socket], { env: { ...process.env, ...env } });
  const seen = new Set<string>();
  let errors = "";
  let wake = (): void => undefined;
  child.stderr.on("data", (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-4000)));
  createInterface(child.stdout).on("line", (line) => {
    seen.add((JSON.parse(line) as ShownSvid).leaf);
    wake();
  });
  const exited = new Promise<number>((resolve) => {
    child.once("close", (code) => {
      resolve(code ?? 1);
      wake();
    });
  });
  return {
    async shows(leaf, withinMs) {
      const wanted = leaf.toString("hex");
      const started = performance.now();
      const deadline = started + withinMs;
      while (!seen.has(wanted)) {
        if (child.exitCode !== null) throw new Error(`client ended: ${errors}`);
        const left = deadline - performance.now();
        if (left <= 0) throw new Error(`client shows no new SVID after ${withinMs} ms: ${errors}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
          setTimeout(resolve, left);
        });
      }
      return performance.now() - started;
    },
    async stop() {
      child.stdin.end();
      const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
      const code = await exited;
      clearTimeout(timer);
      return code;
    },
  };
}
