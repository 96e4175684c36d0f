import { cp, link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { rootFileSystem } from "./debian.ts";
import { docker, imageId, pullable } from "./docker.ts";
import type { Engine } from "./engine.ts";
import { must, run } from "./exec.ts";
import { checkedStep, fileInputs, folderStep, stepKey } from "./steps.ts";
import type { Workshop } from "./steps.ts";
import { nodeBasePackages, versions } from "./versions.ts";

const hostBundle = "/etc/ssl/certs/ca-certificates.crt";
const imageBundle = "/usr/local/share/build-ca-certificates.crt";
const installer = join(import.meta.dirname, "..", "..", "..", "scripts", "node.sh");

/** Makes sure that the engine has the Dockerfiles' base image: pulled where that works, else a stand-in made here; says whether it is the stand-in. */
export async function nodeBaseImage(shop: Workshop, engine: Engine): Promise<boolean> {
  const label = '{{index .Config.Labels "signet.stand-in"}}';
  const found = await run(["docker", "image", "inspect", "-f", label, versions.nodeBaseImage], {
    env: engine.env,
  });
  const stoodIn = found.code === 0 && found.stdout.trim() !== "";
  if (found.code === 0 && !stoodIn) return false;
  if (!stoodIn && (await pullable(engine, versions.nodeBaseImage))) return false;
  await standIn(shop, engine);
  return true;
}

async function standIn(shop: Workshop, engine: Engine): Promise<void> {
  const node = await nodeFolder(shop);
  const root = await rootFileSystem(shop, { name: "rootfs-base", packages: nodeBasePackages });
  const bundle = await readFile(hostBundle, "utf8").catch(() => "");
  const settings = await npmSettings();
  const key = stepKey([
    node,
    root,
    bundle,
    settings,
    ...(await fileInputs([import.meta.filename])),
  ]);
  const keyed = `signet/node-base:${key}`;
  await checkedStep(shop, {
    name: `node-base-${key}`,
    find: () => imageId(engine, keyed),
    build: async (logFile) => {
      const context = join(shop.places.steps, `.node-base-${key}`);
      await rm(context, { recursive: true, force: true });
      await mkdir(context, { recursive: true });
      try {
        await link(root, join(context, "rootfs.tar"));
        await cp(node, join(context, "node"), { recursive: true, verbatimSymlinks: true });
        await writeFile(join(context, "bundle.crt"), bundle);
        await writeFile(join(context, "npmrc"), settings);
        await writeFile(join(context, "Dockerfile"), dockerfile(key));
        const args = ["build", "--network", "none", "--pull=false", "-t", keyed, context];
        await docker(engine, args, { logFile, env: { DOCKER_BUILDKIT: "0" } });
      } finally {
        await rm(context, { recursive: true, force: true });
      }
    },
  });
  await docker(engine, ["tag", keyed, versions.nodeBaseImage]);
}

/** What the machine's npm needs to reach its registry, for npm alone: programs in the image keep their own trust. */
async function npmSettings(): Promise<string> {
  const lines: string[] = [];
  if (existsSync(hostBundle)) lines.push(`cafile=${imageBundle}`);
  for (const name of ["registry", "proxy", "https-proxy", "noproxy"]) {
    const asked = await run(["npm", "config", "get", name]);
    const value = asked.stdout.trim();
    const given = asked.code === 0 && !["", "null", "undefined"].includes(value);
    if (given) lines.push(`${name}=${value}`);
  }
  return `${lines.join("\n")}\n`;
}

function dockerfile(key: string): string {
  return [
    "FROM scratch",
    "ADD rootfs.tar /",
    "RUN groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node",
    "COPY node/bin /usr/local/bin",
    "COPY node/lib /usr/local/lib",
    `COPY bundle.crt ${imageBundle}`,
    "COPY npmrc /usr/local/etc/npmrc",
    `ENV NODE_VERSION=${versions.node}`,
    `LABEL signet.stand-in=${key}`,
    'CMD ["node"]',
    "",
  ].join("\n");
}

/** A folder with bin/node and npm of the pinned release, as scripts/node.sh installs it. */
async function nodeFolder(shop: Workshop): Promise<string> {
  const folder = await folderStep(shop, {
    name: "node",
    inputs: [versions.node, process.arch, ...(await fileInputs([installer]))],
    build: async (target, logFile) => {
      const env = { SIGNET_NODE_INSTALL: join(target, "node") };
      await must(["sh", installer], { env, logFile });
    },
  });
  return join(folder, "node");
}
