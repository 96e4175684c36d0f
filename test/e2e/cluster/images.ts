import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { nodeBaseImage } from "./base-image.ts";
import { sharedFolder } from "./config.ts";
import { docker, imageId, tryDocker } from "./docker.ts";
import type { Engine } from "./engine.ts";
import type { Workshop } from "./steps.ts";

/** What {@link buildProjectImage} builds. */
export interface ImageBuild {
  readonly dockerfile: string;
  readonly context: string;
  readonly tag: string;
}

/** Where images are loaded to: the nodes, and the folder of this machine that they share. */
export interface LoadTarget {
  readonly nodes: readonly string[];
  readonly shared: string;
}

const proxyVariables = ["http_proxy", "https_proxy", "no_proxy"].flatMap((name) => [
  name,
  name.toUpperCase(),
]);
const idLabel = "signet.test/docker-id";
const ctr = ["ctr", "-n", "k8s.io", "images"] as const;

/** Builds an image of the project and gives its id; the base image is made first where it cannot be pulled. */
export async function buildProjectImage(
  shop: Workshop,
  engine: Engine,
  build: ImageBuild,
): Promise<string> {
  const standIn = await nodeBaseImage(shop, engine);
  const proxies = proxyVariables.filter((name) => process.env[name] !== undefined);
  const args = [
    "build",
    ...(standIn ? ["--network", "host", "--pull=false"] : []),
    ...proxies.flatMap((name) => ["--build-arg", name]),
    "-f",
    build.dockerfile,
    "-t",
    build.tag,
    build.context,
  ];
  await mkdir(shop.places.logs, { recursive: true });
  const logFile = join(shop.places.logs, `image-${build.tag.replace(/[^\w.-]/g, "_")}.log`);
  await rm(logFile, { force: true });
  // The engine made here has no BuildKit; the base image it uses exists nowhere else.
  const env: Record<string, string> = standIn ? { DOCKER_BUILDKIT: "0" } : {};
  await docker(engine, args, { logFile, env, timeoutMs: 1_800_000 });
  const id = await imageId(engine, build.tag);
  if (id === undefined) throw new Error(`${build.tag} is not there after its build: ${logFile}`);
  return id;
}

/** Loads images into the nodes that do not have them: saved once, imported on all nodes at the same time. */
export async function loadImages(
  engine: Engine,
  target: LoadTarget,
  references: readonly string[],
): Promise<void> {
  const wanted = new Map<string, string>();
  for (const reference of references) {
    const id = await imageId(engine, reference);
    if (id === undefined) throw new Error(`the engine has no image ${reference}`);
    wanted.set(fullReference(reference), id.replace("sha256:", ""));
  }
  const missing = await Promise.all(
    target.nodes.map(async (node) => {
      const listing = await docker(engine, ["exec", node, ...ctr, "ls"]);
      return [...wanted].filter(([reference, id]) => !isLoaded(listing, reference, id));
    }),
  );
  const toSave = [...new Set(missing.flat().map(([reference]) => reference))];
  if (toSave.length === 0) return;
  await mkdir(target.shared, { recursive: true });
  const file = `load-${process.pid}-${Date.now()}.tar`;
  try {
    await docker(engine, ["save", "-o", join(target.shared, file), ...toSave]);
    const loads = target.nodes.map(async (node, index) => {
      const here = missing[index] ?? [];
      if (here.length > 0) await importOn(engine, node, `${sharedFolder}/${file}`, here);
    });
    await Promise.all(loads);
  } finally {
    await rm(join(target.shared, file), { force: true });
  }
}

/** The reference as containerd stores it: `signet:dev` is `docker.io/library/signet:dev`. */
export function fullReference(reference: string): string {
  const slash = reference.indexOf("/");
  const first = slash < 0 ? "" : reference.slice(0, slash);
  const hasHost = /[.:]/.test(first) || first === "localhost";
  const named = hasHost ? reference : `docker.io/${slash < 0 ? "library/" : ""}${reference}`;
  return named.slice(named.lastIndexOf("/")).includes(":") ? named : `${named}:latest`;
}

/** Whether `ctr images ls` lists the reference as loaded from the image with that id. */
export function isLoaded(listing: string, reference: string, id: string): boolean {
  const lines = listing.split("\n").map((line) => line.split(/\s+/));
  return lines.some(([name, ...rest]) => {
    return name === reference && rest.some((word) => word.split(",").includes(`${idLabel}=${id}`));
  });
}

async function importOn(
  engine: Engine,
  node: string,
  archive: string,
  images: readonly (readonly [string, string])[],
): Promise<void> {
  await docker(engine, ["exec", node, ...ctr, "import", archive]);
  for (const [reference, id] of images) {
    const label = [...ctr, "label", reference, `${idLabel}=${id}`];
    const labelled = await tryDocker(engine, ["exec", node, ...label]);
    if (labelled.code !== 0) throw new Error(`${node} has no ${reference} after its import`);
  }
}
