/** Bundles src/main.ts into dist/, with the one native package beside it. Usage: node scripts/build.ts */
import { cp, mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");

/** grpc-js and others are CommonJS: inside an ES module bundle they need a `require` for Node's own modules. */
const REQUIRE = `import { createRequire as signetRequire } from "node:module"; const require = signetRequire(import.meta.url);`;

const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
  version: string;
};

await rm(dist, { recursive: true, force: true });
const result = await build({
  entryPoints: { signet: join(root, "src/main.ts") },
  outdir: dist,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node24",
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: "linked",
  external: ["koffi"],
  banner: { js: REQUIRE },
  define: { "process.env.SIGNET_VERSION": JSON.stringify(version) },
  metafile: true,
  logLevel: "warning",
});
await copyKoffi();
const bytes = Object.values(result.metafile.outputs).reduce((sum, output) => sum + output.bytes, 0);
console.log(
  `dist/: ${Object.keys(result.metafile.outputs).length} files, ${Math.round(bytes / 1024)} KiB`,
);

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
