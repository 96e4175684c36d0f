import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { available, must } from "./exec.ts";
import { withLock } from "./lock.ts";
import type { Workshop } from "./steps.ts";

/** Whether Debian's packages can be installed here. */
export async function isDebian(): Promise<boolean> {
  const text = await readFile("/etc/os-release", "utf8").catch(() => "");
  return /^ID(_LIKE)?=.*debian/m.test(text) && (await available("apt-get"));
}

/** Makes sure that `programs` can be run, installing Debian `packages` where one is missing; says so first, because it needs root. */
export async function installPackages(
  shop: Workshop,
  purpose: string,
  packages: readonly string[],
  programs: readonly string[],
): Promise<void> {
  if (await allAvailable(programs)) return;
  const command = ["apt-get", "install", "-y", "--no-install-recommends", ...packages];
  if (process.getuid?.() !== 0 || !(await isDebian())) {
    throw new Error(`${purpose} needs ${programs.join(", ")}; as root: ${command.join(" ")}`);
  }
  const install = async (): Promise<void> => {
    if (await allAvailable(programs)) return;
    shop.log(`${purpose}: as root: ${command.join(" ")}`);
    const options = {
      env: { DEBIAN_FRONTEND: "noninteractive" },
      logFile: join(shop.places.logs, "packages.log"),
    };
    await must(["apt-get", "update"], options);
    await must(command, options);
  };
  await withLock(shop.places.locks, "packages", install, shop.log);
}

async function allAvailable(programs: readonly string[]): Promise<boolean> {
  for (const program of programs) if (!(await available(program))) return false;
  return true;
}
