import { join } from "node:path";
import { chooseImages } from "./decisions.ts";
import { docker, imageId, pullable, tryDocker } from "./docker.ts";
import { findEngine, privilegedWorks, startOwnEngine } from "./engine.ts";
import type { Engine } from "./engine.ts";
import { available } from "./exec.ts";
import { goProgram, goPrograms } from "./go-tools.ts";
import { raiseInotifyLimit } from "./kernel-limits.ts";
import { madeNodeImage } from "./node-image.ts";
import { installPackages, isDebian } from "./packages.ts";
import type { Workshop } from "./steps.ts";
import { versions } from "./versions.ts";

/** Everything a cluster is created with. */
export interface Tools {
  readonly engine: Engine;
  readonly nodeImage: string;
  /** Whether the node image was made here. */
  readonly made: boolean;
  readonly kind: string;
  readonly kubectl: string;
  readonly helm: string;
}

/** Finds or makes the engine, the node image and the programs; what exists already costs nothing. */
export async function prepare(shop: Workshop): Promise<Tools> {
  await raiseInotifyLimit(shop.log);
  const first = await findEngine(shop);
  const { engine, nodeImage, made } = await nodeImageFor(shop, first);
  const kubernetes = made ? await goPrograms(shop, "kubernetes") : undefined;
  return {
    engine,
    nodeImage,
    made,
    kind: await program(shop, "kind"),
    kubectl:
      kubernetes === undefined ? await program(shop, "kubectl") : join(kubernetes, "kubectl"),
    helm: await program(shop, "helm"),
  };
}

/**
 * What tests without a cluster run beside Node.js: openssl as a judge of certificates, helm of the
 * chart, Go of templates.
 */
export async function prepareTestPrograms(
  shop: Workshop,
): Promise<{ readonly helm: string; readonly go: string }> {
  await installPackages(shop, "the tests", ["openssl", "ca-certificates"], ["openssl"]);
  return { helm: await program(shop, "helm"), go: await goProgram(shop) };
}

interface Chosen {
  readonly engine: Engine;
  readonly nodeImage: string;
  readonly made: boolean;
}

async function nodeImageFor(shop: Workshop, engine: Engine): Promise<Chosen> {
  const known = await imageId(engine, madeMarker);
  const published = known === undefined && (await pullPublished(shop, engine));
  const choice = chooseImages({
    publishedNodeImage: published,
    ownEngine: engine.own,
    isRoot: process.getuid?.() === 0,
    isDebian: await isDebian(),
    privilegedWorks: engine.own || published || (await privilegedWorks(engine)),
  });
  if (choice.kind === "none") throw new Error(choice.reason);
  if (choice.kind === "published") {
    return { engine, nodeImage: versions.publishedNodeImage, made: false };
  }
  const chosen = choice.engine === "this" ? engine : await startOwnEngine(shop);
  const nodeImage = await madeNodeImage(shop, chosen);
  await markMade(chosen, nodeImage);
  return { engine: chosen, nodeImage, made: true };
}

/** Tags the node image as the last one made and drops the earlier ones that no node uses. */
async function markMade(engine: Engine, nodeImage: string): Promise<void> {
  await docker(engine, ["tag", nodeImage, madeMarker]);
  const [repository = ""] = nodeImage.split(":");
  const listing = await docker(engine, ["images", "--format={{.Repository}}:{{.Tag}}", repository]);
  const old = listing
    .trim()
    .split("\n")
    .filter((tag) => tag !== nodeImage && tag !== madeMarker);
  if (old.length > 0) await tryDocker(engine, ["image", "rm", ...old]);
}

/** Tag of the node image made last: where it exists, no pull is tried again. */
const madeMarker = "signet/kind-node:made";

async function pullPublished(shop: Workshop, engine: Engine): Promise<boolean> {
  shop.log(`pulling ${versions.publishedNodeImage}`);
  const there = await pullable(engine, versions.publishedNodeImage);
  if (!there) shop.log("the node image cannot be pulled here: making one");
  return there;
}

/** A program from PATH, else built from its Go module. */
async function program(shop: Workshop, name: "kind" | "kubectl" | "helm"): Promise<string> {
  if (await available(name)) return name;
  return join(await goPrograms(shop, name), name);
}
