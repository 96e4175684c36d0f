import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

import { workshop } from "../test/e2e/cluster/cluster.ts";
import { prepareTestPrograms } from "../test/e2e/cluster/preparation.ts";

const root = join(import.meta.dirname, "..");

/** Brings the programs that unit tests need; throws with what to install where it may not. */
export async function bringPrograms(): Promise<void> {
  const { helm, go } = await prepareTestPrograms(workshop(console.log));
  process.env["SIGNET_HELM"] = helm;
  process.env["SIGNET_GO"] = go;
}

export interface Tally {
  readonly passed: number;
  readonly failed: number;
  /** What failed, each with the first lines of why: the last thing a reader of a log sees. */
  readonly failures: readonly string[];
}

/** Runs a program of node_modules or node itself with its output shown; resolves with its exit code. */
export function run(command: string, args: readonly string[]): Promise<number> {
  const bin = join(root, "node_modules/.bin");
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      stdio: ["ignore", "inherit", "inherit"],
      env: { ...process.env, PATH: `${bin}:${process.env["PATH"]}` },
    });
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}

/** One check that passes or fails as a whole. */
export async function check(
  name: string,
  command: string,
  args: readonly string[],
): Promise<Tally> {
  const ok = (await timed(name, () => run(command, args))) === 0;
  return { passed: Number(ok), failed: Number(!ok), failures: ok ? [] : [name] };
}

/** A vitest project; counts its tests, and one failure when it ends badly without a failed test. */
export async function suite(project: string, args: readonly string[] = []): Promise<Tally> {
  const folder = await mkdtemp(join(tmpdir(), "signet-test-"));
  const report = join(folder, "report.json");
  try {
    const code = await timed(`${project} tests`, () =>
      run("vitest", [
        ...["run", "--project", project, "--reporter=default", "--reporter=json"],
        ...[`--outputFile.json=${report}`, ...args],
      ]),
    );
    const tally = await readReport(report);
    if (tally.failed > 0 || (code === 0 && tally.passed > 0)) return tally;
    return add(tally, { passed: 0, failed: 1, failures: [`${project} tests: exit code ${code}`] });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What CI and people check first: generated files, format, lint, types, dead code. */
export async function staticChecks(): Promise<Tally> {
  return add(
    await check("generated files", "node", ["scripts/generate.ts", "--check"]),
    await check("format", "oxfmt", ["--check", "."]),
    await check("lint", "oxlint", ["--type-aware", "--deny-warnings"]),
    await check("types", "tsc", ["--noEmit"]),
    await check("dead code", "knip", []),
  );
}

/** Prints what failed and the closing line, and sets the exit code. */
export function close(tally: Tally): void {
  for (const failure of tally.failures) console.error(`FAILED: ${failure}`);
  console.log(`${tally.passed} passed, ${tally.failed} failed`);
  process.exitCode = tally.failed === 0 ? 0 : 1;
}

export function add(...tallies: readonly Tally[]): Tally {
  return {
    passed: tallies.reduce((sum, tally) => sum + tally.passed, 0),
    failed: tallies.reduce((sum, tally) => sum + tally.failed, 0),
    failures: tallies.flatMap((tally) => tally.failures),
  };
}

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}

async function readReport(path: string): Promise<Tally> {
  let report: Report;
  try {
    report = JSON.parse(await readFile(path, "utf8")) as Report;
  } catch {
    return add();
  }
  const failed = report.testResults.filter(({ status }) => status === "failed");
  // A file that cannot be loaded has no tests, but it is a failure all the same.
  const broken = failed.filter(({ assertionResults }) => assertionResults.length === 0);
  const tests = failed.flatMap(({ name, assertionResults }) =>
    assertionResults
      .filter(({ status }) => status === "failed")
      .map((test) => describeFailure(name, test.fullName, test.failureMessages.join("\n"))),
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    failures: [...tests, ...broken.map(({ name, message }) => describeFailure(name, "", message))],
  };
}

function describeFailure(file: string, test: string, message: string): string {
  const why = message.split("\n").slice(0, 12).join("\n  ");
  return `${relative(root, file)} ${test}\n  ${why}`;
}

async function timed<T>(name: string, act: () => Promise<T>): Promise<T> {
  const startedAt = Date.now();
  console.log(`== ${name}`);
  const result = await act();
  console.log(`== ${name}: ${((Date.now() - startedAt) / 1000).toFixed(1)} s`);
  return result;
}
