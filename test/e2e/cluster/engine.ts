import { spawn } from "node:child_process";
import { existsSync, openSync, closeSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { chooseEngine } from "./decisions.ts";
import { available, run, tail, waitFor } from "./exec.ts";
import { forgetFirewall, rememberFirewall } from "./firewall.ts";
import { isRunning, processStart, withLock } from "./lock.ts";
import { installPackages, isDebian } from "./packages.ts";
import { writeRuntimeWrapper } from "./runtime-wrapper.ts";
import type { Workshop } from "./steps.ts";
import { hostPackages } from "./versions.ts";

/** A Docker engine to work with: `env` is what its clients need; `own` says that this harness runs it. */
export interface Engine {
  readonly own: boolean;
  readonly env: Record<string, string>;
}

interface EngineProcess {
  readonly pid: number;
  readonly started: string;
}

/** Gives a Docker engine that answers: ours where it runs, the machine's, else one installed and started here. */
export async function findEngine(shop: Workshop): Promise<Engine> {
  const own = ownEngine(shop);
  if (existsSync(shop.places.engineRun) && (await answers(own.env))) return own;
  const choice = chooseEngine({
    machineEngineAnswers: await answers({}),
    isLinux: process.platform === "linux",
    isDebian: await isDebian(),
    isRoot: process.getuid?.() === 0,
  });
  if (choice.kind === "none") throw new Error(choice.reason);
  return choice.kind === "machine" ? { own: false, env: {} } : startOwnEngine(shop);
}

/** The engine this harness would run, whether it runs or not. */
export function ownEngine(shop: Workshop): Engine {
  return {
    own: true,
    env: { DOCKER_HOST: `unix://${join(shop.places.engineRun, "docker.sock")}` },
  };
}

/** Whether an engine answers under these variables. */
export async function answers(env: Record<string, string>): Promise<boolean> {
  if (!(await available("docker"))) return false;
  const asked = run(["docker", "version", "--format", "ok"], { env, timeoutMs: 10_000 });
  return asked.then(
    (result) => result.code === 0,
    () => false,
  );
}

/** Starts our own engine, installing it where it is missing; clears away what a dead one left. */
export async function startOwnEngine(shop: Workshop): Promise<Engine> {
  const engine = ownEngine(shop);
  const start = async (): Promise<void> => {
    if (await answers(engine.env)) return;
    await installPackages(shop, "the Docker engine", hostPackages.engine, ["dockerd", "runc"]);
    await installPackages(shop, "the images made here", hostPackages.images, [
      "busybox",
      "mmdebstrap",
    ]);
    await endProcess(shop);
    const filter = join(shop.places.engineData, "filter-needed");
    await launch(shop, engine, existsSync(filter));
    if (existsSync(filter) || (await privilegedWorks(engine))) return;
    shop.log("engine: privileged containers fail here; restarting it with the capability filter");
    await writeFile(filter, "");
    await endProcess(shop);
    await launch(shop, engine, true);
    if (!(await privilegedWorks(engine)))
      throw new Error("privileged containers fail, filtered too");
  };
  await withLock(shop.places.locks, "engine", start, shop.log);
  return engine;
}

/** Ends our own engine by its process id and removes what it left on the machine but its data. */
export async function stopOwnEngine(shop: Workshop): Promise<void> {
  const stop = async (): Promise<void> => {
    await endProcess(shop);
    await forgetFirewall(shop);
    await unmountBelow([shop.places.engineRun, shop.places.engineData]);
    await rm(shop.places.engineRun, { recursive: true, force: true });
  };
  await withLock(shop.places.locks, "engine", stop, shop.log);
}

/** Removes the mounts that a dead engine leaves, the deepest first. */
async function unmountBelow(folders: readonly string[]): Promise<void> {
  const table = await readFile("/proc/self/mounts", "utf8").catch(() => "");
  const points = table.split("\n").map((line) => line.split(" ")[1] ?? "");
  const ours = points.filter((point) => folders.some((folder) => point.startsWith(`${folder}/`)));
  for (const point of ours.toReversed()) await run(["umount", point]);
}

/** Whether the engine runs a privileged container and a second process in it, as kind needs. */
export async function privilegedWorks(engine: Engine): Promise<boolean> {
  const name = `signet-probe-${process.pid}`;
  const options = { env: engine.env, timeoutMs: 60_000 };
  const busybox = "/usr/bin/busybox";
  const pack = `tar -C / -ch usr/bin/busybox | docker import - signet/probe:1`;
  if ((await run(["sh", "-c", pack], options)).code !== 0) return false;
  const start = ["--privileged", "--network=none", "--name", name, "signet/probe:1", busybox];
  const started = await run(["docker", "run", "-d", ...start, "sleep", "60"], options);
  const inside = await run(["docker", "exec", "--privileged", name, busybox, "true"], options);
  await run(["docker", "rm", "-f", name], options);
  await run(["docker", "image", "rm", "signet/probe:1"], options);
  return started.code === 0 && inside.code === 0;
}

async function launch(shop: Workshop, engine: Engine, filtered: boolean): Promise<void> {
  const { engineData, engineRun, logs } = shop.places;
  await rememberFirewall(shop);
  for (const folder of [engineData, engineRun, logs]) await mkdir(folder, { recursive: true });
  const logFile = join(logs, "dockerd.log");
  const args = [
    `--host=${engine.env["DOCKER_HOST"]}`,
    `--data-root=${join(engineData, "data")}`,
    `--exec-root=${join(engineRun, "exec")}`,
    `--pidfile=${join(engineRun, "docker.pid")}`,
    "--bridge=none",
    "--oom-score-adjust=0",
    ...(filtered ? [`--add-runtime=filtered=${await writeRuntimeWrapper(shop)}`] : []),
    ...(filtered ? ["--default-runtime=filtered"] : []),
  ];
  const log = openSync(logFile, "a");
  const child = spawn("dockerd", args, { detached: true, stdio: ["ignore", log, log] });
  closeSync(log);
  child.unref();
  const pid = await new Promise<number>((resolve, reject) => {
    child.on("error", reject);
    child.on("spawn", () => resolve(child.pid ?? 0));
  });
  const started = processStart(pid);
  await writeFile(processFile(shop), JSON.stringify({ pid, started } satisfies EngineProcess));
  shop.log(`engine: dockerd started (pid ${pid}, output in ${logFile})`);
  let died = false;
  child.on("exit", () => (died = true));
  const up = await waitFor("dockerd to answer", 60_000, async () => {
    if (died) return "died";
    return (await answers(engine.env)) ? "answers" : undefined;
  });
  if (up === "died")
    throw new Error(`dockerd ended at once:\n${tail(await readFile(logFile, "utf8"))}`);
}

/** Ends the process that was started for these folders, and the pid files that would keep a new one from starting. */
async function endProcess(shop: Workshop): Promise<void> {
  const { engineRun } = shop.places;
  const known = await readProcess(shop);
  if (known !== undefined) await endById(known);
  const daemon = await readPid(join(engineRun, "exec", "containerd", "containerd.pid"));
  if (daemon !== undefined && (await commandLine(daemon)).includes(engineRun)) {
    await endById({ pid: daemon, started: processStart(daemon) });
  }
  for (const file of [
    "docker.pid",
    "engine.json",
    "docker.sock",
    "exec/containerd/containerd.pid",
  ]) {
    await rm(join(engineRun, file), { force: true });
  }
}

async function endById(target: EngineProcess): Promise<void> {
  const gone = async (): Promise<true | undefined> =>
    isRunning(target.pid, target.started) ? undefined : true;
  if ((await gone()) === true) return;
  process.kill(target.pid, "SIGTERM");
  try {
    await waitFor(`process ${target.pid} to end`, 60_000, gone);
  } catch {
    process.kill(target.pid, "SIGKILL");
    await waitFor(`process ${target.pid} to end after SIGKILL`, 10_000, gone);
  }
}

function processFile(shop: Workshop): string {
  return join(shop.places.engineRun, "engine.json");
}

async function readProcess(shop: Workshop): Promise<EngineProcess | undefined> {
  const text = await readFile(processFile(shop), "utf8").catch(() => "");
  const match = /"pid":(\d+),"started":"(\d+)"/.exec(text);
  return match === null ? undefined : { pid: Number(match[1]), started: match[2] ?? "" };
}

async function readPid(file: string): Promise<number | undefined> {
  const text = await readFile(file, "utf8").catch(() => "");
  return /^\d+/.test(text) ? Number.parseInt(text, 10) : undefined;
}

async function commandLine(pid: number): Promise<string> {
  return readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
}
