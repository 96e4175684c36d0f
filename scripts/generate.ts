/**
 * Writes everything in the repository that is made from something else: CRDs and their documents from the schemas,
 * code from proto/.
 * Usage: node scripts/generate.ts [--check]   (--check changes nothing and fails when a file is out of date)
 */
import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { generateCrdDocs } from "./generate-crd-docs.ts";
import { generateCrds } from "./generate-crds.ts";

const root = join(import.meta.dirname, "..");
const check = process.argv.includes("--check");

const expected = new Map<string, string>([
  ...generateCrds(),
  ...generateCrdDocs(),
  ...(await generateRpc()),
]);
const stale: string[] = [];
for (const [path, content] of expected) {
  const present = await readFile(join(root, path), "utf8").catch(() => undefined);
  if (present === content) continue;
  stale.push(path);
  if (check) continue;
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), content);
}
if (stale.length === 0) console.log(`generated files are up to date (${expected.size})`);
else if (!check) console.log(`wrote ${stale.join(", ")}`);
else {
  console.error(`out of date, run "npm run generate": ${stale.join(", ")}`);
  process.exitCode = 1;
}

/** Code for proto/, as relative path → content. */
async function generateRpc(): Promise<Map<string, string>> {
  const out = await mkdtemp(join(tmpdir(), "signet-generate-"));
  try {
    await cp(join(root, "proto"), join(out, "proto"), { recursive: true });
    for (const file of ["buf.yaml", "buf.gen.yaml"]) await cp(join(root, file), join(out, file));
    const bin = join(root, "node_modules/.bin");
    execFileSync(join(bin, "buf"), ["generate"], {
      cwd: out,
      env: { ...process.env, PATH: `${bin}:${process.env["PATH"]}` },
      stdio: ["ignore", "ignore", "inherit"],
    });
    return await readTree(join(out, "src/rpc/gen"), out);
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}

async function readTree(folder: string, base: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(
      files.map(async (file) => [relative(base, file), await readFile(file, "utf8")] as const),
    ),
  );
}
