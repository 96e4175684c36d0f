/**
 * Bundles src/main.ts into dist/, with the one native package beside it, and src/kubectl-signet.ts into one executable
 * file that can be copied anywhere. Usage: node scripts/build.ts
 */
import { chmod, cp, mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import type { BuildOptions } from "esbuild";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");

/** grpc-js and others are CommonJS: inside an ES module bundle they need a `require` for Node's own modules. */
const REQUIRE = `import { createRequire as signetRequire } from "node:module"; const require = signetRequire(import.meta.url);`;

const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
  version: string;
};

const shared = {
  outdir: dist,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node24",
  minifySyntax: true,
  minifyWhitespace: true,
  banner: { js: REQUIRE },
  define: { "process.env.SIGNET_VERSION": JSON.stringify(version) },
  metafile: true,
  logLevel: "warning",
} satisfies BuildOptions;

await rm(dist, { recursive: true, force: true });
const image = await build({
  ...shared,
  entryPoints: { signet: join(root, "src/main.ts") },
  splitting: true,
  legalComments: "linked",
  external: ["koffi"],
});
await copyKoffi();
const plugin = await build({
  ...shared,
  entryPoints: { "kubectl-signet": join(root, "src/kubectl-signet.ts") },
  legalComments: "eof",
});
await chmod(join(dist, "kubectl-signet.js"), 0o755);

for (const [name, { metafile }] of Object.entries({ signet: image, "kubectl-signet": plugin })) {
  const outputs = Object.values(metafile.outputs);
  const bytes = outputs.reduce((sum, output) => sum + output.bytes, 0);
  console.log(`${name}: ${outputs.length} files, ${Math.round(bytes / 1024)} KiB`);
}

/** koffi finds its native half in a sibling package named after the platform. */
async function copyKoffi(): Promise<void> {
  const native = `@koromix/koffi-${process.platform}-${process.arch}`;
  for (const name of ["koffi", native]) {
    const to = join(dist, "node_modules", name);
    await mkdir(to, { recursive: true });
    await cp(join(root, "node_modules", name), to, {
      recursive: true,
      filter: (path) =>
        !/\/(doc|vendor|lib\/native)(\/|$)|\.(cc|hh|h|inc|S|asm|d\.ts|md)$/.test(path),
    });
  }
}
