import { must } from "./exec.ts";
import { installPackages } from "./packages.ts";
import { folderStep } from "./steps.ts";
import type { Workshop } from "./steps.ts";
import { hostPackages, versions } from "./versions.ts";
import { join } from "node:path";

/** A root file system to make: packages on top of Debian's smallest variant, and mmdebstrap customize hooks. */
export interface RootFileSystem {
  readonly name: string;
  readonly packages: readonly string[];
  readonly hooks?: readonly string[];
  /** What the hooks depend on, as part of the step's key. */
  readonly inputs?: readonly string[];
}

const leftOut = [
  "/usr/share/man/*",
  "/usr/share/doc/*",
  "/usr/share/locale/*",
  "/usr/share/info/*",
];

/** Makes a Debian root file system once and gives the path of its tar archive; needs root. */
export async function rootFileSystem(shop: Workshop, wanted: RootFileSystem): Promise<string> {
  const hooks = wanted.hooks ?? [];
  const options = [
    "--variant=minbase",
    `--include=${wanted.packages.join(",")}`,
    ...leftOut.map((path) => `--dpkgopt=path-exclude=${path}`),
    ...hooks.map((hook) => `--customize-hook=${hook}`),
  ];
  const folder = await folderStep(shop, {
    name: wanted.name,
    inputs: [versions.debianSuite, process.arch, ...options, ...(wanted.inputs ?? [])],
    build: async (target, logFile) => {
      await installPackages(shop, "the images made here", hostPackages.images, ["mmdebstrap"]);
      const proxies = await aptProxies();
      const aptOptions = proxies.map((line) => `--aptopt=${line}`);
      const archive = join(target, "rootfs.tar");
      const command = ["mmdebstrap", ...options, ...aptOptions, versions.debianSuite, archive];
      await must(command, { logFile, timeoutMs: 1_800_000 });
    },
  });
  return join(folder, "rootfs.tar");
}

/** The machine's own apt proxy settings, one configuration line each. */
async function aptProxies(): Promise<string[]> {
  const dump = await must(["apt-config", "dump"]);
  return dump.split("\n").filter((line) => /^Acquire::https?::Proxy/i.test(line));
}
