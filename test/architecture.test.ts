import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import { describe, expect, it } from "vitest";

const SRC = join(import.meta.dirname, "../src");
const GENERATED = /^rpc\/gen\//;
const MAX_LINES = 300;
/** A table of Go's types, which only grows in rows. */
const LONG_FILES = new Set(["template/go-types.ts"]);

/** What is composed, from top to bottom; a folder may use the rows below its own. */
const ROWS = [
  ["main.ts", "kubectl-signet.ts"],
  ["roles"],
  ["controllers", "webhook", "issuer", "inspect", "agent", "csi", "workload-api", "cli"],
  ["registration", "ca", "kube", "rpc"],
  ["api", "template", "spiffe"],
  ["core"],
];
/** Rows that may be used although they are not below. */
const EXTRA: Readonly<Record<string, readonly string[]>> = { api: ["spiffe"] };
/** Folders that know less than their row allows: no SPIFFE in kube, no custom resources in ca. */
const ONLY: Readonly<Record<string, readonly string[]>> = {
  kube: ["core"],
  rpc: ["core"],
  ca: ["spiffe", "core"],
};

interface SourceFile {
  /** Below src, with slashes. */
  readonly path: string;
  readonly text: string;
}

const files: SourceFile[] = readdirSync(SRC, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => {
    const path = join(entry.parentPath, entry.name);
    return { path: relative(SRC, path).replaceAll("\\", "/"), text: readFileSync(path, "utf8") };
  });
const written = files.filter(({ path }) => !GENERATED.test(path));

/** The relative imports of a file, as paths below src. */
function importsOf({ path, text }: SourceFile): string[] {
  const statements = text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"(\.[^"]*)"/g);
  return [...statements].map(([, target = ""]) => posix.join(dirname(path), target));
}

const folderOf = (path: string): string => path.split("/", 1)[0] ?? "";
const rowOf = (folder: string): number => ROWS.findIndex((row) => row.includes(folder));

/** Whether a file of folder `from` may import the file `target`. */
function allows(from: string, target: string): boolean {
  const to = folderOf(target);
  if (to === from) return true;
  if (ONLY[from]) return ONLY[from].includes(to);
  if (EXTRA[from]?.includes(to)) return true;
  const sideways = rowOf(to) === rowOf(from);
  return sideways ? posix.basename(target) === "ports.ts" : rowOf(to) > rowOf(from);
}

describe("the layout", () => {
  it("has every folder in a row", () => {
    const strangers = new Set(written.map(({ path }) => folderOf(path)));
    for (const folder of ROWS.flat()) strangers.delete(folder);
    expect([...strangers]).toEqual([]);
  });

  it("lets imports point downwards only, and sideways only to a ports.ts", () => {
    const edges = written.flatMap((file) => importsOf(file).map((to) => [file.path, to] as const));
    expect(edges.length).toBeGreaterThan(written.length);
    const wrong = edges.filter(([from, to]) => !allows(folderOf(from), to));
    expect(wrong.map(([from, to]) => `${from} → ${to}`)).toEqual([]);
  });

  it("knows what it forbids", () => {
    const forbidden = [
      ["core", "spiffe/id.ts"],
      ["template", "spiffe/id.ts"],
      ["spiffe", "template/ast.ts"],
      ["kube", "spiffe/id.ts"],
      ["ca", "kube/client.ts"],
      ["registration", "kube/types.ts"],
      ["controllers", "issuer/service.ts"],
      ["roles", "main.ts"],
    ] as const;
    expect(forbidden.filter(([from, to]) => allows(from, to))).toEqual([]);
    expect(allows("controllers", "issuer/ports.ts")).toBe(true);
    const file = {
      path: "a/b.ts",
      text: 'import type {\n  X,\n} from "../c/d.ts";\nimport("./e.ts")',
    };
    expect(importsOf(file)).toEqual(["c/d.ts", "a/e.ts"]);
  });

  it("imports only files that are there", () => {
    const known = new Set(files.map(({ path }) => path));
    const missing = written.flatMap(importsOf).filter((path) => !known.has(path));
    expect(missing).toEqual([]);
  });
});

describe("a file", () => {
  it(`has at most ${MAX_LINES} lines`, () => {
    const long = written
      .filter(({ path }) => !LONG_FILES.has(path))
      .map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
      .filter(({ lines }) => lines > MAX_LINES);
    expect(long).toEqual([]);
  });

  it("is named after what it is about", () => {
    const vague = /(^|[/.-])(utils?|helpers?|common|managers?|misc)([/.-]|$)/;
    expect(written.map(({ path }) => path).filter((path) => vague.test(path))).toEqual([]);
  });

  it("leaves nothing for later", () => {
    const unfinished = written.filter(({ text }) => /\b(TODO|FIXME|XXX)\b/.test(text));
    expect(unfinished.map(({ path }) => path)).toEqual([]);
  });
});
