#!/usr/bin/env node
/** `signet operator` and `signet agent`: the only reader of the command line, the environment and files at start. */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { systemClock } from "./core/clock.ts";
import { parseConfig } from "./core/config.ts";
import { errorMessage, SignetError } from "./core/errors.ts";
import { createLog } from "./core/log.ts";
import type { Process } from "./roles/process.ts";

const USAGE = `usage: signet operator --config FILE
       signet agent --config FILE
       signet version`;

/** Set by the bundler from package.json. */
const VERSION = process.env["SIGNET_VERSION"] ?? "0.0.0-dev";

/** Exit codes: 2 for what the caller must change, 1 for the rest. */
const EXIT_USAGE = 2;

async function main(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { config: { type: "string", default: "/etc/signet/config.json" } },
  });
  const [role] = positionals;
  if (role === "version") return void process.stdout.write(`signet ${VERSION}\n`);
  if (role !== "operator" && role !== "agent") throw new SignetError("INVALID_ARGUMENT", USAGE);
  const config = parseConfig(readFileSync(values.config, "utf8"));
  const log = createLog({ level: config.logLevel, role });
  const context: Process = {
    config,
    version: VERSION,
    env: process.env,
    readFile: (path) => readFileSync(path, "utf8"),
    clock: systemClock(),
    random: Math.random,
    log,
    fail(error) {
      log.error({ err: error }, "cannot go on");
      process.exitCode = 1;
      void stop();
    },
  };
  // Each role is a chunk of its own: the agent never loads the operator's code.
  const running =
    role === "operator"
      ? (await import("./roles/operator.ts")).operator(context)
      : (await import("./roles/agent.ts")).agent(context);
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopping ??= running.stop().finally(() => process.exit()));
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      log.info({ signal }, "stopping");
      void stop();
    });
  }
  log.info({ version: VERSION, trustDomain: config.trustDomain }, "starting");
  await running.start();
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`signet: ${errorMessage(error)}\n`);
  process.exit(error instanceof SignetError && error.code === "INVALID_ARGUMENT" ? EXIT_USAGE : 1);
});
