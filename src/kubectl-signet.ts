#!/usr/bin/env node
/** `kubectl signet`: the only reader of the command line, the environment, files and the clock on a user's machine. */
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { text } from "node:stream/consumers";
import { isatty } from "node:tty";
import type { Command, Connection } from "./cli/command.ts";
import { parseCommand } from "./cli/parse-command.ts";
import { runCommand } from "./cli/run.ts";
import type { Shell } from "./cli/session.ts";
import { printable } from "./cli/terminal-text.ts";
import { systemClock } from "./core/clock.ts";
import { errorMessage } from "./core/errors.ts";
import { createKubeClient } from "./kube/client.ts";
import { mergeKubeconfigs, readKubeconfigFiles } from "./kube/kubeconfig-files.ts";
import { selectContext } from "./kube/kubeconfig.ts";

/** Set by the bundler from package.json. */
const VERSION = process.env["SIGNET_VERSION"] ?? "0.0.0-dev";

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

const STDIN = 0;

const readText = (path: string): string => readFileSync(path, "utf8");

function loadConfig({ kubeconfig, context }: Connection, interactive: boolean) {
  const location = { path: kubeconfig, env: process.env, home: homedir() };
  const merged = mergeKubeconfigs(readKubeconfigFiles(location, readText));
  return selectContext(merged, {
    ...(context === undefined ? {} : { context }),
    readFile: readText,
    exec: { env: process.env, interactive, now: Date.now },
  });
}

function shell(command: Command): Shell {
  const stdinIsTaken = command.run === "render" && command.file === "-";
  return {
    version: VERSION,
    connect(connection) {
      const config = loadConfig(connection, !stdinIsTaken && isatty(STDIN));
      const userAgent = `kubectl-signet/${VERSION}`;
      return { config, client: createKubeClient({ config, clock: systemClock(), userAgent }) };
    },
    readFile: (path) => (path === "-" ? text(process.stdin) : readFile(path, "utf8")),
    print: (piece) =>
      new Promise((resolve, reject) => {
        process.stdout.write(piece, (error) => (error ? reject(error) : resolve()));
      }),
    note: (line) => void process.stderr.write(`kubectl signet: ${printable(line)}\n`),
    now: Date.now,
  };
}

/** Whoever reads us, such as `head`, may stop before the end. */
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  process.exit(error.code === "EPIPE" ? 0 : EXIT_FAILURE);
});

function fail(error: unknown, code: number, hint = ""): never {
  const lines = errorMessage(error).split("\n").map(printable);
  process.stderr.write(`kubectl signet: ${lines.join("\n")}\n${hint}`);
  process.exit(code);
}

let command: Command;
try {
  command = parseCommand(process.argv.slice(2));
} catch (error) {
  fail(error, EXIT_USAGE, "See: kubectl signet --help\n");
}
runCommand(command, shell(command)).then(
  (well) => process.exit(well ? 0 : EXIT_FAILURE),
  (error: unknown) => fail(error, EXIT_FAILURE),
);
