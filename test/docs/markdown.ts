import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const ROOT = join(import.meta.dirname, "../..");

/** A document that people read. */
export interface Document {
  /** From the repository's root. */
  readonly path: string;
  readonly text: string;
}

/** README.md and everything below docs/. */
export function documents(): Document[] {
  const below = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" });
  return ["README.md", ...below.map((path) => join("docs", path))]
    .filter((path) => path.endsWith(".md"))
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), "utf8") }));
}

/** The contents of all code blocks in a language, with the indentation of lists taken off. */
export function blocks({ text }: Document, language: string): string[] {
  const fences = text.matchAll(/^( *)```(\w*)\n([\s\S]*?)^\1```/gm);
  return [...fences]
    .filter(([, , found]) => found === language)
    .map(([, indent = "", , body = ""]) => body.replaceAll(new RegExp(`^${indent}`, "gm"), ""));
}

/** The commands in a document, with continued lines joined and comments taken off. */
export function commands(document: Document): string[] {
  return blocks(document, "sh").flatMap((block) =>
    block
      .replaceAll(/\\\n\s*/g, "")
      .split("\n")
      .map((line) => line.replace(/\s+#.*$/, "").trim())
      .filter((line) => line !== "" && !line.startsWith("#")),
  );
}

/** Links to files and headings of this repository that lead nowhere. */
export function brokenLinks({ path, text }: Document): string[] {
  const prose = text.replaceAll(/```[\s\S]*?```/g, "").replaceAll(/`[^`\n]*`/g, "");
  const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  return targets.filter((target) => {
    if (/^https?:/.test(target)) return false;
    const [file = "", heading] = target.split("#");
    const found = file === "" ? path : relative(ROOT, join(ROOT, dirname(path), file));
    if (!existsSync(join(ROOT, found))) return true;
    if (heading === undefined) return false;
    return !anchors(readFileSync(join(ROOT, found), "utf8")).has(heading);
  });
}

/** Headings as GitHub makes anchors of them. */
function anchors(text: string): Set<string> {
  const headings = text.replaceAll(/```[\s\S]*?```/g, "").matchAll(/^#+ (.+)$/gm);
  return new Set(
    [...headings].map(([, heading = ""]) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}
