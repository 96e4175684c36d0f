import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { closeSync, openSync, readFileSync } from "node:fs";
import { tail } from "../test/e2e/cluster/exec.ts";

export interface ProgramOptions {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Gets all output. */
  readonly logFile: string;
  /** What `stop` ends it with; SIGKILL when left out, for programs whose state is thrown away. */
  readonly signal?: "TERM" | "KILL";
}

/** A program that runs until it is stopped, or until this process is gone, however that ends. */
export interface Program {
  readonly name: string;
  /** Undefined where there is no /proc. */
  pid(): number | undefined;
  /** Throws with the end of its output when it is no longer running. */
  check(): void;
  stop(): Promise<void>;
}

/** Ends the program once standard input closes: that needs no handler that a killed process could not run. */
const GUARD = `exec 3<&0
"$@" 3<&- </dev/null &
program=$!
{ cat <&3 >/dev/null; kill -s "$SIGNET_BENCH_SIGNAL" $program 2>/dev/null; } &
wait $program`;
const STOP_MS = 10_000;

export function startProgram({
  name,
  argv,
  env,
  logFile,
  signal = "KILL",
}: ProgramOptions): Program {
  const log = openSync(logFile, "w");
  const child = spawn("sh", ["-c", GUARD, name, ...argv], {
    stdio: ["pipe", log, log],
    env: { ...process.env, ...env, SIGNET_BENCH_SIGNAL: signal },
    // Ctrl-C is for us; the programs end with us.
    detached: true,
  });
  closeSync(log);
  const gone = once(child, "exit");
  // Whether it could be started shows in `check`.
  gone.catch(() => undefined);
  return {
    name,
    pid: () => firstChild(child),
    check() {
      if (child.exitCode === null && child.signalCode === null) return;
      throw new Error(`${name} ended\n${tail(readFileSync(logFile, "utf8"))}`);
    },
    async stop() {
      child.stdin?.end();
      const timer = setTimeout(() => killGroup(child), STOP_MS);
      if (child.exitCode === null && child.signalCode === null) await gone;
      clearTimeout(timer);
    },
  };
}

/** A port of the loopback interface that nothing listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function killGroup({ pid }: ChildProcess): void {
  if (pid !== undefined) process.kill(-pid, "SIGKILL");
}

function firstChild({ pid }: ChildProcess): number | undefined {
  try {
    const [first = ""] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ");
    return first === "" ? undefined : Number(first);
  } catch {
    return undefined;
  }
}
