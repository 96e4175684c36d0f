import { spawnSync } from "node:child_process";
import {
  attachCluster,
  buildImage,
  defaultName,
  downCluster,
  upCluster,
  workshop,
} from "./cluster.ts";
import type { Cluster } from "./cluster.ts";
import { prune } from "./teardown.ts";

const usage = `node test/e2e/cluster/cli.ts [--name NAME] COMMAND
  up                        make sure that the cluster runs
  down                      delete it
  prune                     delete all clusters and end the engine that was started here
  status                    say what runs (exit code 1 where nothing does)
  build-image DOCKERFILE CONTEXT TAG
  load-image IMAGE...       put images of the engine on all nodes
  kubeconfig                print the path of the kubeconfig file
  env                       print shell exports: KUBECONFIG, the engine's variables, PATH additions
  kubectl ARGS...           run kubectl
  helm ARGS...              run helm
  node NODE COMMAND...      run a program in a node
`;

const start = Date.now();

function log(line: string): void {
  const seconds = ((Date.now() - start) / 1000).toFixed(1).padStart(6);
  process.stderr.write(`[${seconds} s] ${line}\n`);
}

async function main(argv: readonly string[]): Promise<number> {
  const name = argv[0] === "--name" ? (argv[1] ?? "") : defaultName;
  const [command = "help", ...args] = argv[0] === "--name" ? argv.slice(2) : argv;
  switch (command) {
    case "up":
      await upCluster({ name, log });
      return 0;
    case "down":
      await downCluster({ name, log });
      return 0;
    case "prune":
      await prune(workshop(log));
      return 0;
    case "build-image":
      return build(args);
    case "help":
      process.stdout.write(usage);
      return 0;
  }
  const cluster = await attachCluster(name);
  if (cluster === undefined) {
    process.stderr.write(`cluster ${name} does not run: node test/e2e/cluster/cli.ts up\n`);
    return 1;
  }
  return withCluster(cluster, command, args);
}

async function withCluster(cluster: Cluster, command: string, args: string[]): Promise<number> {
  switch (command) {
    case "status":
      process.stdout.write(await cluster.kubectl(["get", "nodes", "-o", "wide"]));
      return 0;
    case "load-image":
      await cluster.loadImage(...args);
      log(`loaded ${args.join(", ")}`);
      return 0;
    case "kubeconfig":
      process.stdout.write(`${cluster.kubeconfig}\n`);
      return 0;
    case "env":
      process.stdout.write(exportsOf(cluster));
      return 0;
    case "kubectl":
      return attached([cluster.kubectlPath, ...args], { KUBECONFIG: cluster.kubeconfig });
    case "helm":
      return attached([cluster.helmPath, ...args], { KUBECONFIG: cluster.kubeconfig });
    case "node":
      return attached(["docker", "exec", "-i", ...args], cluster.engineEnv);
    default:
      process.stderr.write(usage);
      return 2;
  }
}

async function build(args: readonly string[]): Promise<number> {
  const [dockerfile, context, tag] = args;
  if (dockerfile === undefined || context === undefined || tag === undefined) {
    process.stderr.write(usage);
    return 2;
  }
  process.stdout.write(`${await buildImage({ dockerfile, context, tag, log })}\n`);
  return 0;
}

function exportsOf(cluster: Cluster): string {
  const variables = { KUBECONFIG: cluster.kubeconfig, ...cluster.engineEnv };
  const lines = Object.entries(variables).map(([key, value]) => `export ${key}=${quote(value)}`);
  const folders = [cluster.kubectlPath, cluster.helmPath]
    .filter((path) => path.includes("/"))
    .map((path) => path.slice(0, path.lastIndexOf("/")));
  if (folders.length > 0) lines.push(`export PATH=${folders.map(quote).join(":")}:"$PATH"`);
  return `${lines.join("\n")}\n`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Runs a program on this terminal and gives its exit code. */
function attached(argv: readonly string[], env: Readonly<Record<string, string>>): number {
  const [program = "", ...args] = argv;
  const result = spawnSync(program, args, { stdio: "inherit", env: { ...process.env, ...env } });
  return result.status ?? 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
