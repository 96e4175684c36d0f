import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { available, run } from "./exec.ts";
import type { Workshop } from "./steps.ts";

const programs = ["iptables", "ip6tables"] as const;
const tables = ["filter", "nat", "raw", "mangle"] as const;

/** Notes the policy of the FORWARD chain before an engine of ours changes it to DROP. */
export async function rememberFirewall(shop: Workshop): Promise<void> {
  const file = policyFile(shop);
  if (existsSync(file) || !(await available("iptables"))) return;
  await mkdir(shop.places.engineRun, { recursive: true });
  const policy = (await run(["iptables", "-S", "FORWARD"])).stdout.split("\n")[0] ?? "";
  await writeFile(file, policy);
}

/** Removes the chains that a Docker engine makes, and restores the policy it found. */
export async function forgetFirewall(shop: Workshop): Promise<void> {
  const policy = /^-P FORWARD (\w+)/.exec(await readFile(policyFile(shop), "utf8").catch(() => ""));
  if (policy === null) return;
  for (const program of programs) {
    if (!(await available(program))) continue;
    for (const table of tables) await removeChains(program, table);
  }
  await run(["iptables", "-P", "FORWARD", policy[1] ?? "ACCEPT"]);
}

/** The `iptables` arguments that take every DOCKER chain out of a table, given its `-S` listing. */
export function removalOf(listing: string): string[][] {
  const lines = listing.split("\n").map((line) => line.split(" "));
  const chains = lines.filter(([kind, name]) => kind === "-N" && name?.startsWith("DOCKER"));
  const jumps = lines.filter(([kind, chain, ...rest]) => {
    if (kind !== "-A" || chain?.startsWith("DOCKER") === true) return false;
    return rest.some((word, index) => rest[index - 1] === "-j" && word.startsWith("DOCKER"));
  });
  return [
    ...jumps.map(([, ...rest]) => ["-D", ...rest]),
    ...chains.map(([, name]) => ["-F", name ?? ""]),
    ...chains.map(([, name]) => ["-X", name ?? ""]),
  ];
}

async function removeChains(program: string, table: string): Promise<void> {
  const listing = await run([program, "-t", table, "-S"]);
  if (listing.code !== 0) return;
  for (const args of removalOf(listing.stdout)) await run([program, "-t", table, ...args]);
}

function policyFile(shop: Workshop): string {
  return join(shop.places.engineRun, "forward-policy");
}
