import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { buildImage } from "./cluster/cluster.ts";
import type { Cluster } from "./cluster/cluster.ts";
import { run } from "./cluster/exec.ts";

const root = join(import.meta.dirname, "../..");

interface ImageSource {
  readonly name: string;
  readonly dockerfile: string;
  readonly context: string;
  /** Files and folders that go into the image, relative to the root. */
  readonly inputs: readonly string[];
}

const SIGNET: ImageSource = {
  name: "signet",
  dockerfile: "Dockerfile",
  context: ".",
  inputs: [
    "Dockerfile",
    ".dockerignore",
    "package.json",
    "package-lock.json",
    "scripts/build.ts",
    "src",
  ],
};

const WORKLOAD: ImageSource = {
  name: "signet-workload",
  dockerfile: "test/e2e/workload/Dockerfile",
  context: "test/e2e/workload",
  inputs: ["test/e2e/workload"],
};

const SERVERS: ImageSource = {
  name: "signet-servers",
  dockerfile: "test/e2e/servers/Dockerfile",
  context: "test/e2e/servers",
  inputs: ["test/e2e/servers"],
};

/** The images on the cluster's nodes, by reference. */
export interface Images {
  readonly signet: string;
  readonly workload: string;
}

/** Those of the end-to-end tests. */
export interface TestImages extends Images {
  /** nginx and PostgreSQL. */
  readonly servers: string;
}

/** Builds Signet's image and the workloads' and loads them; an image whose inputs did not change is reused. */
export async function loadImages(cluster: Cluster, log: (line: string) => void): Promise<Images> {
  const signet = await ensureImage(cluster, SIGNET, log);
  const workload = await ensureImage(cluster, WORKLOAD, log);
  await cluster.loadImage(signet, workload);
  return { signet, workload };
}

/** Like {@link loadImages}, with what the tests need beyond the demo. */
export async function loadTestImages(
  cluster: Cluster,
  log: (line: string) => void,
): Promise<TestImages> {
  const signet = await ensureImage(cluster, SIGNET, log);
  const workload = await ensureImage(cluster, WORKLOAD, log);
  const servers = await ensureImage(cluster, SERVERS, log);
  await cluster.loadImage(signet, workload, servers);
  return { signet, workload, servers };
}

async function ensureImage(
  cluster: Cluster,
  source: ImageSource,
  log: (line: string) => void,
): Promise<string> {
  const tag = `${source.name}:${await inputHash(source.inputs)}`;
  const present = await run(["docker", "image", "inspect", tag], { env: cluster.engineEnv });
  if (present.code !== 0) {
    log(`building image ${tag}`);
    await buildImage({
      dockerfile: join(root, source.dockerfile),
      context: join(root, source.context),
      tag,
      log,
    });
  }
  return tag;
}

/** A name for the content of all inputs. */
async function inputHash(inputs: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const file of (await Promise.all(inputs.map(filesOf))).flat().toSorted()) {
    hash
      .update(`${relative(root, file)}\0`)
      .update(await readFile(file))
      .update("\0");
  }
  return hash.digest("hex").slice(0, 12);
}

async function filesOf(input: string): Promise<string[]> {
  const path = join(root, input);
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(
    () => undefined,
  );
  if (entries === undefined) return [path];
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
